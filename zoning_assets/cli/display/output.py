"""Write results to stdout, as one JSON document or as tables; everything else goes to stderr."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import orjson
import typer

from zoning_assets.cli import signals
from zoning_assets.errors import ZoningError

#: Maximum number of error lines on stderr.
_MOST_ERRORS = 20


def document(value: Any) -> None:
    """Write the JSON document of the command."""
    signals.document_started()
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def streamed(head: Mapping[str, Any], name: str, rows: Iterable[Any]) -> None:
    """Write one JSON document whose last list is written row by row, in constant memory.

    If reading the rows fails, the list ends there, and the document gets `error` and `exit_status`.

    Args:
        head: the other fields of the document.
        name: the key of the list.
        rows: the elements of the list.

    Raises:
        typer.Exit: reading the rows failed.
    """
    signals.document_started()
    sys.stdout.write(f"{_dumps(head)[:-1]},{_dumps(name)}:[")
    try:
        for number, row in enumerate(rows):
            sys.stdout.write(("," if number else "") + "\n" + _dumps(row))
    except (ZoningError, KeyboardInterrupt) as error:
        stopped = (signals.STOPPED, signals.exit_status())
        why, status = (str(error), error.exit_status) if isinstance(error, ZoningError) else stopped
        sys.stdout.write(f'\n],"error":{_dumps(why)},"exit_status":{status}}}\n')
        if not signals.received():  # after a signal, signals.py prints the message
            line(f"zoning: {why}")
        raise typer.Exit(status) from None
    sys.stdout.write("\n]}\n")


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def text(body: str) -> None:
    """Write a file's content to stdout, exactly."""
    signals.document_started()
    sys.stdout.write(body)


def line(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def result_line(text: str) -> None:
    """Write a line of the result to stdout; on a terminal it is wrapped between words."""
    from zoning_assets.cli.display import text_tables  # noqa: PLC0415 - imports Rich

    text_tables.result_line(text)


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table to stdout (see text_tables.py); nothing if there are no rows."""
    if rows:
        from zoning_assets.cli.display import text_tables  # noqa: PLC0415 - imports Rich

        text_tables.table(title, rows)


def finish(value: dict[str, Any] | None, errors: Sequence[str], status: int = 1) -> None:
    """End a command: write its JSON document and its errors.

    Each error is a line on stderr. The document has the first error as `error`, and `exit_status`.

    Args:
        value: the document; None: no document, because tables were written.
        errors: the errors.
        status: the exit status if there are errors.

    Raises:
        typer.Exit: there are errors.
    """
    distinct = list(dict.fromkeys(errors))
    for each in distinct[:_MOST_ERRORS]:
        line(f"zoning: {each}")
    if len(distinct) > _MOST_ERRORS:
        line(f"zoning: and {len(distinct) - _MOST_ERRORS:,} more errors; --json has all of them")
    if value is not None:
        document({**value, "error": _summary(distinct), "exit_status": status} if distinct else value)
    if distinct:
        raise typer.Exit(status)


def failed(why: str, status: int) -> NoReturn:
    """End a command without a result: write a line to stderr, and with --json also a document."""
    line(f"zoning: {why}")
    if "--json" in sys.argv:
        document({"error": why, "exit_status": status})
    sys.exit(status)


def _summary(errors: Sequence[str]) -> str:
    """Return the first error, and the number of further errors."""
    more = len(errors) - 1
    return errors[0] + (f" (and {more:,} more)" if more else "")
