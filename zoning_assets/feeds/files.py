"""A file from a stranger becomes batches of rows, in bounded memory, or one line that says why not.

What belongs here: choosing the layer, and reading it. What does not: what a file is (`formats`), zips (`archives`),
what a row means, and whether the coordinates can be what the file says (the CRS gates).
"""

import errno
import hashlib
import warnings
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
import pyproj
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from zoning_assets.errors import FileRefused
from zoning_assets.feeds import archives, delimited, formats, json_text, kml, layers
from zoning_assets.feeds.layers import LayerFile

__all__ = ["LayerFile", "batches", "find_layer"]

MOST_BYTES = 8 * 2**30  # what a zip may expand to
ROWS = 2000

#: Everything GDAL, pyarrow and pyproj raise on a broken file. UnicodeDecodeError and ArrowInvalid are ValueErrors.
_BROKEN = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(pa.ArrowException, pyproj.exceptions.CRSError, ValueError, KeyError, OSError),
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


@dataclass(frozen=True)
class _Search:
    where: str
    into: Path
    most_bytes: int
    geometry: str | None
    named: Collection[str]


@dataclass(frozen=True)
class _Candidate:
    path: Path
    format: str
    layer: str
    polygons: bool  # or not known before reading
    table: delimited.Table | None = None  # of a CSV
    info: Mapping[str, Any] | None = None  # what GDAL says of it, where it was asked already

    def called(self, name: str) -> bool:
        """A one-layer file may also be called by its stem: a GeoJSON's inner name is seldom known."""
        return name.casefold() in {self.layer.casefold(), self.path.stem.casefold()}


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
        chosen = _choose(list(_candidates(path, _Search(where, into, most_bytes, geometry, named))), where, layer)
        return layers.describe(
            chosen.path, chosen.format, chosen.layer, where, named=named, table=chosen.table, info=chosen.info
        )


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
        raise FileRefused(f"the file is damaged ({str(damage)[:240]})", where=where, do=formats.AGAIN) from damage


def _candidates(path: Path, search: _Search) -> Iterator[_Candidate]:
    path = path.resolve()
    if path.is_dir() and not (path / "a00000001.gdbtable").is_file():
        yield from _inside(path, search)
        return
    path = json_text.utf8(path, search.into)
    format_ = formats.recognise(path, search.where)
    if format_ == formats.ZIP:
        folder = _unpacked(path, search)
        yield from _inside(folder, replace(search, into=folder.parent))
    else:
        yield from _layers(path, format_, search)


def _unpacked(path: Path, search: _Search) -> Path:
    """Named by content, so that whoever asks again for the same download finds it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return archives.unpack(path, search.into.resolve() / digest[:32], where=search.where, most_bytes=search.most_bytes)


def _inside(folder: Path, search: _Search) -> Iterator[_Candidate]:
    """The layers of all files below a folder; what is not recognised (.prj, .xml, .pdf) is left alone, and so are
    tables beside a layer of polygons.
    """
    recognised = sorted(_recognised(folder, search.where), key=lambda found: found[1] == formats.CSV)
    polygons = False
    for path, format_ in recognised:
        if format_ != formats.CSV or not polygons:
            for candidate in _layers(path, format_, search):
                polygons |= candidate.polygons
                yield candidate
    if not recognised:
        names = ", ".join(path.name for path in _files(folder)[:8]) or "nothing"
        raise FileRefused(f"it holds no layer that can be read, only: {names}", where=search.where, do=formats.KNOWN)


def _recognised(folder: Path, where: str) -> Iterator[tuple[Path, str]]:
    for path in _files(folder):
        with suppress(FileRefused):
            if (format_ := formats.recognise(path, where)) != formats.ZIP:
                yield path, format_


def _files(folder: Path) -> list[Path]:
    """Files, and FileGDB folders as one each; the index of a shapefile has its magic number too, and is no layer."""
    tables = {path.parent for path in folder.rglob("a00000001.gdbtable")}
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(tables | {path for path in files if path.parent not in tables and path.suffix.lower() != ".shx"})


def _layers(path: Path, format_: str, search: _Search) -> Iterator[_Candidate]:
    where = search.where
    if format_ == formats.SHAPEFILE:
        formats.shapefile_rows(path, where)
    if format_ == formats.PARQUET:
        yield _Candidate(path, format_, path.stem, polygons=True)
        return
    if format_ == formats.CSV:
        table = delimited.ready(path, formats.start_of(path), where, search.into, search.geometry)
        yield _Candidate(path, format_, path.stem, polygons=table.head.shape is not None, table=table)
        return
    if format_ in (formats.GEOJSON, formats.GEOJSON_LINES):  # one layer, and a question is a reading of the whole file
        path = json_text.ready(path, search.into, search.named)
        info = pyogrio.read_info(layers.source(path, format_))
        yield _Candidate(path, format_, str(info["layer_name"]), _may_hold_polygons(info["geometry_type"]), info=info)
        return
    placemarks = kml.placemarks(path, where) if format_ == formats.KML else None  # before GDAL sees it
    path = _named_gdb(path) if format_ == formats.FILE_GDB else path
    listed = [(str(name), kind) for name, kind in pyogrio.list_layers(layers.source(path, format_))]
    if placemarks is not None:
        _check_kml(path, [name for name, _ in listed], placemarks, where)
    for name, kind in listed:
        yield _Candidate(path, format_, name, _may_hold_polygons(kind))


def _may_hold_polygons(kind: str | None) -> bool:
    return kind is not None and any(word in kind for word in ("Polygon", "Surface", "Unknown", "Geometry"))


def _check_kml(path: Path, names: list[str], placemarks: int, where: str) -> None:
    """GDAL must find each placemark in a layer."""
    found = sum(pyogrio.read_info(path, layer=name, force_feature_count=True)["features"] for name in names)
    if found != placemarks:
        what = f"the KML holds {placemarks:,} placemarks, of which {found:,} are read"
        raise FileRefused(what, where=where, do="take another format")


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
    if not fitting and not layer and len(candidates) == 1 and candidates[0].table:
        return candidates[0]  # a table of points: it is read, and its rows are judged
    exact = [c for c in fitting if c.layer == layer]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if not candidates:
        raise FileRefused("the file is damaged (it holds no layer)", where=where, do=formats.AGAIN)
    names = ", ".join(sorted(repr(c.layer) for c in candidates)[:20]) or "none"
    which = f"no single layer is called {layer!r}" if layer else f"{len(fitting)} layers may hold polygons"
    raise FileRefused(f"{which}; there are: {names}", where=where, do="name one as `layer` in the jurisdiction file")
