"""Configure the log: plain lines for a terminal, or one JSON object per line for log collectors.

An object has `timestamp` (ISO 8601, UTC), `level`, `logger`, `event`, and if known `run` (of Dagster), `jurisdiction`,
`tile` and `feed`. Secrets are redacted; see redaction.py.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson

from zoning_assets.redaction import scrubbed

_ROOT = "zoning_assets"
#: The result of each partition. Not shown on a terminal, because commands report it in their own format.
OUTCOMES = logging.getLogger(f"{_ROOT}.outcomes")


def log_to_terminal(stream: TextIO | None = None, faults: Path | None = None) -> None:
    """Write warnings as plain lines to stderr, and stack traces of unexpected errors to the file `faults`."""
    _configure(stream, _Plain(), logging.WARNING)
    OUTCOMES.setLevel(logging.CRITICAL)
    if faults:
        logging.getLogger(_ROOT).addHandler(_Faults(faults))


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what is `sys.stderr` now: a progress bar replaces it, so that a line is written above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Plain(logging.Formatter):
    """Formats a record as its message, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return scrubbed(record.getMessage())


class _Faults(logging.Handler):
    """Appends the stack trace of an unexpected error to a file, without secrets. A write error is ignored."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.ERROR)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is None:
            return
        text = scrubbed(f"{datetime.now(UTC).isoformat()} {logging.Formatter().format(record)}\n")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)


def log_as_json(stream: TextIO | None = None) -> None:
    """Write records of level INFO and above as JSON lines to stderr."""
    _configure(stream, _json_lines(), logging.INFO)
    OUTCOMES.setLevel(logging.NOTSET)


def _json_lines() -> logging.Formatter:
    # Imported here: structlog imports Rich and asyncio, and the commands for people do not need it.
    from structlog.contextvars import merge_contextvars  # noqa: PLC0415
    from structlog.processors import JSONRenderer, TimeStamper, format_exc_info  # noqa: PLC0415
    from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name  # noqa: PLC0415

    when = TimeStamper(fmt="iso", utc=True)
    known = (merge_contextvars, add_log_level, add_logger_name, when, ExtraAdder(), format_exc_info)
    last = (_without_secrets, ProcessorFormatter.remove_processors_meta, JSONRenderer(_dumps))
    return ProcessorFormatter(processors=(*known, *last))


@contextmanager
def log_context(**known: str | None) -> Iterator[None]:
    """Add these fields to all records of the block, also from tasks and threads that it starts."""
    from structlog.contextvars import bound_contextvars  # noqa: PLC0415 - see _json_lines

    with bound_contextvars(**{name: value for name, value in known.items() if value is not None}):
        yield


def _configure(stream: TextIO | None, form: logging.Formatter, level: int) -> None:
    handler = logging.StreamHandler(stream) if stream else _Stderr()
    handler.setFormatter(form)
    logger = logging.getLogger(_ROOT)
    logger.handlers = [handler]
    logger.setLevel(level)


def _without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: scrubbed(value) if isinstance(value, str) else value for name, value in event.items()}


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=lambda value: scrubbed(str(value))).decode()
