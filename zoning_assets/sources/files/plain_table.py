"""A table as text without shapes, alone or in a zip: the table that is joined to a layer.

GDAL is not used: it opens files with shapes here, and each value of such a table is text anyway.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from zoning_assets.errors import FileRefused
from zoning_assets.sources.download.arrow_cache import name_of
from zoning_assets.sources.files import delimited_text, format_detection, zip_archive
from zoning_assets.sources.files.delimited_text import DelimitedTable
from zoning_assets.transform.column_names import find_column

_ROWS = 2000
_MOST_BYTES = 8 * 2**30  # the most bytes that a zip may expand to
#: Names that read_arrow needs; a column with such a name gets a `_` appended, as in file_reader.
_TAKEN = ("geometry", "fid")


@dataclass(frozen=True)
class PlainTable:
    """A table that was checked and can be read.

    Attributes:
        table: the prepared file.
        columns: the names of its columns; where they differ from those of the jurisdiction file only in upper and lower
            case, the names of that file.
    """

    table: DelimitedTable
    columns: Sequence[str]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows as text, empty cells as null; and an empty column `geometry`."""
        cells = delimited_text.cells(self.table)
        while rows := list(islice(cells, _ROWS)):
            columns = [[cell or None for cell in column] for column in zip(*rows, strict=True)]
            arrays = [*(pa.array(each, pa.string()) for each in columns), pa.nulls(len(rows), pa.binary())]
            yield pa.RecordBatch.from_arrays(arrays, names=[*self.columns, "geometry"])


def find(path: Path, *, where: str, layer: str | None, into: Path, named: Collection[str]) -> PlainTable | None:
    """Find the table in a file or a zip; None: it is no text table, but may be a layer.

    Args:
        path: the file.
        where: the name of the file in messages.
        layer: the name of the table in a zip with several.
        into: a folder for unpacked and converted files.
        named: the columns that the jurisdiction file names.

    Raises:
        FileRefused: it is damaged, a zip has several tables, or a named column exists twice.
    """
    found = _in_zip(path, where, layer, into) if _is_zip(path) else path
    if found is None or not found.is_file():
        return None
    start = format_detection.start_of(found)
    head = format_detection.head_of_table(start)
    if head is None:
        return None
    table = delimited_text.plain(found, start, head, where, into)
    columns = [f"{name}_" if name in _TAKEN else name for name in table.head.columns]
    if twice := sorted({name for name in named if columns.count(name) > 1}):
        what = f"the table has several columns {twice[0]!r}"
        raise FileRefused(what, where=where, do="ask the publisher; what was published before is kept")
    ours = {find_column(name, columns): name for name in named if name not in columns}
    return PlainTable(table, _distinct([ours.get(name, name) for name in columns]))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with the place of a column appended where a name is repeated."""
    return [f"{name}_{place}" if names.index(name) < place else name for place, name in enumerate(names)]


def _is_zip(path: Path) -> bool:
    return path.is_file() and format_detection.start_of(path).startswith(b"PK\x03\x04")


def _in_zip(path: Path, where: str, layer: str | None, into: Path) -> Path | None:
    folder = zip_archive.unpack(path, into / f"tables-{name_of(path)}", where=where, most_bytes=_MOST_BYTES)
    tables = [each for each in sorted(folder.rglob("*")) if each.suffix.lower() in (".csv", ".tsv", ".txt", ".tab")]
    wanted = layer and layer.casefold()
    fitting = [each for each in tables if wanted in (None, each.name.casefold(), each.stem.casefold())]
    if len(fitting) > 1:
        names = ", ".join(each.name for each in fitting[:20])
        what = f"the zip has several tables: {names}"
        raise FileRefused(what, where=where, do="name one as `layer` of the join in the jurisdiction file")
    return fitting[0] if fitting else None
