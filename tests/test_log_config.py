"""The log of the command line."""

import io
import logging
from collections.abc import Iterator

import pytest

from zoning_assets import log_config


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The program's logger, as it was before afterwards."""
    logger = logging.getLogger("zoning_assets")
    handlers, level = logger.handlers, logger.level
    yield logger
    logger.handlers = handlers
    logger.setLevel(level)


def test_a_warning_is_written_through_the_progress_bar(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar replaces `sys.stderr` while it is shown; a line that goes around it is written into the bar."""
    log_config.log_to_terminal()
    bar = io.StringIO()
    monkeypatch.setattr("sys.stderr", bar)
    log.warning("paused by root")
    assert bar.getvalue() == "paused by root\n"
