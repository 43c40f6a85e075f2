"""List the layers of a file, a folder or a zip.

What does not belong here: the choice of a layer (layer_choice), detecting formats (format_detection), unpacking
(zip_archive), rows (gdal_layer).
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyogrio

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import (
    delimited_text,
    format_detection,
    gdal_layer,
    kml,
    row_counts,
    shapefile,
    zip_archive,
)
from zoning_assets.sources.files.geojson import geojson_file, json_repair


@dataclass(frozen=True)
class Search:
    """What to search for, and the limits.

    Attributes:
        where: the name of the file in messages.
        into: a folder to unpack to.
        most_bytes: the most bytes that all zips together may expand to.
        geometry: the column of a table with the shapes, if the jurisdiction file names it.
        layer: the layer that the jurisdiction file names.
        named: the columns that the jurisdiction file names.
    """

    where: str
    into: Path
    most_bytes: int
    geometry: str | None
    layer: str | None
    named: Collection[str]


@dataclass(frozen=True)
class LayerCandidate:
    """A layer of a file that may be the one that is meant."""

    path: Path
    format: str
    layer: str
    polygons: bool  # whether it may hold polygons
    table: delimited_text.DelimitedTable | None = None  # of a CSV
    info: Mapping[str, Any] | None = None  # GDAL's description, if it was read already
    rows: int | None = None  # the number of rows, if they were counted already
    ready: Callable[[], Path] | None = None  # prepares the file for GDAL, once it is chosen
    at: str = ""  # the file's path in a folder or zip
    members: tuple[str, ...] = ()  # members of the file that are not read

    def called(self, name: str) -> bool:
        """Whether a name is the layer's or the file's, with or without its suffix and folders. The name of the file is
        allowed because users rarely know the name inside a GeoJSON.
        """
        names = {self.layer, self.path.stem, Path(self.at).stem, Path(self.at).name, self.at, bare_name(self.at)}
        return name.casefold() in {each.casefold() for each in names if each}


@dataclass(frozen=True)
class FileContents:
    """The content of a file, folder or zip: its layers, damaged files that may be layers, and all file names."""

    candidates: tuple[LayerCandidate, ...]
    damaged: tuple[FileRefused, ...] = ()
    files: tuple[str, ...] = ()

    def fitting(self, layer: str | None) -> list[LayerCandidate]:
        """Return the candidates with this name; None: those that may hold polygons."""
        return [each for each in self.candidates if (each.called(layer) if layer else each.polygons)]

    def __add__(self, other: "FileContents") -> "FileContents":
        return FileContents(
            self.candidates + other.candidates, self.damaged + other.damaged, tuple(sorted(self.files + other.files))
        )


def bare_name(at: str) -> str:
    """Return a path without its suffix."""
    return at[: -len(Path(at).suffix)] if Path(at).suffix else at


def contents_of(path: Path, search: Search) -> FileContents:
    """List the layers in the file, folder or zip at `path`. A zip inside is opened if no layer outside of it fits.

    Raises:
        FileRefused: there is no layer, or the file is damaged or unsafe.
    """
    path = path.resolve()
    is_folder = path.is_dir() and not (path / "a00000001.gdbtable").is_file()
    path = path if path.is_dir() else json_repair.utf8(path, search.into)
    format_ = None if is_folder else format_detection.recognise(path, search.where)
    if format_ is not None and format_ != format_detection.ZIP:
        return FileContents(tuple(_layers(path, format_, search)))
    packed = None if is_folder else path.stat().st_size
    folder = path if is_folder else _unpacked(path, search, packed)
    search = search if is_folder else replace(search, into=folder.parent)
    found = _inside(folder, search, "")
    inner = [each for each in _files(folder) if each.suffix != ".shx" and _is_zip(each, search.where)]
    if inner and not found.fitting(search.layer):
        found = replace(found, files=tuple(name for name in found.files if folder / name not in inner))
        found += _of_zips(inner, folder, search, packed)
    if not found.candidates and not found.damaged:
        names = ", ".join(found.files[:8]) or "nothing"
        do = f"{format_detection.KNOWN}, also in a zip within a zip, but no deeper"
        raise FileRefused(f"it holds no layer that can be read, only: {names}", where=search.where, do=do)
    return found


def _unpacked(path: Path, search: Search, packed: int | None) -> Path:
    """Unpack a zip to a folder named by its content, so that the next reading of the same download finds it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    into = search.into.resolve() / digest[:32]
    return zip_archive.unpack(path, into, where=search.where, most_bytes=search.most_bytes, packed=packed)


def _of_zips(zips: Sequence[Path], folder: Path, search: Search, packed: int | None) -> FileContents:
    """The content of zips within a zip; the size limit holds for all together."""
    left, found = search.most_bytes - _size(folder), FileContents(())
    for path in zips:
        name = path.relative_to(folder).as_posix()
        within = replace(search, where=f"{search.where}: {name}", most_bytes=left)
        inner = _unpacked(path, within, packed)
        left -= _size(inner)
        found += _inside(inner, replace(search, into=inner.parent), f"{name}/")
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_zip(path: Path, where: str) -> bool:
    with suppress(FileRefused):
        return path.is_file() and format_detection.recognise(path, where) == format_detection.ZIP
    return False


def _inside(folder: Path, search: Search, above: str) -> FileContents:
    """The layers of all files below a folder. Unknown formats (.prj, .xml, .pdf) are skipped, and so are tables beside
    a layer of polygons.
    """
    found: list[LayerCandidate] = []
    damaged: list[FileRefused] = []
    files = _files(folder)
    for path, sound, format_ in sorted(_recognised(files, search), key=lambda each: each[2] == format_detection.CSV):
        if format_ == format_detection.CSV and any(each.polygons for each in found):
            continue
        at = above + path.relative_to(folder).as_posix()
        try:
            found += [replace(each, at=at) for each in _layers(sound, format_, search)]
        except FileRefused as refusal:
            damaged.append(refusal)
    names = tuple(above + path.relative_to(folder).as_posix() for path in files)
    return FileContents(tuple(found), tuple(damaged), names)


def _recognised(files: Iterable[Path], search: Search) -> Iterator[tuple[Path, Path, str]]:
    """For each file: the file, the file to read (a copy if it is UTF-16), and its format."""
    for path in files:
        if path.suffix.lower() == ".shx":
            continue
        with suppress(FileRefused):
            sound = json_repair.utf8(path, search.into)
            if (format_ := format_detection.recognise(sound, search.where)) != format_detection.ZIP:
                yield path, sound, format_


def _files(folder: Path) -> list[Path]:
    """All files; a FileGDB folder counts as one."""
    tables = {path.parent for path in folder.rglob("a00000001.gdbtable")}
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(tables | {path for path in files if path.parent not in tables})


def _layers(path: Path, format_: str, search: Search) -> Iterator[LayerCandidate]:
    where = search.where
    if format_ == format_detection.SHAPEFILE:
        polygons = shapefile.may_hold_polygons(path)
        prepare = partial(shapefile.ready, path, where, search.into)
        yield LayerCandidate(path, format_, path.stem, polygons, ready=prepare)
    elif format_ == format_detection.PARQUET:
        yield LayerCandidate(path, format_, path.stem, polygons=True)
    elif format_ == format_detection.CSV:
        table = delimited_text.ready(path, format_detection.start_of(path), where, search.into, search.geometry)
        yield LayerCandidate(path, format_, path.stem, polygons=table.head.shape is not None, table=table)
    elif format_ in (format_detection.GEOJSON, format_detection.GEOJSON_LINES):
        # GDAL would read the whole file for each question, so its description is kept.
        sound = json_repair.ready(path, search.into, search.named)
        yield _collection(geojson_file.ready(sound, format_, where, search.into))
    elif format_ == format_detection.FLATGEOBUF:
        path, rows = row_counts.flatgeobuf(path, search.into, where)
        info = pyogrio.read_info(path)
        polygons = _may_hold_polygons(info["geometry_type"])
        yield LayerCandidate(path, format_, str(info["layer_name"]), polygons, rows=rows)
    else:
        yield from _listed(path, format_, where)


def _collection(found: geojson_file.GeoJsonLayer) -> LayerCandidate:
    polygons, name = _may_hold_polygons(found.info["geometry_type"]), str(found.info["layer_name"])
    path, format_, rows = found.path, found.format, found.features
    return LayerCandidate(path, format_, name, polygons, info=found.info, rows=rows, members=found.members)


def _listed(path: Path, format_: str, where: str) -> Iterator[LayerCandidate]:
    """The layers of a format that may have several."""
    placemarks = kml.placemarks(path, where) if format_ == format_detection.KML else None  # before GDAL sees it
    path = _named_gdb(path) if format_ == format_detection.FILE_GDB else path
    listed = [(str(name), kind) for name, kind in pyogrio.list_layers(gdal_layer.source(path, format_))]
    if placemarks is not None:
        _check_kml(path, [name for name, _ in listed], placemarks, where)
    for name, kind in listed:
        yield LayerCandidate(path, format_, name, _may_hold_polygons(kind))


def _may_hold_polygons(kind: str | None) -> bool:
    return kind is not None and any(word in kind for word in ("Polygon", "Surface", "Unknown", "Geometry"))


def _check_kml(path: Path, names: list[str], placemarks: int, where: str) -> None:
    """Check that GDAL finds each placemark in a layer."""
    found = sum(pyogrio.read_info(path, layer=name, force_feature_count=True)["features"] for name in names)
    if found != placemarks:
        what = f"the KML has {placemarks:,} placemarks, but GDAL reads {found:,}"
        raise FileRefused(what, where=where, do="use another format")


def _named_gdb(folder: Path) -> Path:
    """GDAL recognises a FileGDB by its folder's name. If a zip has only the tables, a link with that name is made."""
    if folder.suffix.lower() == ".gdb":
        return folder
    link = folder.with_name(f"{folder.name}.gdb")
    if not link.exists():
        link.symlink_to(folder.name, target_is_directory=True)
    return link
