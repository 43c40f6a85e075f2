"""What really changed, from published releases to the change feed, against what is known to be true."""

import csv
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyogrio
import pytest

from tests.conftest import going_on, read_toml, rows, sync
from tests.support.databases import copied
from tests.support.shared_data import cambridge
from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.operations import history_rollback
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import change_records as feed
from zoning_assets.storage.postgis.records import hold_records

CAMBRIDGE = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "{parcels}"
key = "OBJECTID"                             # the truth names rows, not lots
[feeds.zoning]
type = "download"
url = "{folder}/zoning_{vintage}.geojson"
  [feeds.zoning.fields]
  code = "ZONE_TYPE"
"""
FOUND = "SELECT count(*) FROM zoning.change"


def release(pipeline: Pipeline, jurisdiction: Jurisdiction) -> change_detection.ReleaseChanges | None:
    """What a sync does once both feeds are published."""
    change_detection.update_parcel_zoning(pipeline.database, jurisdiction)
    return change_detection.detect_changes(pipeline.database, jurisdiction)


def events(told: change_detection.ReleaseChanges | None, kind: str) -> list[dict[str, Any]]:
    """The new changes of a kind that are no reviews."""
    assert told is not None
    found = told.changes[(told.changes["kind"] == kind) & (told.changes["state"] == "event")]
    return found.to_dict("records")


def parcels_of(folder: Path, keys: set[str]) -> Path:
    """A file of Cambridge's parcels with these keys (`OBJECTID`), as they came."""
    city = pyogrio.read_dataframe(cambridge() / "parcels_FY2014_2249_shp.zip")
    chosen = city[city["OBJECTID"].astype(str).isin(keys)]
    assert len(chosen) == len(keys)
    path = folder / "parcels.gpkg"
    pyogrio.write_dataframe(chosen, path)
    return path


def changed(truth: list[dict[str, str]], before: str, after: str) -> set[tuple[str, str, str]]:
    """Parcels whose majority zone is another, with both codes."""
    return {(r["OBJECTID"], r[before], r[after]) for r in truth if r[before] != r[after]}


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_cambridge_of_six_vintages(pipeline: Pipeline, tmp_path: Path, every: int) -> None:
    """The parcels whose majority zone changed are just those of the truth, from just that code to just that; and
    afterwards each vintage can still be asked for. Every day of each twentieth parcel and of all that changed before
    the last vintage, which changed 5,837; with --all of all parcels."""
    folder = cambridge()
    city = list(csv.DictReader((folder / "expected_zone_by_majority_area.csv").read_text().splitlines()))
    vintages = list(city[0])[2:]
    steps = list(pairwise(vintages))
    assert [len(changed(city, *step)) for step in steps] == [2, 0, 9, 2, 5837]
    kept = {key for step in steps[:-1] for key, *_ in changed(city, *step)}
    truth = [row for number, row in enumerate(city) if number % every == 0 or row["OBJECTID"] in kept]
    parcels = parcels_of(tmp_path, {row["OBJECTID"] for row in truth})
    before, moments = "", {}
    for vintage in vintages:
        described = read_toml(tmp_path / "toml", CAMBRIDGE.format(folder=folder, parcels=parcels, vintage=vintage))
        if not before:
            sync(pipeline, described)
        (outcome,) = sync(pipeline, described, ZONING)
        assert outcome.error is None
        told = release(pipeline, described)
        moments[vintage] = rows(pipeline.database, "SELECT clock_timestamp()")[0][0]
        if before:
            found = {(each["parcel_ids"][0], each["old"], each["new"]) for each in events(told, "rezoned")}
            assert found == changed(truth, before, vintage)
            assert release(pipeline, described) is None
        before = vintage
    kinds = rows(pipeline.database, "SELECT DISTINCT kind FROM zoning.change WHERE state = 'event'")
    assert {kind for (kind,) in kinds} <= {"rezoned", "partly_rezoned", "zoned", "unzoned"}
    query = "SELECT parcel_id, code FROM zoning.zoning_as_of('us-ma-cambridge', NULL, %s) WHERE rank = 1"
    for vintage, moment in moments.items():
        known = dict(rows(pipeline.database, query, moment))
        assert known == {r["OBJECTID"]: r[vintage] for r in truth if r[vintage]}, vintage


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with serving(3000) as address:
        yield address


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, portal: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The county's first release with its shares, published once: database, store."""
    folder = tmp_path_factory.mktemp("published")
    with copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        publish(pipeline, simulated(folder, portal, 1))
        yield name, folder / "store"


@pytest.fixture
def begun(server: str, published: tuple[str, Path], tmp_path: Path, pool: Pool) -> Iterator[Pipeline]:
    """A pipeline where the first release stands."""
    with going_on(server, *published, tmp_path, pool) as pipeline:
        yield pipeline


def publish(pipeline: Pipeline, county: Jurisdiction) -> None:
    """Both layers, and what follows from them."""
    sync(pipeline, county)
    sync(pipeline, county, ZONING)
    release(pipeline, county)


def simulated(tmp_path: Path, portal: str, release_: int) -> Jurisdiction:
    switch_release(portal, release_)
    return read_toml(tmp_path / "toml", county_toml(portal), ID)


def everything(url: str) -> list[tuple]:
    return rows(url, "SELECT id, kind, state, parcel_ids, old, new, share FROM zoning.change ORDER BY id")


def sureness(url: str) -> dict[str, float]:
    """Each change's confidence in the feed, by its id."""
    return {each["id"]: each["confidence"] for each in feed.find(url, jurisdiction=ID)}


def words_for_nothing(url: str) -> dict[str, list[tuple]]:
    """By column of the schema, texts that are how Python or pandas spell that there is nothing."""
    columns = "SELECT table_name, column_name FROM information_schema.columns c JOIN information_schema.tables t"
    columns += " USING (table_schema, table_name) WHERE table_schema = 'zoning' AND table_type = 'BASE TABLE'"
    found = {}
    for table, column in rows(url, f"{columns} AND c.data_type IN ('text', 'jsonb', 'ARRAY')"):
        nothing = r"'(^|[\"{,\s])(NaN|nan|None|NaT|<NA>)([\"},\s]|$)'"
        name = f"{table}.{column}"
        found[name] = rows(url, f'SELECT "{column}" FROM zoning.{table} WHERE "{column}"::text ~ {nothing} LIMIT 3')
    assert len(found) > 60
    return {name: some for name, some in found.items() if some}


def test_a_county_tells_its_truth_and_nothing_else(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    """Rezonings whole and partial, a split, a merger, a new number: each once; noise, edits and a rerun: nothing."""
    assert rows(begun.database, FOUND) == [(0,)], "a first publication is no change"
    truth = County.build(3000).after_changes().truth
    assert truth is not None
    for _ in range(2):
        publish(begun, simulated(tmp_path, portal, 2))
    found = feed.find(begun.database, jurisdiction=ID)
    assert {each["state"] for each in found} == {"event"}

    def of(kind: str) -> set[tuple[str, ...]]:
        return {tuple(each["parcel_ids"]) for each in found if each["kind"] == kind}

    coded = {each["parcel_ids"][0]: (each["old"], each["new"]) for each in found if each["kind"].endswith("rezoned")}
    assert coded == {**truth.rezoned, **truth.partly_rezoned}
    assert of("split") == {tuple(sorted([old, *new])) for old, new in truth.split.items()}
    assert of("merged") == {tuple(sorted([new, *old])) for new, old in truth.merged.items()}
    assert of("renumbered") == {tuple(sorted(pair)) for pair in truth.renumbered.items()}
    assert of("added") == {(pin,) for pin in truth.added}
    assert of("retired") == {(pin,) for pin in truth.retired}
    sides = {each["kind"]: (each["old"], each["new"]) for each in found}
    assert (sides["added"][0], sides["retired"][1]) == (None, None)
    assert words_for_nothing(begun.database) == {}
    assert len(found) == 68 + 2 + 5


def test_tiles_in_any_order_give_the_same_changes(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    """Published tile by tile in another order, and asked after each: half a release is not judged, a whole one is."""
    county = simulated(tmp_path, portal, 2)
    sync(begun, county, choose=lambda _: [])
    tiles = sorted(rows(begun.database, "SELECT DISTINCT tile FROM zoning.parcel"))
    random.Random(5).shuffle(tiles)
    for (tile,) in tiles:
        assert not rows(begun.database, "SELECT FROM zoning.change WHERE facet = 'parcel'")
        sync(begun, county, choose=lambda _, tile=tile: [tile])
        release(begun, county)
    sync(begun, county, ZONING)
    release(begun, county)
    mine = sureness(begun.database)
    assert len(mine) == 75
    assert mine == SURE.setdefault(ID, mine)


#: The ids of the county's changes and how sure they are, as the first test found them: however they are found.
SURE: dict[str, dict[str, float]] = {}


def test_at_once_the_same_ids(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    """A change is named by what happened: another database, another order, the same ids."""
    publish(begun, simulated(tmp_path, portal, 2))
    mine = sureness(begun.database)
    assert len(mine) == 75
    assert mine == SURE.setdefault(ID, mine)


def test_a_parcel_layer_that_comes_after_the_map_makes_its_changes_as_sure(
    begun: Pipeline, tmp_path: Path, portal: str
) -> None:
    """The map tells alone, then the parcel layer agrees: as sure as the other way round. Undone, it says nothing."""
    county = simulated(tmp_path, portal, 2)
    sync(begun, county, ZONING)
    release(begun, county)
    before = sureness(begun.database)
    ((moment,),) = rows(begun.database, "SELECT clock_timestamp()")
    sync(begun, county)
    release(begun, county)
    mine = sureness(begun.database)
    assert mine == SURE.setdefault(ID, mine)
    risen = [id_ for id_ in before if mine[id_] > before[id_]]
    assert len(risen) >= 68
    assert all(mine[id_] == pytest.approx(min(before[id_] + 0.1, 0.95)) for id_ in risen)
    history_rollback.roll_back(
        begun.database, begun.objects, county, to=moment, actor="ann", reason="wrong", dry_run=False
    )
    assert {id_: sure for id_, sure in sureness(begun.database).items() if id_ in before} == before


def test_what_goes_back_is_undone_change_by_change(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    """A release, the one before it again, and the release once more: each change has its inverse, and comes back under
    an id of its own."""
    for number in (2, 1, 2):
        publish(begun, simulated(tmp_path, portal, number))
    found = rows(begun.database, "SELECT kind, count(*) FROM zoning.change WHERE state = 'event' GROUP BY 1")
    forth, back, again = {"rezoned": 68}, {"reverted": 68}, {"reinstated": 68}
    thrice = {"partly_rezoned": 6, "renumbered": 3, "split": 3, "merged": 3, "added": 3, "retired": 3}
    assert dict(found) == {**forth, **back, **again, **thrice}
    query = "SELECT parcel_ids, old, new FROM zoning.change WHERE kind = %s"
    assert {(tuple(p), n, o) for p, o, n in rows(begun.database, query, "reverted")} == {
        (tuple(p), o, n) for p, o, n in rows(begun.database, query, "rezoned")
    }
    assert rows(begun.database, "SELECT count(DISTINCT id), count(*) FROM zoning.change") == [(225, 225)]


def test_after_a_rollback_to_nothing_a_harvest_is_the_first_again(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    """Nothing was published before: no parcel is an addition."""
    county = simulated(tmp_path, portal, 1)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    history_rollback.roll_back(
        begun.database, begun.objects, county, to=start, actor="ann", reason="wrong column", dry_run=False
    )
    hold_records.resume(begun.database, jurisdiction=ID, host=None, reason="corrected", actor="ann")
    assert rows(begun.database, "SELECT count(*) FROM zoning.parcel") == [(0,)]
    publish(begun, county)
    assert rows(begun.database, "SELECT count(*) > 2900 FROM zoning.parcel") == [(True,)]
    assert everything(begun.database) == []


MAP = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.zoning]
type = "download"
url = "map.geojson"
may_shrink = 1.0                             # this one tripwire has its limit here
  [feeds.zoning.fields]
  code = "ZONE_TYPE"
[tripwires]                                  # what comes through them is judged once more, with the parcels
mass_rezoning = 1
code_entropy = 1
unknown_codes = 1
shifted = 1000
"""


PARCELS_TOO = """[feeds.parcels]
type = "download"
url = "{parcels}"
key = "OBJECTID"
[feeds.zoning]"""


def truncated(features: list[Any]) -> list[Any]:
    return features[: len(features) // 3]


def coded(code: Any) -> Callable[[list[Any]], list[Any]]:
    def spoiled(features: list[Any]) -> list[Any]:
        for number, each in enumerate(features):
            each["properties"]["ZONE_TYPE"] = code(number) if callable(code) else code
        return features

    return spoiled


def shifted(features: list[Any]) -> list[Any]:
    """By 0.0024 degrees, about 200 m."""
    text = json.dumps([each["geometry"] for each in features])
    moved = re.sub(r"\[(-71\.\d+)", lambda found: f"[{float(found[1]) + 0.0024:.8f}", text)
    return [{**each, "geometry": shape} for each, shape in zip(features, json.loads(moved), strict=True)]


HARMS = [
    (truncated, "area fell"),
    (coded("C-1"), "codes became one"),
    (coded(None), "has no code"),
    (coded(lambda number: f"FID {number}"), "codes that the map did not have before"),
    (shifted, "removed or moved"),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("harm", "alarm"), HARMS)
def test_a_broken_map_is_an_alarm_and_no_change(pipeline: Pipeline, tmp_path: Path, harm: Any, alarm: str) -> None:
    """Truncated, of one code, without codes, of another column, 200 m aside: nothing is told; and when it is well
    again, nothing has happened."""
    city = read_toml(tmp_path / "toml", MAP)
    sound = (cambridge() / "zoning_2024-03-05.geojson").read_text()
    told = []
    for spoil in (None, harm, None):
        document = json.loads(sound)
        document["features"] = spoil(document["features"]) if spoil else document["features"]
        (tmp_path / "toml" / "map.geojson").write_text(json.dumps(document))
        (outcome,) = sync(pipeline, city, ZONING)
        assert outcome.error is None
        told.append(release(pipeline, city))
        if spoil:
            assert release(pipeline, city).alarms == told[-1].alarms, "asked again, it says the same"
    _, broken, again = told
    assert broken is not None
    assert any(alarm in each for each in broken.alarms), broken.alarms
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.release WHERE refused IS NOT NULL") == [(1,)]
    assert again is not None
    assert again.alarms == ()
    assert rows(pipeline.database, FOUND) == [(0,)]


def test_a_watch_follows_what_a_parcel_becomes(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    truth = County.build(3000).after_changes().truth
    assert truth is not None
    parent, children = next(iter(truth.split.items()))
    feed.watch(begun.database, ID, [parent])
    county = simulated(tmp_path, portal, 2)
    sync(begun, county)
    release(begun, county)
    watched = feed.watch(begun.database, ID, [])
    found = {each["parcel_id"]: (each["came_from"], each["changes"]) for each in watched}
    assert found == {parent: (None, 1), **dict.fromkeys(children, (parent, 1))}


def test_other_rules_can_be_looked_at_before_they_are_used(begun: Pipeline, tmp_path: Path, portal: str) -> None:
    """A rename and a type in an edited file: the codes and the changes that would be others; nothing is written."""
    publish(begun, simulated(tmp_path, portal, 2))
    before = everything(begun.database)
    edited = """
[codes]
version = "2"
  [codes.same]
  "R-4" = "R-1"
  [codes.types]
  "R-1" = "Primarily Residential"
"""
    county = read_toml(tmp_path / "toml", county_toml(portal) + edited, ID)
    found = change_detection.preview_rules(begun.database, county)
    assert found.codes == [("R-4", "R-4", "R-1")]
    assert found.types == [("R-1", None, "Primarily Residential")]
    assert {(old, new) for *_, old, new in found.gone} >= {("R-1", "R-4")}
    assert all(new != "R-4" for *_, new in found.come)
    assert len(found.gone) > len(found.come)
    assert everything(begun.database) == before


def test_a_map_that_a_person_calls_right_is_believed(pipeline: Pipeline, tmp_path: Path) -> None:
    """A third of the map is all that is left; once somebody says so, what is gone is told."""
    parcels = parcels_of(tmp_path, {str(number) for number in range(1, 13_000, 65)})
    city = read_toml(tmp_path / "toml", MAP.replace("[feeds.zoning]", PARCELS_TOO.format(parcels=parcels)))
    document = json.loads((cambridge() / "zoning_2024-03-05.geojson").read_text())
    for features in (document["features"], truncated(document["features"])):
        (tmp_path / "toml" / "map.geojson").write_text(json.dumps({**document, "features": features}))
        if features is document["features"]:
            sync(pipeline, city)
        sync(pipeline, city, ZONING)
        told = release(pipeline, city)
    assert told is not None
    assert told.alarms
    assert feed.accept(pipeline.database, city.id, "ann", "annexed by Boston") == list(told.alarms)
    assert feed.accept(pipeline.database, city.id, "ann", "again") == []
    told = release(pipeline, city)
    assert told is not None
    assert told.alarms == ()
    assert events(told, "unzoned")
    assert events(told, "rezoned") == []
    assert rows(pipeline.database, "SELECT actor, action, reason FROM zoning.audit") == [
        ("ann", "accept", "annexed by Boston")
    ]
