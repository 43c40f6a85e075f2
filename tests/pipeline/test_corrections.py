"""Rows that were held back: a person fixes or knows them, and the harvest is replayed without asking the portal."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely

from tests.conftest import read_toml, rows, sync
from tests.pipeline.test_rejections import CITY, lot
from zoning_assets.errors import FixRefused, SettingInvalid, TooManyRejections, ZoningError
from zoning_assets.model import NORMALIZED, VALIDATED, ZONING, Jurisdiction, Outcome, Place
from zoning_assets.operations import history_rollback
from zoning_assets.operations.integrity_check import verify
from zoning_assets.pipeline import corrections
from zoning_assets.pipeline.corrections import FixRequest
from zoning_assets.pipeline.pipeline import PUBLISHED, STAGES, Pipeline
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.records import audit_records, correction_records, hold_records
from zoning_assets.transform.normalize import is_managed
from zoning_assets.transform.row_corrections import read_shape

REPLAY = (NORMALIZED, VALIDATED, PUBLISHED)
SHAPE = {"type": "Polygon", "coordinates": [[[-71.1, 42.38], [-71.099, 42.38], [-71.099, 42.381], [-71.1, 42.38]]]}
PARCELS = "SELECT parcel_id FROM zoning.parcel ORDER BY 1"
OPEN = "SELECT row_id FROM zoning.rejection WHERE state = 'open' ORDER BY id"
STATES = "SELECT reason, state FROM zoning.rejection WHERE state <> 'superseded' ORDER BY 1, 2"


class City:
    """A portal that is a file, and its harvests."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.pipeline, self.file, self.url = pipeline, folder / "lots.geojson", pipeline.database
        self.described: Jurisdiction = read_toml(folder, CITY.format(url=self.file))

    def harvest(self, lots: Sequence[dict[str, Any]]) -> list[Outcome]:
        self.file.write_text(json.dumps({"type": "FeatureCollection", "features": list(lots)}))
        return self.again(STAGES, lots)

    def again(self, stages: Sequence[str], lots: Sequence[dict[str, Any]]) -> list[Outcome]:
        outcomes = sync(self.pipeline, self.described, stages=stages)
        assert any(each.error for each in outcomes) or sum(each.counts.fetched for each in outcomes) == len(lots)
        for each in outcomes:
            assert each.counts.fetched == each.counts.accepted + each.counts.rejected
        return outcomes

    def fix(self, wish: FixRequest | None, *ids: str, **which: str) -> dict[str, ZoningError]:
        meant = {"jurisdiction": self.described.id, **which} if which else {}
        found = correction_records.rejected(self.url, ids, **meant)
        return corrections.fix(self.url, self.pipeline.objects, self.described, found, wish, actor="ann", reason="seen")

    def ids(self) -> list[str]:
        return [
            each for (each,) in rows(self.url, "SELECT row_id FROM zoning.rejection WHERE state = 'open' ORDER BY id")
        ]

    def parcels(self) -> list[str]:
        return [key for (key,) in rows(self.url, PARCELS)]

    def force(self) -> list[str]:
        return [each["state"] for each in correction_records.active(self.url, None)]


@pytest.fixture
def city(pipeline: Pipeline, tmp_path: Path) -> City:
    return City(pipeline, tmp_path)


GOOD = [lot(number, f"A{number}") for number in range(5)]


def errors(outcomes: Sequence[Outcome]) -> list[str]:
    return [str(each.error) for each in outcomes if each.error]


def test_a_key_that_a_person_gives_is_published_and_applies_again_to_the_very_same_row(city: City) -> None:
    """Fixed, replayed, harvested again beside other rows with other object ids: it stays; nothing is counted twice."""
    lots = [*GOOD, lot(7, None)]
    city.harvest(lots)
    (row_id,) = city.ids()
    assert city.fix(FixRequest({"key": "Z7"}), row_id) == {}
    done = city.again(REPLAY, lots)
    assert errors(done) == []
    assert sum(each.counts.accepted for each in done) == len(lots)
    assert city.parcels() == ["A0", "A1", "A2", "A3", "A4", "Z7"]
    assert (city.ids(), city.force()) == ([], ["applies"])
    batches = rows(city.url, "SELECT count(*) FROM zoning.batch")
    city.again(REPLAY, lots)
    assert rows(city.url, "SELECT count(*) FROM zoning.batch") == batches
    lots = [
        {**each, "properties": {**each["properties"], "OBJECTID": 900 - number}} for number, each in enumerate(lots)
    ]
    lots = [lot(9, "A9"), *lots]
    assert errors(city.harvest(lots)) == []
    assert city.parcels() == ["A0", "A1", "A2", "A3", "A4", "A9", "Z7"]
    assert verify(city.url, city.pipeline.objects).faults == ()


def test_a_row_that_the_portal_changes_is_judged_anew_and_the_fix_says_so(city: City) -> None:
    city.harvest([*GOOD, lot(7, None)])
    city.fix(FixRequest({"PIN": "Z7"}), *city.ids())
    changed = lot(7, None)
    changed["properties"]["N"] = 70
    city.harvest([*GOOD, changed])
    assert "Z7" not in city.parcels()
    assert (len(city.ids()), city.force()) == (1, ["the portal changed or removed the row"])
    city.harvest([*GOOD, lot(7, None)])
    assert ("Z7" in city.parcels(), city.force()) == (True, ["applies"])


def test_a_shape_that_a_person_gives_is_judged_and_its_row_stays_at_its_place(city: City) -> None:
    lots = [*GOOD, lot(7, "B7", placed=False)]
    city.harvest(lots)
    assert city.fix(FixRequest({}, read_shape(json.dumps(SHAPE).encode())), *city.ids()) == {}
    assert errors(city.again(REPLAY, lots)) == []
    shape = rows(city.url, "SELECT ST_AsText(geom) FROM zoning.parcel WHERE parcel_id = 'B7'")[0][0]
    assert shapely.from_wkt(shape).equals(shapely.from_geojson(json.dumps(SHAPE)))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (FixRequest({"N": "3"}), "it would still be rejected: null_key"),
        (FixRequest({"PIN": "  "}), "it would still be rejected: null_key"),
        (FixRequest({"PIN": "A1"}), "another row has the key 'A1'"),
        (
            FixRequest({"PIN": "Z"}, shapely.to_wkb(shapely.box(3, 3, 4, 4))),
            "it would still be rejected: out_of_bounds",
        ),
        (
            FixRequest({"PIN": "Z"}, shapely.to_wkb(shapely.box(-71.1, 42.37, -71.1, 42.38))),
            "still be rejected: not_an_area",
        ),
    ],
)
def test_a_fix_that_does_not_help_is_refused_in_one_line(city: City, wish: FixRequest, says: str) -> None:
    city.harvest([*GOOD, lot(7, None)])
    ((row_id, error),) = city.fix(wish, *city.ids()).items()
    assert isinstance(error, FixRefused)
    assert says in str(error)
    assert (row_id in str(error), "\n" in str(error)) == (True, False)
    assert rows(city.url, "SELECT count(*) FROM zoning.fix")[0][0] == 0
    assert rows(city.url, "SELECT count(*) FROM zoning.audit")[0][0] == 0


def test_a_column_that_the_portal_has_not_is_wrong_usage(city: City) -> None:
    city.harvest([*GOOD, lot(7, None)])
    with pytest.raises(SettingInvalid, match=r"no column 'PINN'.*N, PIN, fid"):
        city.fix(FixRequest({"PINN": "Z"}), *city.ids())


def test_all_rows_of_a_reason_take_a_column_of_their_own(city: City) -> None:
    """By rule: the key from another column, row by row; two that would get the same key are not both fixed."""
    lots = [*GOOD, *(lot(number, None) for number in (20, 21, 22))]
    lots[-1]["properties"]["N"] = 21
    city.harvest(lots)
    refused = city.fix(FixRequest({"PIN": "@N"}), reason="null_key")
    assert [str(error).split("; ")[0].split(": ")[1] for error in refused.values()] == [
        "it has a decision already, or another fix has its key"
    ]
    assert errors(city.again(REPLAY, lots)) == []
    assert city.parcels() == ["20", "21", "A0", "A1", "A2", "A3", "A4"]
    ((action, subject),) = rows(city.url, "SELECT action, subject FROM zoning.audit")
    assert (action, sorted(each["columns"]["PIN"] for each in subject["rows"])) == ("fix", ["20", "21"])
    assert audit_records.broken_audit_rows(city.url) == []


def test_rows_that_are_the_very_same_cannot_be_fixed_but_known(city: City) -> None:
    lots = [*GOOD, lot(7, None), lot(7, None)]
    city.harvest(lots)
    first, second = city.ids()
    assert first == second
    assert "exactly the same" in str(city.fix(FixRequest({"PIN": "Z"}), first)[first])
    assert city.fix(None, first) == {}
    assert rows(city.url, STATES) == [("null_key", "known")] * 2
    changed = [*lots, lot(8, "A8")]
    city.harvest(changed)
    assert rows(city.url, STATES) == [("null_key", "known")] * 2


def test_rows_that_are_known_do_not_keep_the_rest_from_being_published(city: City) -> None:
    """More than half rejected: nothing is published, but the rows are seen, and a person's word lets the rest pass."""
    lots = [lot(number, f"A{number}" if number < 10 else None) for number in range(30)]
    for _ in range(2):
        (outcome,) = city.harvest(lots)
        assert isinstance(outcome.error, TooManyRejections)
        assert len(city.ids()) == 20
    assert city.parcels() == []
    city.fix(None, reason="null_key")
    (outcome,) = city.again(REPLAY, lots)
    assert (outcome.error, len(city.parcels()), outcome.counts.rejected) == (None, 10, 20)
    assert rows(city.url, STATES) == [("null_key", "known")] * 20


def test_a_fix_that_is_withdrawn_is_undone_by_a_replay(city: City) -> None:
    lots = [*GOOD, lot(7, None)]
    city.harvest(lots)
    ids = city.ids()
    city.fix(FixRequest({"PIN": "Z7"}), *ids)
    city.again(REPLAY, lots)
    assert [each["row_id"] for each in correction_records.withdraw(city.url, ids, "bob", "wrong lot")] == ids
    city.again(REPLAY, lots)
    assert ("Z7" in city.parcels(), city.ids(), city.force()) == (False, ids, [])
    assert rows(city.url, "SELECT actor, action, reason FROM zoning.audit ORDER BY id") == [
        ("ann", "fix", "seen"),
        ("bob", "withdraw", "wrong lot"),
    ]
    assert rows(city.url, "SELECT ended_by, ended_why FROM zoning.fix") == [("bob", "wrong lot")]


def test_a_key_that_the_portal_gives_to_another_row_wins_over_the_fix(city: City) -> None:
    """In the same place the fixed row is held back again; a fix never keeps a harvest from being published."""
    lots = [*GOOD, lot(7, None)]
    city.harvest(lots)
    city.fix(FixRequest({"PIN": "Z7"}), *city.ids())
    city.again(REPLAY, lots)
    lots += [lot(40, "Z7")]
    assert errors(city.harvest(lots)) == []
    assert rows(city.url, "SELECT attributes->>'N' FROM zoning.parcel WHERE parcel_id = 'Z7'") == [("40",)]
    assert len(city.ids()) == 1
    assert city.force() == ["not applied: `zoning replay`, or another row has its key"]


def test_a_key_that_the_portal_gives_in_another_tile_ends_the_fix(city: City) -> None:
    """The publish transaction meets the key twice; the fix is withdrawn with the reason, and the next run passes."""
    city.described = replace(city.described, tile_resolution=8)
    lots = [*GOOD, lot(7, None), lot(300, "B")]
    city.harvest(lots)
    city.fix(FixRequest({"PIN": "Z7"}), *city.ids())
    city.again(REPLAY, lots)
    assert len(rows(city.url, "SELECT DISTINCT tile FROM zoning.parcel")) == 2
    lots += [lot(301, "Z7")]
    said = [errors(city.harvest(lots)) for _ in range(3)]
    assert any("the fix that set this key was withdrawn" in error for each in said for error in each), said
    assert said[-1] == []
    assert rows(city.url, "SELECT attributes->>'N' FROM zoning.parcel WHERE parcel_id = 'Z7'") == [("301",)]
    assert len(city.ids()) == 1
    assert rows(city.url, "SELECT ended_by, ended_why FROM zoning.fix") == [
        ("zoning", "the portal has another row with the key 'Z7'")
    ]
    assert rows(city.url, "SELECT action FROM zoning.audit ORDER BY id") == [("fix",), ("withdraw",)]


def test_a_rollback_keeps_the_fixes_and_a_replay_brings_them_back(city: City) -> None:
    """What a person said is no part of a batch: rows go back to their moment, and the next replay applies it again."""
    lots = [*GOOD, lot(7, None)]
    city.harvest(lots)
    ((before,),) = rows(city.url, "SELECT clock_timestamp()")
    city.fix(FixRequest({"PIN": "Z7"}), *city.ids())
    city.again(REPLAY, lots)
    history_rollback.roll_back(
        city.url, city.pipeline.objects, city.described, to=before, actor="ann", reason="x", dry_run=False
    )
    assert city.parcels() == [f"A{number}" for number in range(5)]
    hold_records.resume(city.url, jurisdiction=city.described.id, host=None, reason="ok", actor="ann")
    city.again(REPLAY, lots)
    assert "Z7" in city.parcels()


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[1]", b'{"type": "Point", "coordinates": [1, 2]}', b'{"type": "FeatureCollection", "features": []}',
        b'{"type": "Polygon", "coordinates": [[[1, 2], [NaN, 3], [4, 5], [1, 2]]]}', b'{"a":' * 5000,
        b'{"type": "Polygon", "coordinates": "x", "crs": 3}',
        json.dumps({**SHAPE, "crs": {"type": "name", "properties": {"name": "EPSG:0"}}}).encode(),
    ],
)  # fmt: skip
def test_a_file_that_is_no_shape_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_shape(document)


def test_a_shape_may_say_its_crs() -> None:
    ring = [[750000, 2960000], [751000, 2960000], [751000, 2961000], [750000, 2960000]]
    feet = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    said = {**feet, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2249"}}}
    west, south, _, _ = shapely.bounds(shapely.from_wkb(read_shape(json.dumps(said).encode())))
    assert (round(west, 1), round(south, 1)) == (-71.2, 42.4)


def test_a_replay_asks_the_portal_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """Parcels and districts are made anew from the kept pages though the portal is gone; only the place of the fixed
    row gets a new batch, and the feed is as whole as it was."""
    with serving(400) as portal:
        described = read_toml(tmp_path / "toml", county_toml(portal), ID)
        outcomes = [*sync(pipeline, described), *sync(pipeline, described, ZONING)]
    places = {each.place for each in outcomes}
    ((row_id,),) = rows(pipeline.database, "SELECT min(row_id) FROM zoning.rejection WHERE reason = 'null_key'")
    found = correction_records.rejected(pipeline.database, [row_id])
    wish = FixRequest({"key": "NEW-1"})
    assert (
        corrections.fix(pipeline.database, pipeline.objects, described, found, wish, actor="ann", reason="seen") == {}
    )
    done: list[Outcome] = []
    for feed, mine in (("parcels", [each for each in places if each.tile]), (ZONING, [Place(ID)])):
        asyncio.run(pipeline.run({ID: described}, mine, feed, REPLAY, done.append))
    assert errors(done) == []
    assert (len(done), sum(each.counts.requests for each in done)) == (len(places), 0)
    assert [each.place.tile for each in done if each.batch] == [found[0].tile]
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel WHERE parcel_id = 'NEW-1'") == [(1,)]
    newest = "SELECT batch_id = (SELECT max(id) FROM zoning.batch b WHERE b.feed = w.feed) FROM zoning.whole w"
    assert rows(pipeline.database, newest) == [(True,), (True,)]
    assert verify(pipeline.database, pipeline.objects).faults == ()


def test_a_row_is_named_without_what_servers_renumber(database: str) -> None:
    """The pattern in SQL and that of normalize.py leave out the same columns."""
    managed = ["OBJECTID", "objectid_12", "Db.DBO.OBJECTID", "FID", "ogc_fid", "GlobalID", "Shape", "Shape_Area"]
    managed += ["SHAPE.STArea()", "st_area(shape)", "Shape__Length", "Shape_Leng_1", "perimeter(SHAPE)"]
    kept = ["PARCEL_ID", "fid_no", "IDENT", "shape_name", "SHAPELY", "AREA", "Length", "objectid_", "guid"]
    assert [is_managed(name) for name in (*managed, *kept)] == [True] * len(managed) + [False] * len(kept)
    query = """
        SELECT zoning.row_id('a', 'b', jsonb_build_object('properties', jsonb_build_object(%s::text, 1)))
            = zoning.row_id('a', 'b', jsonb_build_object('properties', jsonb_build_object(%s::text, 2)))
    """
    assert [rows(database, query, name, name) == [(is_managed(name),)] for name in (*managed, *kept)] == [True] * 22
    hostile = """SELECT count(DISTINCT zoning.row_id('a', 'b', raw)) FROM (VALUES ('{}'::jsonb),
        ('{"properties": null}'), ('{"properties": [1]}'), ('{"attributes": "x"}')) AS t (raw)"""
    assert rows(database, hostile) == [(1,)]
