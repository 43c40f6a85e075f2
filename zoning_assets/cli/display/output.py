"""How results look: one JSON document on stdout, or a table for people; everything else goes to stderr."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import orjson
import typer

from zoning_assets.cli import signals
from zoning_assets.errors import ZoningError

#: Lines of errors that a person reads.
_MOST_ERRORS = 20


def document(value: Any) -> None:
    """The command's one JSON document."""
    signals.answered()
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def streamed(head: Mapping[str, Any], name: str, rows: Iterable[Any]) -> None:
    """One JSON document whose last list is written row by row, in constant memory.

    Where reading the rows fails on the way the list ends there: it stays one document, with `error` and `exit_status`.

    Raises:
        typer.Exit: it failed on the way.
    """
    signals.answered()
    sys.stdout.write(f"{_dumps(head)[:-1]},{_dumps(name)}:[")
    try:
        for number, row in enumerate(rows):
            sys.stdout.write(("," if number else "") + "\n" + _dumps(row))
    except (ZoningError, KeyboardInterrupt) as error:
        stopped = (signals.STOPPED, signals.exit_status())
        why, status = (str(error), error.exit_status) if isinstance(error, ZoningError) else stopped
        sys.stdout.write(f'\n],"error":{_dumps(why)},"exit_status":{status}}}\n')
        if not signals.came():  # else whoever answers the signal says it
            line(f"zoning: {why}")
        raise typer.Exit(status) from None
    sys.stdout.write("\n]}\n")


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def line(text: str) -> None:
    """A line for people, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """A line of the result itself, on stdout; a terminal breaks it between words."""
    from zoning_assets.cli.display import text_tables  # noqa: PLC0415 - imports Rich

    text_tables.say(text)


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table for people, on stdout; see tables.py. Nothing where there are no rows."""
    if rows:
        from zoning_assets.cli.display import text_tables  # noqa: PLC0415 - imports Rich

        text_tables.table(title, rows)


def finish(value: dict[str, Any] | None, errors: Sequence[str], status: int = 1) -> None:
    """End a command: its document (None: people were shown something else), and why it failed, where it did.

    Every error is a line on stderr; the document has the first line as `error`, with `exit_status` beside it.

    Raises:
        typer.Exit: there are errors.
    """
    told = list(dict.fromkeys(errors))
    for each in told[:_MOST_ERRORS]:
        line(f"zoning: {each}")
    if len(told) > _MOST_ERRORS:
        line(f"zoning: and {len(told) - _MOST_ERRORS:,} more errors; --json has all of them")
    if value is not None:
        document({**value, "error": _summed(told), "exit_status": status} if told else value)
    if told:
        raise typer.Exit(status)


def failed(why: str, status: int) -> NoReturn:
    """End a command that has no result: a line on stderr, and with --json a document too."""
    line(f"zoning: {why}")
    if "--json" in sys.argv:
        document({"error": why, "exit_status": status})
    sys.exit(status)


def _summed(errors: Sequence[str]) -> str:
    """The first error, and how many others there are."""
    more = len(errors) - 1
    return errors[0] + (f" (and {more:,} more)" if more else "")
