"""A town of squares whose attributes are hostile, published twice with other zoning, for tests that only read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from tests.conftest import read_toml, sync
from tests.support.databases import copied
from zoning_assets.exports import layer_export
from zoning_assets.exports.layer_export import ExportPlace, ExportResult
from zoning_assets.exports.layers import LAYERS
from zoning_assets.exports.row_filter import RowFilter, parse
from zoning_assets.exports.row_reader import ExportRequest
from zoning_assets.model import PARCELS, ZONING, Jurisdiction
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store.object_store import Objects

ID = "us-xx-squares"
WIDE, LOTS, SIDE = 20, 400, 0.002
#: Texts that are markup, formulas, other directions, quotes, NUL, or longer than 254 bytes.
HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "  @SUM(1+1)*cmd",
    "\u202egnirts\u202c -1",
    'a\x00b\r\n"q"; DROP TABLE zoning.parcel; --',
    "é" * 200,
)
TOML = """
id = "us-xx-squares"
name = "A town of squares"
bounds = [-71.2, 42.3, -71.0, 42.5]
tile_resolution = 8
licence = "CC0-1.0"
target_crs = "{crs}"
[feeds.parcels]
type = "download"
url = "parcels.geojson"
key = "PIN"
  [feeds.parcels.fields]
  address = "ADDRESS"
[feeds.zoning]
type = "download"
url = "zoning.geojson"
key = "ID"
  [feeds.zoning.fields]
  code = "ZONE"
[tripwires]
mass_rezoning = 1
[codes]
version = "1"
  [codes.types]
"Primarily Residential" = ["R-1"]
"Nonresidential" = ["C-1"]
"""


@dataclass(frozen=True)
class Town:
    """A published town."""

    url: str
    described: Jurisdiction
    folder: Path

    def export(  # the defaults of the command
        self,
        format_: str = "geoparquet",
        layer: str = "zoned_parcels",
        *,
        where: str | None = None,
        to: str | None = None,
        **moment: object,
    ) -> ExportResult:
        chosen = LAYERS[layer]
        filter_ = parse(where, chosen) if where else RowFilter()
        request = ExportRequest(ID, chosen, filter_, **moment)  # type: ignore[arg-type]
        place = ExportPlace(self.folder / "home", to)
        return layer_export.export(self.url, request, format_, place, self.described)


def square(number: int) -> shapely.Polygon:
    west, south = -71.18 + number % WIDE * SIDE, 42.31 + number // WIDE * SIDE
    return shapely.box(west, south, west + SIDE, south + SIDE)


def publish(pipeline: Pipeline, folder: Path, crs: str = "EPSG:4326") -> Jurisdiction:
    """Two releases of the zoning map: the second one rezones six rows of lots."""
    town = read_toml(folder, TOML.replace("{crs}", crs), ID)
    shapes = [square(number) for number in range(LOTS)]
    texts = [HOSTILE[number % len(HOSTILE)] for number in range(LOTS)]
    names = [f"={number}" if number == 7 else f"P{number}" for number in range(LOTS)]
    lots = gpd.GeoDataFrame({"PIN": names, "ADDRESS": texts, "NOTE": texts}, geometry=shapes, crs="EPSG:4326")
    (folder / "parcels.geojson").write_text(lots.to_json(drop_id=True))
    assert not [each.error for each in sync(pipeline, town, PARCELS) if each.error]
    for rows_of_c in (4, 10):
        codes = ["C-1" if number // WIDE < rows_of_c else "R-1" for number in range(LOTS)]
        map_ = gpd.GeoDataFrame({"ID": names, "ZONE": codes}, geometry=shapes, crs="EPSG:4326")
        (folder / "zoning.geojson").write_text(map_.to_json(drop_id=True))
        assert not [each.error for each in sync(pipeline, town, ZONING) if each.error]
        change_detection.update_parcel_zoning(pipeline.database, town)
        change_detection.detect_changes(pipeline.database, town)
    return town


@pytest.fixture(scope="module")
def town(server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The town, published once for the tests of a module."""
    folder = tmp_path_factory.mktemp("squares")
    with copied(server, template) as (_, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        yield Town(url, publish(pipeline, folder), folder)
