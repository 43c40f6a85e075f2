"""How results look: one JSON document on stdout, or a table for people; everything else goes to stderr."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from zoning_assets.cli import signals, tables
from zoning_assets.errors import ZoningError

#: Where there is no terminal, no line is broken.
_UNBOUNDED = 1_000_000
#: Lines of errors that a person reads.
_MOST_ERRORS = 20

console = Console(stderr=True, highlight=False, emoji=False)


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
        line(f"zoning: {why}")
        raise typer.Exit(status) from None
    sys.stdout.write("\n]}\n")


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def line(text: str) -> None:
    """A line for people, on stderr."""
    console.print(text, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """A line of the result itself, on stdout; a terminal breaks it between words."""
    _out().print(Text(tables.printable(text)))


def table(title: str, rows: Sequence[tables.Row]) -> None:
    """A table for people, on stdout; see tables.py. Nothing where there are no rows."""
    if not rows:
        return
    out = _out()
    drawn, left_out = tables.drawn(rows, out.width if is_terminal() else None)
    out.print(Text(tables.printable(title), style="bold"))
    out.print(drawn)
    if left_out:
        out.print(Text(f"(no room for: {', '.join(left_out)}; a wider terminal or --json shows them)", style="dim"))
    out.print()


def is_terminal() -> bool:
    """Whether a person reads stdout on a terminal, where lines must be short."""
    return sys.stdout.isatty()


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


def _out() -> Console:
    return Console(highlight=False, emoji=False, markup=False, width=None if is_terminal() else _UNBOUNDED)


class Bar:
    """Progress over a known number of steps: a bar on a terminal, now and then a line elsewhere."""

    def __init__(self, what: str, total: int, drawn: Progress | None) -> None:
        self._what, self._total, self._done, self._drawn = what, total, 0, drawn
        self._task = drawn.add_task(what, total=total) if drawn else None

    def step(self, _: object = None) -> None:
        """One more is done."""
        self._done += 1
        if self._drawn and self._task is not None:
            self._drawn.advance(self._task)
        elif self._done == self._total or self._done % max(1, self._total // 4) == 0:
            line(f"{self._what}: {self._done:,} of {self._total:,}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Bar]:
    """Show progress while the block runs, from its first moment on."""
    if not console.is_terminal:
        line(f"{what}: 0 of {total:,}")
        yield Bar(what, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as drawn:
        yield Bar(what, total, drawn)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Say what is done while the block runs, where nobody knows how many steps it takes; call what it gives with what
    is done next."""
    if not console.is_terminal:
        line(f"{what} ...")
        yield lambda what: line(f"{what} ...")
        return
    columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as drawn:
        tasks = [drawn.add_task(what, total=1)]

        def tell(what: str) -> None:
            drawn.advance(tasks[-1])
            tasks.append(drawn.add_task(what, total=1))

        yield tell
        drawn.advance(tasks[-1])
