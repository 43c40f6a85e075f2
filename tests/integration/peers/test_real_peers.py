"""Cambridge FY2014 by servers that are not ours: 13,116 rows, or a refusal by name; never 13,115.

One of its rows has an empty polygon, one has no key, 13 keys come in 93 rows: 13,034 parcels when those are dissolved.
"""

import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyogrio
import pytest
import shapely

from tests.conftest import read_toml, rows, sync
from tests.integration.peers import serving_peers
from tests.integration.test_real_data import CAMBRIDGE, EVERY_HASH, total
from tests.support.shared_data import cambridge
from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.http import Http, Tally
from zoning_assets.model import Jurisdiction, Outcome, Place
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.sources import Request, feed_type
from zoning_assets.sources.full_layer import FullLayer, page_of
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.decode import page_readers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SHAPEFILE, GEOJSON = "parcels_FY2014_2249_shp.zip", "parcels_FY2014_4326.geojson"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cambridge as files: the shapefile unpacked, GeoJSON, a GeoPackage made of the shapefile, and two to download."""
    folder = tmp_path_factory.mktemp("city")
    (folder / "files").mkdir()
    zipfile.ZipFile(cambridge() / SHAPEFILE).extractall(folder)
    for name in (SHAPEFILE, GEOJSON):
        shutil.copy(cambridge() / name, folder / "files")
    shutil.copy(cambridge() / GEOJSON, folder / "parcels.geojson")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = pyogrio.read_dataframe(folder / "parcels_FY2014.shp")
        pyogrio.write_dataframe(frame, folder / "parcels.gpkg", layer="parcels")
    return folder


@pytest.fixture(scope="module")
def lighttpd(city: Path) -> Iterator[str]:
    with serving_peers.lighttpd(city) as address:
        yield address


@pytest.fixture(scope="module")
def pygeoapi(city: Path) -> Iterator[str]:
    with serving_peers.pygeoapi(city) as address:
        yield address


def jurisdiction(folder: Path, kind: str, url: str, more: str = "") -> Jurisdiction:
    text = CAMBRIDGE.format(type=kind, url=url, policy="dissolve").replace("[portal]", f"{more}\n[portal]")
    return read_toml(folder, text)


def published(pipeline: Pipeline, described: Jurisdiction) -> list[Outcome]:
    """A harvest that publishes the city: each of its rows is accounted for."""
    outcomes = sync(pipeline, described)
    counts = total(outcomes)
    assert counts.fetched == 13_116 == counts.accepted + counts.rejected
    assert counts.rejected == 2
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == [(13_034,)]
    return outcomes


def differing(pipeline: Pipeline, described: Jurisdiction, folder: Path) -> tuple[int, float]:
    """How many parcels have another content than by the shapefile, and how far shapes lie apart at most, in metres."""
    query = "SELECT parcel_id, content_hash, ST_AsBinary(geom) FROM zoning.parcel ORDER BY 1"
    ours = rows(pipeline.database, query)
    total(sync(pipeline, jurisdiction(folder / "file", "download", str(cambridge() / SHAPEFILE))))
    theirs = rows(pipeline.database, query)
    assert [key for key, *_ in ours] == [key for key, *_ in theirs]
    pairs = [(one, other) for (_, a, one), (_, b, other) in zip(ours, theirs, strict=True) if a != b]
    far = [shapely.hausdorff_distance(*(shapely.from_wkb(bytes(each)) for each in pair)) for pair in pairs]
    return len(pairs), max(far, default=0.0) * 111_000


def proof(pipeline: Pipeline, outcomes: list[Outcome]) -> dict[str, object]:
    """What the harvest of the first tile says of the walk."""
    found = raw_harvests.latest(pipeline.objects, outcomes[0].place, "parcels")
    return dict(found.proof)


def test_pygeoapi_from_geojson(pipeline: Pipeline, tmp_path: Path, pygeoapi: str) -> None:
    """Counted; pages throttled, `next` without f=json: published, and each parcel as by the shapefile."""
    described = jurisdiction(tmp_path, "ogc-features", f"{pygeoapi}/collections/geojson", "page_size = 5000")
    said = proof(pipeline, published(pipeline, described))
    assert said["rows by the portal's count"] == 13_116
    assert said["axes"] == "OGC:CRS84 by Content-Crs; the first number is x"
    assert differing(pipeline, described, tmp_path) == (0, 0.0)


def test_pygeoapi_from_a_geopackage(pipeline: Pipeline, tmp_path: Path, pygeoapi: str) -> None:
    """Not counted: walked through twice, and published. Its PROJ turns feet into degrees just as ours does."""
    described = jurisdiction(tmp_path, "ogc-features", pygeoapi, 'layer = "gpkg"')
    said = proof(pipeline, published(pipeline, described))
    assert said["rows of a second walk"] == 13_116
    assert "rows by the portal's count" not in said
    count, metres = differing(pipeline, described, tmp_path)
    assert (count, metres) == (0, 0.0)


def test_tipg_from_postgis(pipeline: Pipeline, tmp_path: Path, city: Path, database: str) -> None:
    """Counted; pages above 1,000 rows are refused (422) and asked smaller; 9 digits: half the shapes differ by 2 mm."""
    owner = database.partition("?")[0]  # programs work as the writer, who makes no tables
    _load(city, owner)
    with serving_peers.tipg(tmp_path, owner) as address:
        described = jurisdiction(tmp_path, "ogc-features", f"{address}/collections/public.lots", "page_size = 3000")
        said = proof(pipeline, published(pipeline, described))
    assert said["rows by the portal's count"] == 13_116
    assert said["way"] == "next links, 750 rows per request"
    count, metres = differing(pipeline, described, tmp_path)
    assert count < 6_600
    assert metres < 0.003


def _load(city: Path, database: str) -> None:
    """The shapefile as a table of the database that our own tables are in, too."""
    frame = pyogrio.read_dataframe(city / "parcels_FY2014.shp")
    kinds = {"OBJECTID": "bigint", "UYEAR": "double precision"}
    names = [name for name in frame.columns if name != "geometry"]
    spelled = ", ".join(f'"{name}" {kinds.get(name, "text")}' for name in names)
    shapes = shapely.to_wkb(shapely.set_srid(frame.geometry.to_numpy(), 2249), hex=True, include_srid=True)
    table = frame[names].astype(object).where(frame[names].notna(), None)
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(f'CREATE TABLE public.lots ({spelled}, geom geometry(Geometry, 2249), PRIMARY KEY ("OBJECTID"))')
        with cursor.copy("COPY public.lots FROM STDIN") as copy:
            for *values, shape in zip(*(table[name] for name in names), shapes, strict=True):
                copy.write_row([*values, shape])


@pytest.mark.parametrize("name", [SHAPEFILE, GEOJSON])
async def test_plain_files_by_lighttpd(tmp_path: Path, lighttpd: str, name: str) -> None:
    """A file that did not change is asked for once more, and not sent."""
    described = jurisdiction(tmp_path, "download", f"{lighttpd}/{name}")
    draft = HarvestDraft(None, Place(described.id), "parcels")  # type: ignore[arg-type] - a download has none
    tally = Tally()
    async with Http() as http:
        request = Request(described, described.feeds["parcels"], http.for_work(tally), tmp_path / "scratch", draft)
        whole = await feed_type("download").open_source(request)
        first = tally.bytes
        assert (whole.rows, first) == (13_116, (cambridge() / name).stat().st_size)
        await feed_type("download").probe(request)
        assert (tally.requests, tally.bytes) == (2, first)


@pytest.mark.parametrize("name", [SHAPEFILE, GEOJSON])
def test_plain_files_by_lighttpd_are_published(pipeline: Pipeline, tmp_path: Path, lighttpd: str, name: str) -> None:
    """As from beside the jurisdiction file."""
    described = jurisdiction(tmp_path, "download", f"{lighttpd}/{name}")
    published(pipeline, described)
    assert differing(pipeline, described, tmp_path) == (0, 0.0)


HIDES = (
    "MapServer hides rows without a shape and does not count them: 13,115 rows came, and its ids have gaps (1 in all)"
)
IGNORES = "the page after row 1,000 repeats an earlier one: the server ignores its own `next` link"


@pytest.mark.parametrize(
    ("kind", "address", "layer", "why"),
    [
        ("wfs", "?map=CITY", "parcels", HIDES),
        ("wfs", "?map=CITY", "gml", HIDES),
        ("wfs", "?map=CITY", "gpkg", HIDES),
        ("wfs", "?map=CITY&version=1.1.0", "parcels", HIDES),
        ("wfs", "?map=CITY&version=1.1.0", "gml", HIDES),
        ("ogc-features", "/CITY/ogcapi", "parcels", HIDES),
        ("ogc-features", "/CITY/ogcapi", "gpkg", IGNORES),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else None,
)
def test_mapserver_is_refused_by_name(
    pipeline: Pipeline, tmp_path: Path, lighttpd: str, kind: str, address: str, layer: str, why: str
) -> None:
    """It counts 13,115, sends 13,115, and denies the 13,116th even when asked for it: what is published stays."""
    total(sync(pipeline, jurisdiction(tmp_path / "file", "download", str(cambridge() / SHAPEFILE))))
    before = rows(pipeline.database, EVERY_HASH)
    described = jurisdiction(tmp_path, kind, f"{lighttpd}/cgi-bin/mapserv{address}", f'layer = "{layer}"')
    with pytest.raises(HarvestIncomplete) as caught:
        sync(pipeline, described)
    assert why in str(caught.value)
    assert rows(pipeline.database, EVERY_HASH) == before


def test_mapserver_that_counts_a_page_only(pipeline: Pipeline, tmp_path: Path, city: Path) -> None:
    """Without wfs_compute_number_matched its hits are 1,000: they are not believed, and nothing is published."""
    own = tmp_path / "city"
    shutil.copytree(city, own)
    with serving_peers.lighttpd(own, counts=False) as address:
        described = jurisdiction(tmp_path, "wfs", f"{address}/cgi-bin/mapserv?map=CITY", 'layer = "parcels"')
        with pytest.raises(HarvestIncomplete, match=r"13,115 rows came, and its ids have gaps \(1 in all\)"):
            sync(pipeline, described)
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == [(0,)]


def test_mapserver_where_a_person_accepts_hidden_rows(pipeline: Pipeline, tmp_path: Path, lighttpd: str) -> None:
    """The shapes are those of the shapefile, to the bit; 69 parcels differ, as MapServer gives 0 for a null number."""
    more = 'layer = "parcels"\nhidden_rows = "accept"'
    described = jurisdiction(tmp_path, "wfs", f"{lighttpd}/cgi-bin/mapserv?map=CITY", more)
    outcomes = sync(pipeline, described)
    counts = total(outcomes)
    assert (counts.fetched, counts.rejected, counts.added) == (13_115, 1, 13_034)
    assert str(proof(pipeline, outcomes)["rows that the server hides"]).startswith("accepted")
    zeros = "SELECT count(*) FROM zoning.parcel WHERE attributes->>'UYEAR' IS NULL"
    assert rows(pipeline.database, zeros) == [(0,)]
    assert differing(pipeline, described, tmp_path) == (69, 0.0)
    assert rows(pipeline.database, zeros) == [(68,)], "one more was dissolved with a row that has a number"


LIKE = '<fes:PropertyIsLike wildCard="*" singleChar="." escapeChar="!">'
FES = (
    f'<fes:Filter xmlns:fes="http://www.opengis.net/fes/2.0">{LIKE}<fes:ValueReference>ML</fes:ValueReference>'
    "<fes:Literal>1*</fes:Literal></fes:PropertyIsLike></fes:Filter>"
)


async def part_of(folder: Path, kind: str, url: str, where: str, more: str = "") -> set[str]:
    """The keys of a part of the city, as the feed type reads them."""
    described = jurisdiction(folder, kind, url, f"where = {json.dumps(where)}\n{more}")
    draft = HarvestDraft(Objects(str(folder / "store")), Place(described.id), "parcels")
    async with Http() as http:
        request = Request(described, described.feeds["parcels"], http.for_work(Tally()), folder / "scratch", draft)
        whole = await feed_type(kind).open_source(request)
    assert isinstance(whole, FullLayer)
    pages = [page_readers.READERS[whole.form](page_of(batch), whole.layer) for batch in whole.here.batches()]
    return {str(row["ML"]) for page in pages for row in page.attributes}


def expected_part(city: Path) -> set[str]:
    """The same by GDAL."""
    return set(pyogrio.read_dataframe(city / "parcels.gpkg", where="ML LIKE '1%'", read_geometry=False)["ML"])


async def test_a_part_of_a_layer_of_tipg(tmp_path: Path, city: Path, database: str) -> None:
    """By CQL2; a wrong clause is refused in one line."""
    owner = database.partition("?")[0]
    _load(city, owner)
    with serving_peers.tipg(tmp_path, owner) as address:
        url = f"{address}/collections/public.lots"
        assert await part_of(tmp_path, "ogc-features", url, "ML LIKE '1%'", "page_size = 1000") == expected_part(city)
        with pytest.raises(PortalUnreachable, match=r"where = \"NOPE = 'x'\": the portal fails on it.*does not exist"):
            await part_of(tmp_path, "ogc-features", url, "NOPE = 'x'")


async def test_a_part_of_a_layer_of_mapserver(tmp_path: Path, city: Path, lighttpd: str) -> None:
    """By a filter in XML; the clause as text, which only GeoServer has, is found to be ignored."""
    url, more = f"{lighttpd}/cgi-bin/mapserv?map=CITY", 'layer = "parcels"\nhidden_rows = "accept"'
    assert await part_of(tmp_path, "wfs", url, FES, more) == expected_part(city)
    with pytest.raises(FeedRefused, match="the portal ignores it"):
        await part_of(tmp_path, "wfs", url, "ML LIKE '1%'", more)


async def test_a_part_of_a_layer_of_pygeoapi(tmp_path: Path, pygeoapi: str) -> None:
    """Its provider of GeoJSON has no filters."""
    with pytest.raises(FeedRefused, match=r"where = .*the portal (ignores|refuses) it"):
        await part_of(tmp_path, "ogc-features", f"{pygeoapi}/collections/geojson", "ML LIKE '1%'")
