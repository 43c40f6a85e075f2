"""Print tables: fitted to the width of a terminal, complete everywhere else.

A row is a mapping of column name to value. A list is a list of ids: a line may break between two ids, never inside one.
A text may break between words; only a word longer than `_LONGEST_WORD` is folded. If a terminal is too narrow for all
columns, the last ones are left out and named below the table, so callers put the important columns first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from zoning_assets.cli.display.terminal import is_terminal, printable

Row = Mapping[str, Any]

#: Words up to this length are not folded, so that ids stay complete: the id of a change has 24 characters.
_LONGEST_WORD = 32
#: The minimum width of a column of text; a narrower one would have one word per line.
_LEAST_TEXT = 20
#: Maximum number of ids of a list on a terminal; a pipe gets all.
_MOST_IDS = 3
_GAP = 2
#: The width without a terminal: no line is broken.
_UNBOUNDED = 1_000_000


@dataclass(frozen=True)
class Column:
    """A column of a table: `name` is its header, each cell is a sequence of pieces that are not broken."""

    name: str
    cells: Sequence[Sequence[str]]
    is_number: bool
    is_text: bool

    @property
    def least(self) -> int:
        """The minimum width: that of the longest piece; for text at least `_LEAST_TEXT`."""
        pieces = [*self.name.split(), *(piece for cell in self.cells for piece in cell)]
        return max([*map(cell_len, pieces), min(self.most, _LEAST_TEXT) if self.is_text else 1])

    @property
    def most(self) -> int:
        """The maximum width: that of the longest cell on one line."""
        return max(map(cell_len, [self.name, *map(" ".join, self.cells)]), default=1)


def result_line(text: str) -> None:
    """Write a line to stdout; on a terminal it is wrapped between words."""
    _out().print(Text(printable(text)))


def table(title: str, rows: Sequence[Row]) -> None:
    """Write a table with at least one row to stdout, fitted to the width of a terminal."""
    out = _out()
    fitted, left_out = build(rows, out.width if is_terminal() else None)
    out.print(Text(printable(title), style="bold"))
    out.print(fitted)
    if left_out:
        out.print(Text(f"(no room for: {', '.join(left_out)}; a wider terminal or --json shows them)", style="dim"))
    out.print()


def _out() -> Console:
    return Console(highlight=False, emoji=False, markup=False, width=None if is_terminal() else _UNBOUNDED)


def build(rows: Sequence[Row], width: int | None) -> tuple[Table, list[str]]:
    """Build a table.

    Args:
        rows: at least one row; all have the same columns.
        width: the width of the terminal, in cells; empty columns are left out. None: no terminal, so nothing is
            shortened, folded or left out.

    Returns:
        The table, and the names of the columns that did not fit.
    """
    columns = [_column(name, [row[name] for row in rows], is_short=width is not None) for name in rows[0]]
    if width is not None:
        columns = [each for each in columns if any(each.cells)] or columns[:1]
    kept = columns if width is None else _fitting(columns, width)
    rooms = list(zip(kept, _widths(kept, width), strict=True))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for column, room in rooms:
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(_folded(column.name.split(), room), width=room, no_wrap=True, justify=justify)
    for number in range(len(rows)):
        table.add_row(*(_folded(column.cells[number], room) for column, room in rooms))
    return table, [column.name for column in columns[len(kept) :]]


def shown(value: Any, *, is_short: bool) -> str:
    """Format a value as one line: yes and no, thousands separators, times in UTC. `is_short`: times to the minute."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%MZ}" if is_short else value.isoformat(timespec="seconds")
    return printable(str(value))


def _column(name: str, values: Sequence[Any], *, is_short: bool) -> Column:
    kinds = {type(each) for each in values if each is not None}
    is_text = any(isinstance(each, str) and " " in each for each in values)
    cells = [list(_pieces(each, is_short=is_short)) for each in values]
    return Column(name, cells, is_number=bool(kinds) and kinds <= {int, float}, is_text=is_text)


def _pieces(value: Any, *, is_short: bool) -> Iterator[str]:
    if isinstance(value, list | tuple):
        yield from _listed([printable(str(each)) for each in value], most=_MOST_IDS if is_short else len(value))
    elif isinstance(value, datetime):
        yield shown(value, is_short=is_short)
    else:
        for word in shown(value, is_short=is_short).split():
            yield from chop_cells(word, _LONGEST_WORD) if is_short else [word]


def _listed(ids: Sequence[str], most: int) -> list[str]:
    pieces = [f"{each}," for each in ids[:most]]
    if len(ids) > most:
        return [*pieces, *f"and {len(ids) - most:,} more".split()]
    return [*pieces[:-1], ids[-1]] if ids else []


def _fitting(columns: Sequence[Column], width: int) -> Sequence[Column]:
    """Return as many columns as fit, starting with the first."""
    kept = len(columns)
    while kept > 1 and sum(each.least for each in columns[:kept]) + _GAP * (kept - 1) > width:
        kept -= 1
    return columns[:kept]


def _widths(columns: Sequence[Column], width: int | None) -> list[int]:
    """Return the width of each column. Spare width goes first to the columns that need the least."""
    if width is None:
        return [each.most for each in columns]
    widths = [min(each.least, width) for each in columns]
    spare = max(width - sum(widths) - _GAP * (len(columns) - 1), 0)
    wanting = sorted(range(len(columns)), key=lambda number: columns[number].most - widths[number])
    for rank, number in enumerate(wanting):
        more = min(columns[number].most - widths[number], spare // (len(wanting) - rank))
        widths[number] += max(more, 0)
        spare -= max(more, 0)
    return widths


def _folded(pieces: Sequence[str], width: int) -> Text:
    """Join pieces to lines of this width; a piece that is wider is folded."""
    lines: list[str] = []
    for piece in (part for each in pieces for part in chop_cells(each, width)):
        if lines and cell_len(lines[-1]) + 1 + cell_len(piece) <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return Text("\n".join(lines))
