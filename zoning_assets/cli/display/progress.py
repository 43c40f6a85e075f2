"""Progress while a command works, on stderr: a bar or a spinner on a terminal, now and then a line elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from zoning_assets.cli.display.output import line

_console = Console(stderr=True, highlight=False, emoji=False)


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
    if not _console.is_terminal:
        line(f"{what}: 0 of {total:,}")
        yield Bar(what, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console) as drawn:
        yield Bar(what, total, drawn)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Say what is done while the block runs, where nobody knows how many steps it takes; call what it gives with what
    is done next."""
    if not _console.is_terminal:
        line(f"{what} ...")
        yield lambda what: line(f"{what} ...")
        return
    columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console) as drawn:
        tasks = [drawn.add_task(what, total=1)]

        def tell(what: str) -> None:
            drawn.advance(tasks[-1])
            tasks.append(drawn.add_task(what, total=1))

        yield tell
        drawn.advance(tasks[-1])
