"""The digits of a .dbf: read piece by piece, whatever the size of the table."""

import io
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from zoning_assets.sources.files import dbf

WIDTH, FILLER = 20, 235


class CountedFile(io.BytesIO):
    """A file that cannot be mapped into memory and notes how much is read at once."""

    def __init__(self, path: "CountedPath") -> None:
        super().__init__(path.read_bytes())
        self.sizes = path.sizes

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.sizes.append(len(found))
        return found


class CountedPath(type(Path())):  # type: ignore[misc]
    """A path whose file is a CountedFile."""

    sizes: list[int]

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        assert mode == "rb"
        return CountedFile(self)

    def read_bytes(self) -> bytes:
        return Path(self).read_bytes()


def table(folder: Path, cells: list[str], width: int = WIDTH, filler: int = FILLER) -> tuple[dbf.DbfTable, list[int]]:
    """A table of one number and a long text a row, and the sizes of what is read of it."""
    path = folder / "lots.dbf"
    size = 1 + width + filler
    head = struct.pack("<4BIHH20x", 3, 126, 1, 1, len(cells), 33 + 32 * 2, size)
    head += struct.pack("<11sc4xBB14x", b"PIN", b"N", width, 0) + struct.pack("<11sc4xBB14x", b"NOTE", b"C", filler, 0)
    path.write_bytes(head + b"\r" + b"".join(b" " + cell.encode().rjust(width) + b" " * filler for cell in cells))
    counted = CountedPath(path)
    counted.sizes = []
    fields = (dbf.DbfField(b"PIN", "N", 1, width), dbf.DbfField(b"NOTE", "C", 1 + width, filler))
    return dbf.DbfTable(counted, 97, size, len(cells), fields), counted.sizes


ROWS = 3 * dbf.CHUNK // (1 + WIDTH + FILLER)
PINS = [str(10**18 + n) for n in range(ROWS)]


def test_a_long_table_is_looked_at_piece_by_piece(tmp_path: Path) -> None:
    """No read is larger than the bound, and the last row counts."""
    found, sizes = table(tmp_path, [*"1" * ROWS, PINS[0]])
    assert dbf.long_columns(found, ()) == {0: pa.decimal256(76, 0)}
    assert sum(sizes) == found.rows * found.size
    assert max(sizes) <= dbf.CHUNK


@pytest.mark.parametrize(
    "rows", [range(10), range(ROWS - 7, ROWS), [0, ROWS - 1], [5, 7, 8], [], [8, 2], range(0, ROWS, 1000), range(ROWS)]
)
def test_only_the_rows_that_are_asked_for_are_read(tmp_path: Path, rows: list[int]) -> None:
    """In the order in which they are asked for; never more at once than the bound, nor more than lies between them."""
    found, sizes = table(tmp_path, PINS)
    digits = dbf.with_digits(found, 0, pa.decimal256(76, 0), rows)
    assert [str(pin) for pin in digits.to_pylist()] == [PINS[row] for row in rows]
    between = max(rows) + 1 - min(rows) if rows else 0
    assert sum(sizes) <= between * found.size
    assert max(sizes, default=0) <= dbf.CHUNK


def test_rows_that_the_file_lacks_are_null(tmp_path: Path) -> None:
    """A table that is one byte short, and a number beyond its end."""
    found, _ = table(tmp_path, PINS[:3], filler=1)
    Path(found.path).write_bytes(Path(found.path).read_bytes()[:-1])
    digits = dbf.with_digits(found, 0, pa.string(), [2, 3, 9])
    assert digits.to_pylist() == [PINS[2], None, None]
