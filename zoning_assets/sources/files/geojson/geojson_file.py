"""A GeoJSON file as GDAL reads all of it: as it is where GDAL counts what stands in it, else written anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyogrio
from pyogrio.errors import DataSourceError

from zoning_assets.errors import FileRefused
from zoning_assets.sources.download.arrow_cache import name_of
from zoning_assets.sources.files import format_detection, gdal_layer
from zoning_assets.sources.files.geojson.geojson_flatten import flatten
from zoning_assets.sources.files.geojson.geojson_scan import Outline, outline


@dataclass(frozen=True)
class Collection:
    """A file that GDAL reads whole: what GDAL says of it, how many features it holds, which members are left out."""

    path: Path
    format: str
    info: Mapping[str, Any]
    features: int
    members: tuple[str, ...] = ()


def ready(path: Path, format_: str, where: str, into: Path) -> Collection:
    """The features of a GeoJSON, one collection or a feature a line, as one collection or as they are.

    Raises:
        FileRefused: it is damaged, or what it holds is no feature.
    """
    lines = format_ == format_detection.GEOJSON_LINES
    found = Outline(format_detection.records(path), (), hidden=False) if lines else outline(path)
    info = _info(path, format_)
    if info and info["features"] == found.features and not found.hidden:
        return Collection(path, format_, info, found.features, found.members)
    target = into.resolve() / f"collection-{name_of(path)}" / path.name
    flat = flatten(path, target, where)
    if flat.members and not flat.features:
        what = f"the GeoJSON is damaged: it has no features of its own, but {', '.join(map(repr, flat.members))}"
        raise FileRefused(what, where=where, do="ask for one collection of features in a file")
    info = pyogrio.read_info(gdal_layer.source(target, format_detection.GEOJSON))
    return Collection(target, format_detection.GEOJSON, info, flat.features, tuple(flat.members))


def _info(path: Path, format_: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = pyogrio.read_info(gdal_layer.source(path, format_))
    except DataSourceError:
        return None
    return found
