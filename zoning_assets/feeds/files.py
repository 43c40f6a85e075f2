"""A file from a stranger becomes batches of rows, in bounded memory, or one line that says why not.

What belongs here: choosing the layer, and reading it. What does not: what a file is (`formats`), zips (`archives`),
what a row means, and whether the coordinates can be what the file says (the CRS gates).
"""

import errno
import hashlib
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyogrio
import pyproj
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from zoning_assets.errors import FileRefused
from zoning_assets.feeds import archives, formats, layers
from zoning_assets.feeds.layers import LayerFile

__all__ = ["LayerFile", "batches", "find_layer"]

MOST_BYTES = 8 * 2**30  # what a zip may expand to
ROWS = 2000

#: Everything GDAL, pyarrow and pyproj raise on a broken file. UnicodeDecodeError and ArrowInvalid are ValueErrors.
_BROKEN = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(pa.ArrowException, pyproj.exceptions.CRSError, ValueError, KeyError, OSError),
)

#: This machine's own trouble is not the file's.
_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

#: A second wall behind `formats`, for what a recognised file may still refer to: /vsicurl/ and its kin open nothing,
#: and whatever asks by HTTP all the same gets a proxy that is not there. For the whole process; aiohttp is not touched.
_SHUT_IN = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none", "GDAL_HTTP_PROXY": "127.0.0.1:9", "GDAL_HTTP_MAX_RETRY": "0"}


@dataclass(frozen=True)
class _Candidate:
    path: Path
    format: str
    layer: str
    polygons: bool  # or not known before reading

    def called(self, name: str) -> bool:
        """A one-layer file may also be called by its stem: a GeoJSON's inner name is seldom known."""
        return name.casefold() in {self.layer.casefold(), self.path.stem.casefold()}


def find_layer(
    path: Path, *, where: str, layer: str | None, into: Path | None = None, most_bytes: int = MOST_BYTES
) -> LayerFile:
    """The one layer meant in the file or folder at `path`; a zip is unpacked below `into` (None: a temporary one).

    Without `layer`, the only one that may hold polygons. A shapefile without .prj has `crs` None: the CRS gate asks for
    `crs = ` in the jurisdiction file.

    Raises:
        FileRefused: not a format read here, damaged, not safe, or several layers to choose from.

    """
    with _translated(where):
        chosen = _choose(list(_candidates(path, where, into, most_bytes)), where, layer)
        return layers.describe(chosen.path, chosen.format, chosen.layer, where)


def batches(layer_file: LayerFile, *, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """All rows, at most `rows` at a time: the attributes, `geometry` (WKB, in the file's CRS, Z and M as they are) and
    `fid` (int64: the file's feature id, or the running number from 0; the same at every reading).

    An attribute that is called `geometry` or `fid` itself gets a `_` behind its name. Arcs come as polylines.

    Raises:
        FileRefused: the file is damaged, or gave other than the `rows` it promised.

    """
    seen = 0
    source = layers.stream(layer_file, rows)
    try:
        while (batch := _next(source, layer_file.where)) is not None:
            seen += len(batch)
            yield batch
    finally:
        source.close()
    if layer_file.rows is not None and seen != layer_file.rows:
        what = f"the file promises {layer_file.rows:,} rows and gives {seen:,}"
        raise FileRefused(what, where=layer_file.where, do=formats.AGAIN)


def _next(source: Generator[pa.RecordBatch, None, None], where: str) -> pa.RecordBatch | None:
    with _translated(where):
        return next(source, None)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Foreign errors become FileRefused. GDAL's warnings end here: what they tell of, the rows show themselves (a null
    geometry, a repeated id), and as errors they would arise in a callback that cannot raise. Never held across a yield.
    """
    pyogrio.set_gdal_config_options(_SHUT_IN)
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
        raise FileRefused(f"the file is damaged ({str(damage)[:240]})", where=where, do=formats.AGAIN) from damage


def _candidates(path: Path, where: str, into: Path | None, most_bytes: int) -> Iterator[_Candidate]:
    path = path.resolve()
    if path.is_dir() and not (path / "a00000001.gdbtable").is_file():
        yield from _inside(path, where)
        return
    format_ = formats.recognise(path, where)
    if format_ == formats.ZIP:
        yield from _inside(_unpacked(path, where, into, most_bytes), where)
    else:
        yield from _layers(path, format_, where)


def _unpacked(path: Path, where: str, into: Path | None, most_bytes: int) -> Path:
    """Named by content, so that whoever asks again for the same download finds it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    below = into or Path(tempfile.mkdtemp(prefix="zoning-files-"))
    return archives.unpack(path, below.resolve() / digest[:32], where=where, most_bytes=most_bytes)


def _inside(folder: Path, where: str) -> Iterator[_Candidate]:
    """The layers of all files below a folder; what is not recognised (.prj, .xml, .pdf) is left alone."""
    found = False
    for path in _files(folder):
        try:
            format_ = formats.recognise(path, where)
        except FileRefused:
            continue
        if format_ != formats.ZIP:
            found = True
            yield from _layers(path, format_, where)
    if not found:
        names = ", ".join(path.name for path in _files(folder)[:8]) or "nothing"
        raise FileRefused(f"it holds no layer that can be read, only: {names}", where=where, do=formats.KNOWN)


def _files(folder: Path) -> list[Path]:
    """Files, and FileGDB folders as one each; the index of a shapefile has its magic number too, and is no layer."""
    tables = {path.parent for path in folder.rglob("a00000001.gdbtable")}
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(tables | {path for path in files if path.parent not in tables and path.suffix.lower() != ".shx"})


def _layers(path: Path, format_: str, where: str) -> Iterator[_Candidate]:
    if format_ == formats.SHAPEFILE:
        formats.shapefile_rows(path, where)
    if format_ == formats.PARQUET:
        yield _Candidate(path, format_, path.stem, polygons=True)
        return
    path = _named_gdb(path) if format_ == formats.FILE_GDB else path
    for name, kind in pyogrio.list_layers(layers.source(path, format_)):
        polygons = kind is not None and any(word in kind for word in ("Polygon", "Surface", "Unknown", "Geometry"))
        yield _Candidate(path, format_, str(name), polygons)


def _named_gdb(folder: Path) -> Path:
    """GDAL knows a FileGDB by its folder's name. Where a zip holds only the tables, a link beside them has it."""
    if folder.suffix.lower() == ".gdb":
        return folder
    link = folder.with_name(f"{folder.name}.gdb")
    if not link.exists():
        link.symlink_to(folder.name, target_is_directory=True)
    return link


def _choose(candidates: list[_Candidate], where: str, layer: str | None) -> _Candidate:
    fitting = [c for c in candidates if (c.called(layer) if layer else c.polygons)]
    exact = [c for c in fitting if c.layer == layer]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if not candidates:
        raise FileRefused("the file is damaged (it holds no layer)", where=where, do=formats.AGAIN)
    names = ", ".join(sorted(repr(c.layer) for c in candidates)[:20]) or "none"
    which = f"no single layer is called {layer!r}" if layer else f"{len(fitting)} layers may hold polygons"
    raise FileRefused(f"{which}; there are: {names}", where=where, do="name one as `layer` in the jurisdiction file")
