"""Read a file from a portal as batches of rows, in bounded memory; or refuse it with a message of one line.

What belongs here: size limits and the translation of errors. What does not: choosing the layer (layer_choice),
detecting the format (format_detection), zips (zip_archive), the meaning of a row, and the check of coordinates.
"""

import errno
import warnings
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyogrio
import pyproj
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import format_detection, gdal_layer
from zoning_assets.sources.files.file_contents import Search, contents_of
from zoning_assets.sources.files.gdal_layer import LayerFile
from zoning_assets.sources.files.layer_choice import choose, left_out

__all__ = ["LayerFile", "batches", "find_layer", "matching_ids"]

MOST_BYTES = 8 * 2**30  # the most bytes that a zip may expand to
ROWS = 2000

#: The errors of GDAL, pyarrow, pyproj and expat for a broken file. UnicodeDecodeError and ArrowInvalid are ValueErrors;
#: a file without a layer raises IndexError, an unknown encoding LookupError.
_BROKEN = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(pa.ArrowException, pyproj.exceptions.CRSError, ValueError, LookupError, OSError),
    UnboundLocalError,  # of pyogrio 0.13, if a .prj is not text
)

#: Errors of this machine, not of the file.
_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

#: Settings of GDAL, for the whole process. They are a second protection behind format_detection, for a recognised file
#: that refers to other files: /vsicurl/ and similar open nothing, and HTTP requests of GDAL go to a proxy that does not
#: exist. aiohttp is not affected. GDAL's faster reader of FlatGeobuf is off: after a row without a shape it overwrites
#: rows (3.12.4).
_SETTINGS = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTP_MAX_RETRY": "0",
    "OGR_FLATGEOBUF_STREAM_BASE_IMPL": "YES",
}


def find_layer(  # noqa: PLR0913 - which layer, and where to work
    path: Path,
    *,
    where: str,
    layer: str | None,
    into: Path,
    named: Collection[str] = (),
    geometry: str | None = None,
    most_bytes: int = MOST_BYTES,
) -> LayerFile:
    """Find the layer that is meant in a file or folder. Without `layer`: the only one that may hold polygons.

    A zip is unpacked below `into`, and a CSV is converted to UTF-8. A shapefile without .prj has `crs` None.

    Args:
        path: the file or folder.
        where: the name of the file in messages.
        layer: the layer that the jurisdiction file names.
        into: a folder for unpacked and converted files.
        named: the columns that the jurisdiction file names. A shapefile, whose names are cut after ten letters, has
            these columns under their full names.
        geometry: the column of a CSV with the shapes.
        most_bytes: the most bytes that a zip may expand to.

    Raises:
        FileRefused: the format is unknown, the file is damaged or unsafe, or there are several layers.
    """
    with _translated(where):
        search = Search(where, into, most_bytes, geometry, layer, named)
        found = contents_of(path, search)
        chosen = choose(found, search)
        described = gdal_layer.describe(
            chosen.ready() if chosen.ready else chosen.path,
            chosen.format,
            chosen.layer,
            where,
            named=named,
            table=chosen.table,
            info=chosen.info,
            rows=chosen.rows,
        )
        return replace(described, at=chosen.at, left_out=left_out(found, chosen))


def batches(layer_file: LayerFile, *, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """All rows, at most `rows` at a time.

    Columns: the attributes; `geometry` (WKB, in the file's CRS and axis order, Z and M unchanged); `fid` (int64: the
    file's feature id, or a number counted from 0; equal at every reading). An attribute called `geometry` or `fid` gets
    a `_` appended. Arcs are returned as polylines.

    Raises:
        FileRefused: the file is damaged, or has another number of rows than it states.
    """
    seen = 0
    source = gdal_layer.stream(layer_file, rows)
    try:
        while (batch := _next(source, layer_file.where)) is not None:
            seen += len(batch)
            yield batch
    finally:
        source.close()
    if layer_file.rows is not None and seen != layer_file.rows:
        what = f"the file states {layer_file.rows:,} rows, but contains {seen:,}"
        raise FileRefused(what, where=layer_file.where, do=format_detection.AGAIN)


def matching_ids(layer_file: LayerFile, clause: str) -> npt.NDArray[np.int64]:
    """The feature ids of the rows that meet a clause in OGR SQL, in the order of the file.

    Raises:
        FileRefused: GDAL refuses the clause, or does not read files of this format, or the file is damaged.
    """
    try:
        with _translated(layer_file.where):
            return gdal_layer.matching_ids(layer_file, clause)
    except FileRefused as refusal:
        if not isinstance(refusal.__cause__, _BROKEN):
            raise
        columns = ", ".join(name for name, _ in layer_file.columns)[:400]
        what = f'where = "{clause}": GDAL refuses it ({refusal.__cause__}); the columns are: {columns}'
        raise FileRefused(what, where=layer_file.where, do="fix `where` in the jurisdiction file") from refusal


def _next(source: Generator[pa.RecordBatch, None, None], where: str) -> pa.RecordBatch | None:
    with _translated(where):
        return next(source, None)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate errors to FileRefused, and suppress GDAL's warnings: the rows show what they report (a null geometry, a
    repeated id), and as errors they would be raised in a callback that cannot raise. Never keep it open across a yield.
    """
    pyogrio.set_gdal_config_options(_SETTINGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (PermissionError, FileNotFoundError) as absent:
        raise FileRefused(
            f"the file cannot be opened ({absent.strerror})", where=where, do="check the path"
        ) from absent
    except _BROKEN as damage:
        if isinstance(damage, OSError) and damage.errno in _OURS:
            raise
        raise FileRefused(
            f"the file is damaged ({str(damage)[:240]})", where=where, do=format_detection.AGAIN
        ) from damage
