"""A file from a stranger becomes batches of rows, in bounded memory, or one line that says why not.

What belongs here: what a file may cost, and errors. What does not: which layer is meant (`candidates`), what a file is
(`formats`), zips (`archives`), what a row means, and whether the coordinates can be what the file says (the CRS gates).
"""

import errno
import warnings
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyogrio
import pyproj
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import format_detection, gdal_layer
from zoning_assets.sources.files.gdal_layer import LayerFile
from zoning_assets.sources.files.layer_choice import Search, choose, held, left_out

__all__ = ["LayerFile", "batches", "find_layer"]

MOST_BYTES = 8 * 2**30  # what a zip may expand to
ROWS = 2000

#: Everything GDAL, pyarrow, pyproj and expat raise on a broken file. UnicodeDecodeError and ArrowInvalid are
#: ValueErrors; a file without a layer is an IndexError, an encoding that nobody knows a LookupError.
_BROKEN = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(pa.ArrowException, pyproj.exceptions.CRSError, ValueError, LookupError, OSError),
    UnboundLocalError,  # pyogrio 0.13, of a .prj that is no text
)

#: This machine's own trouble is not the file's.
_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

#: How GDAL is set, for the whole process; aiohttp is not touched. A second wall behind `formats`, for what a recognised
#: file may still refer to: /vsicurl/ and its kin open nothing, and whatever asks by HTTP all the same gets a proxy that
#: is not there. And GDAL's faster reader of FlatGeobuf, which writes rows over one another after one without a shape
#: (3.12.4), is not used.
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
    """The one layer meant in the file or folder at `path`; a zip is unpacked below `into`, and a CSV made UTF-8.

    Without `layer`, the only one that may hold polygons. A shapefile without .prj has `crs` None: the CRS gate asks for
    `crs = ` in the jurisdiction file. `named`: columns that the jurisdiction file names; a shapefile, whose names end
    after ten letters, has them under their full names. `geometry`: the column of a CSV that holds the shapes.

    Raises:
        FileRefused: not a format read here, damaged, not safe, or several layers to choose from.

    """
    with _translated(where):
        search = Search(where, into, most_bytes, geometry, layer, named)
        found = held(path, search)
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
    """All rows, at most `rows` at a time: the attributes, `geometry` (WKB, in the file's CRS, Z and M as they are) and
    `fid` (int64: the file's feature id, or the running number from 0; the same at every reading).

    An attribute that is called `geometry` or `fid` itself gets a `_` behind its name. Arcs come as polylines.

    Raises:
        FileRefused: the file is damaged, or gave other than the `rows` it promised.

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
        what = f"the file promises {layer_file.rows:,} rows and gives {seen:,}"
        raise FileRefused(what, where=layer_file.where, do=format_detection.AGAIN)


def _next(source: Generator[pa.RecordBatch, None, None], where: str) -> pa.RecordBatch | None:
    with _translated(where):
        return next(source, None)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Foreign errors become FileRefused. GDAL's warnings end here: what they tell of, the rows show themselves (a null
    geometry, a repeated id), and as errors they would arise in a callback that cannot raise. Never held across a yield.
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
