"""The layers that a file, a folder or a zip offers, and which of them is meant.

Everything in it is either looked at or named as left out. What belongs here: choosing. What does not: what a file is
(`formats`), unpacking (`archives`), rows (`layers`).
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

_MOST_NAMED = 50  # of what is left out


@dataclass(frozen=True)
class Search:
    """What is looked for, and with which bounds.

    Attributes:
        where: how messages call the file.
        into: a folder to unpack to.
        most_bytes: what zips may expand to, together.
        geometry: the column of a table that holds the shapes, where the jurisdiction file names it.
        layer: the layer that the jurisdiction file names.
        named: the columns that it names.
    """

    where: str
    into: Path
    most_bytes: int
    geometry: str | None
    layer: str | None
    named: Collection[str]


@dataclass(frozen=True)
class Candidate:
    """A layer of a file."""

    path: Path
    format: str
    layer: str
    polygons: bool  # or not known before reading
    table: delimited_text.Table | None = None  # of a CSV
    info: Mapping[str, Any] | None = None  # what GDAL says of it, where it was asked already
    rows: int | None = None  # how many it holds, where they were counted already
    ready: Callable[[], Path] | None = None  # makes it fit for GDAL, once it is chosen
    at: str = ""  # the file's place in a folder or zip
    members: tuple[str, ...] = ()  # of the file, which are not read

    def called(self, name: str) -> bool:
        """By the layer's name, or by the file's, with or without its suffix and its folders: a GeoJSON's inner name is
        seldom known.
        """
        names = {self.layer, self.path.stem, Path(self.at).stem, Path(self.at).name, self.at, _bare(self.at)}
        return name.casefold() in {each.casefold() for each in names if each}


@dataclass(frozen=True)
class Held:
    """What a folder or zip holds: layers, files that could have been layers and are damaged, and all files."""

    candidates: tuple[Candidate, ...]
    damaged: tuple[FileRefused, ...] = ()
    files: tuple[str, ...] = ()

    def __add__(self, other: "Held") -> "Held":
        return Held(
            self.candidates + other.candidates, self.damaged + other.damaged, tuple(sorted(self.files + other.files))
        )


def held(path: Path, search: Search) -> Held:
    """The layers in the file, folder or zip at `path`. A zip within is looked into if nothing beside it is meant.

    Raises:
        FileRefused: there is no layer in it, it is damaged, or not safe.
    """
    path = path.resolve()
    is_folder = path.is_dir() and not (path / "a00000001.gdbtable").is_file()
    path = path if path.is_dir() else json_repair.utf8(path, search.into)
    format_ = None if is_folder else format_detection.recognise(path, search.where)
    if format_ is not None and format_ != format_detection.ZIP:
        return Held(tuple(_layers(path, format_, search)))
    packed = None if is_folder else path.stat().st_size
    folder = path if is_folder else _unpacked(path, search, packed)
    search = search if is_folder else replace(search, into=folder.parent)
    found = _inside(folder, search, "")
    inner = [each for each in _files(folder) if each.suffix != ".shx" and _is_zip(each, search.where)]
    if inner and not _fitting(found.candidates, search.layer):
        found = replace(found, files=tuple(name for name in found.files if folder / name not in inner))
        found += _of_zips(inner, folder, search, packed)
    if not found.candidates and not found.damaged:
        names = ", ".join(found.files[:8]) or "nothing"
        do = f"{format_detection.KNOWN}, also in a zip within a zip, but no deeper"
        raise FileRefused(f"it holds no layer that can be read, only: {names}", where=search.where, do=do)
    return found


def choose(found: Held, search: Search) -> Candidate:
    """The one layer meant.

    Raises:
        FileRefused: there is none, or more than one; the message names them and the key that chooses.
    """
    candidates = found.candidates
    fitting = _fitting(candidates, search.layer)
    if found.damaged and not (search.layer and fitting):
        raise found.damaged[0]
    if not fitting and not search.layer and len(candidates) == 1 and candidates[0].table:
        return candidates[0]  # a table of points: it is read, and its rows are judged
    exact = [each for each in fitting if search.layer in (each.layer, each.at)]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if not candidates:
        raise FileRefused("the file is damaged (it holds no layer)", where=search.where, do=format_detection.AGAIN)
    names = ", ".join(sorted(map(repr, _names(candidates)))[:20])
    layer = search.layer
    which = f"no single layer is called {layer!r}" if layer else f"{len(fitting)} layers may hold polygons"
    raise FileRefused(
        f"{which}; there are: {names}", where=search.where, do="name one as `layer` in the jurisdiction file"
    )


def left_out(found: Held, chosen: Candidate) -> tuple[str, ...]:
    """What the input holds and the chosen layer does not: other files, other layers of its file, other members."""
    others = [name for name in found.files if not _belongs(name, chosen)]
    others += [f"layer {each.layer}" for each in found.candidates if each.at == chosen.at and each != chosen]
    others += [f"member {name}" for name in chosen.members]
    more = len(others) - _MOST_NAMED
    return (*others[:_MOST_NAMED], *([f"and {more:,} more"] if more > 0 else []))


def _belongs(name: str, chosen: Candidate) -> bool:
    """Whether a file is the chosen one, or a companion of a shapefile."""
    if name == chosen.at:
        return True
    stem = _bare(chosen.at)
    parts = {f"{stem}{suffix}".casefold() for suffix in shapefile.SUFFIXES}
    return chosen.format == format_detection.SHAPEFILE and name.casefold() in parts


def _names(candidates: Sequence[Candidate]) -> list[str]:
    """What candidates are called, so that each name means one."""
    layers_ = [each.layer for each in candidates]
    return [each.layer if layers_.count(each.layer) == 1 or not each.at else each.at for each in candidates]


def _bare(at: str) -> str:
    return at[: -len(Path(at).suffix)] if Path(at).suffix else at


def _fitting(candidates: Iterable[Candidate], layer: str | None) -> list[Candidate]:
    return [each for each in candidates if (each.called(layer) if layer else each.polygons)]


def _unpacked(path: Path, search: Search, packed: int | None) -> Path:
    """Named by content, so that whoever asks again for the same download finds it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    into = search.into.resolve() / digest[:32]
    return zip_archive.unpack(path, into, where=search.where, most_bytes=search.most_bytes, packed=packed)


def _of_zips(zips: Sequence[Path], folder: Path, search: Search, packed: int | None) -> Held:
    """What zips within a zip hold; together they are bounded as one."""
    left, found = search.most_bytes - _size(folder), Held(())
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


def _inside(folder: Path, search: Search, above: str) -> Held:
    """The layers of all files below a folder; what is not recognised (.prj, .xml, .pdf) is left alone, and so are
    tables beside a layer of polygons.
    """
    found: list[Candidate] = []
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
    return Held(tuple(found), tuple(damaged), tuple(above + path.relative_to(folder).as_posix() for path in files))


def _recognised(files: Iterable[Path], search: Search) -> Iterator[tuple[Path, Path, str]]:
    """Each file with what is read in its place, a copy where it is UTF-16, and the format of that."""
    for path in files:
        if path.suffix.lower() == ".shx":
            continue
        with suppress(FileRefused):
            sound = json_repair.utf8(path, search.into)
            if (format_ := format_detection.recognise(sound, search.where)) != format_detection.ZIP:
                yield path, sound, format_


def _files(folder: Path) -> list[Path]:
    """Files, and FileGDB folders as one each."""
    tables = {path.parent for path in folder.rglob("a00000001.gdbtable")}
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(tables | {path for path in files if path.parent not in tables})


def _layers(path: Path, format_: str, search: Search) -> Iterator[Candidate]:
    where = search.where
    if format_ == format_detection.SHAPEFILE:
        polygons = shapefile.may_hold_polygons(path)
        yield Candidate(path, format_, path.stem, polygons, ready=partial(shapefile.ready, path, where, search.into))
    elif format_ == format_detection.PARQUET:
        yield Candidate(path, format_, path.stem, polygons=True)
    elif format_ == format_detection.CSV:
        table = delimited_text.ready(path, format_detection.start_of(path), where, search.into, search.geometry)
        yield Candidate(path, format_, path.stem, polygons=table.head.shape is not None, table=table)
    elif format_ in (
        format_detection.GEOJSON,
        format_detection.GEOJSON_LINES,
    ):  # a question is a reading of the whole file
        sound = json_repair.ready(path, search.into, search.named)
        yield _collection(geojson_file.ready(sound, format_, where, search.into))
    elif format_ == format_detection.FLATGEOBUF:
        path, rows = row_counts.flatgeobuf(path, search.into, where)
        info = pyogrio.read_info(path)
        yield Candidate(path, format_, str(info["layer_name"]), _may_hold_polygons(info["geometry_type"]), rows=rows)
    else:
        yield from _listed(path, format_, where)


def _collection(found: geojson_file.Collection) -> Candidate:
    polygons, name = _may_hold_polygons(found.info["geometry_type"]), str(found.info["layer_name"])
    path, format_, rows = found.path, found.format, found.features
    return Candidate(path, format_, name, polygons, info=found.info, rows=rows, members=found.members)


def _listed(path: Path, format_: str, where: str) -> Iterator[Candidate]:
    """Layers of formats that have several in a file."""
    placemarks = kml.placemarks(path, where) if format_ == format_detection.KML else None  # before GDAL sees it
    path = _named_gdb(path) if format_ == format_detection.FILE_GDB else path
    listed = [(str(name), kind) for name, kind in pyogrio.list_layers(gdal_layer.source(path, format_))]
    if placemarks is not None:
        _check_kml(path, [name for name, _ in listed], placemarks, where)
    for name, kind in listed:
        yield Candidate(path, format_, name, _may_hold_polygons(kind))


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
