"""Show the progress of a command on stderr: a bar or a spinner on a terminal, otherwise occasional lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from zoning_assets.cli.display.output import line

_console = Console(stderr=True, highlight=False, emoji=False)


class Bar:
    """Progress over a known number of steps: a bar on a terminal, otherwise occasional lines."""

    def __init__(self, what: str, total: int, display: Progress | None) -> None:
        self._what, self._total, self._done, self._display = what, total, 0, display
        self._task = display.add_task(what, total=total) if display else None

    def step(self, _: object = None) -> None:
        """Count one step as done."""
        self._done += 1
        if self._display and self._task is not None:
            self._display.advance(self._task)
        elif self._done == self._total or self._done % max(1, self._total // 4) == 0:
            line(f"{self._what}: {self._done:,} of {self._total:,}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Bar]:
    """Show progress during the block."""
    if not _console.is_terminal:
        line(f"{what}: 0 of {total:,}")
        yield Bar(what, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console) as display:
        yield Bar(what, total, display)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show the current step during the block, for an unknown number of steps. Yields a function: call it with the name
    of the next step."""
    if not _console.is_terminal:
        line(f"{what} ...")
        yield lambda what: line(f"{what} ...")
        return
    columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console) as display:
        tasks = [display.add_task(what, total=1)]

        def next_step(what: str) -> None:
            display.advance(tasks[-1])
            tasks.append(display.add_task(what, total=1))

        yield next_step
        display.advance(tasks[-1])
