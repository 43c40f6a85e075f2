"""The rows of a file that meet a clause in OGR SQL.

GDAL evaluates the clause in a pass of its own and gives the ids of the rows. The rows themselves are read as always, so
that all repairs apply to them, and so that the file is still checked to have all rows that it states.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zoning_assets.sources.download.arrow_cache import Batches, atomic_file
from zoning_assets.sources.files import file_reader
from zoning_assets.sources.files.file_reader import LayerFile

Ids = npt.NDArray[np.int64]


def matching_ids(layer: LayerFile, clause: str, kept: Path) -> Ids:
    """The feature ids of the rows that meet a clause, sorted.

    Args:
        layer: the layer; the clause uses the names of columns as the file spells them.
        clause: a WHERE clause of OGR SQL.
        kept: a file with the ids, for later calls; its name must be of the file's content and of the clause.

    Raises:
        FileRefused: GDAL refuses the clause, or does not read files of this format.
    """
    if kept.exists():
        found: Ids = np.load(kept, allow_pickle=False)
        return found
    found = np.sort(file_reader.matching_ids(layer, clause))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(kept) as draft, draft.open("wb") as file:
        np.save(file, found, allow_pickle=False)
    return found


def selected(batches: Batches, ids: Ids) -> Batches:
    """The batches with only the rows that have these ids; batches without such a row are left out."""

    def again() -> Iterator[pa.RecordBatch]:
        for batch in batches():
            keep = np.isin(batch.column("fid").to_numpy(zero_copy_only=False), ids)
            if keep.any():
                yield batch.filter(pa.array(keep))

    return again
