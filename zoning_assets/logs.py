"""What processes say while they work: plain lines for a person at a terminal, one JSON object a line for machines.

An object has `timestamp` (ISO 8601, UTC), `level`, `logger`, `event`, and where they are known `run` (Dagster's),
`jurisdiction`, `tile` and `feed`. Nothing that is said holds a secret; see secrecy.py.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import Processor

from zoning_assets.secrecy import scrubbed

_ROOT = "zoning_assets"
#: What came of each place; the command line tells people in its own way.
OUTCOMES = logging.getLogger(f"{_ROOT}.outcomes")


def for_people(stream: TextIO | None = None, faults: Path | None = None) -> None:
    """Warnings as plain lines on stderr; stacks, which are for who mends this program, in the file `faults`."""
    _listen(stream, [_plain], logging.WARNING)
    OUTCOMES.setLevel(logging.CRITICAL)
    if faults:
        logging.getLogger(_ROOT).addHandler(_Faults(faults))


class _Faults(logging.Handler):
    """Appends the stack of an unforeseen error to a file, without secrets; where that cannot be, it is lost."""

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


def for_machines(stream: TextIO | None = None) -> None:
    """Everything worth counting as JSON lines on stderr."""
    when = TimeStamper(fmt="iso", utc=True)
    known: list[Processor] = [merge_contextvars, add_log_level, add_logger_name, when, ExtraAdder(), format_exc_info]
    _listen(stream, [*known, _without_secrets, _drop_meta, JSONRenderer(_dumps)], logging.INFO)
    OUTCOMES.setLevel(logging.NOTSET)


@contextmanager
def about(**known: str | None) -> Iterator[None]:
    """What is said in the block, and in tasks and threads started there, is about this."""
    with bound_contextvars(**{name: value for name, value in known.items() if value is not None}):
        yield


def _listen(stream: TextIO | None, processors: list[Processor], level: int) -> None:
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(ProcessorFormatter(processors=processors))
    logger = logging.getLogger(_ROOT)
    logger.handlers = [handler]
    logger.setLevel(level)


def _plain(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    return scrubbed(str(event["event"]))


def _without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: scrubbed(value) if isinstance(value, str) else value for name, value in event.items()}


_drop_meta = ProcessorFormatter.remove_processors_meta


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=lambda value: scrubbed(str(value))).decode()
