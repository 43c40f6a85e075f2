"""A GeoJSON file that GDAL reads completely: the file itself if GDAL counts all of its features, else a copy."""

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
class GeoJsonLayer:
    """A file that GDAL reads completely: GDAL's description, the number of features, and the members left out."""

    path: Path
    format: str
    info: Mapping[str, Any]
    features: int
    members: tuple[str, ...] = ()


def ready(path: Path, format_: str, where: str, into: Path) -> GeoJsonLayer:
    """Return the file, or a copy as one FeatureCollection if GDAL would not read all of its features.

    Raises:
        FileRefused: it is damaged, or contains no features.
    """
    lines = format_ == format_detection.GEOJSON_LINES
    found = Outline(format_detection.records(path), (), hidden=False) if lines else outline(path)
    info = _info(path, format_)
    if info and info["features"] == found.features and not found.hidden:
        return GeoJsonLayer(path, format_, info, found.features, found.members)
    target = into.resolve() / f"collection-{name_of(path)}" / path.name
    flat = flatten(path, target, where)
    if flat.members and not flat.features:
        what = f"the GeoJSON is damaged: it has no features of its own, but {', '.join(map(repr, flat.members))}"
        raise FileRefused(what, where=where, do="ask for a file with one FeatureCollection")
    info = pyogrio.read_info(gdal_layer.source(target, format_detection.GEOJSON))
    return GeoJsonLayer(target, format_detection.GEOJSON, info, flat.features, tuple(flat.members))


def _info(path: Path, format_: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = pyogrio.read_info(gdal_layer.source(path, format_))
    except DataSourceError:
        return None
    return found
