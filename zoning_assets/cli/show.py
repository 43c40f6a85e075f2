"""How results look: one JSON document on stdout, or a table for people; everything else goes to stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from zoning_assets.cli import signals

#: Where nobody watches, a table may be as wide as it needs.
_WIDE = 160

console = Console(stderr=True, highlight=False)


def document(value: Any) -> None:
    """The command's one JSON document."""
    signals.answered()
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def line(text: str) -> None:
    """A line for people."""
    console.print(text, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """A line of the result itself, on stdout."""
    Console(highlight=False).print(text, markup=False, soft_wrap=True)


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """A table for people, on stdout; numbers to the right."""
    if not rows:
        return
    drawn = Table(title=title, title_justify="left", min_width=len(title) + 4)
    for name, value in rows[0].items():
        drawn.add_column(name, justify="right" if isinstance(value, int | float) else "left")
    for row in rows:
        drawn.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()))
    out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    out.print(drawn)


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
            line(f"{self._what}: {self._done} of {self._total}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Bar]:
    """Show progress while the block runs."""
    if not console.is_terminal:
        yield Bar(what, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as drawn:
        yield Bar(what, total, drawn)
