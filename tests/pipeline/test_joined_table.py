"""`[feeds.parcels.join]`: columns of a second table, with its own harvest and counts on both sides."""

import asyncio
import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import rows, sync, with_feed
from tests.support.town import release, town
from zoning_assets.errors import AcceptanceNeeded, JurisdictionInvalid, ZoningError
from zoning_assets.model import PARCELS, PARCELS_JOIN, Jurisdiction, Outcome, Place
from zoning_assets.operations.integrity_check import verify
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.unchanged_check import UnchangedCheck
from zoning_assets.simulation.county.county import County
from zoning_assets.storage.object_store import joined_tables, raw_harvests

JOIN = """
[feeds.parcels.join]
type = "download"
url = "{folder}/assessments.csv"
key = "PARCEL"
  [feeds.parcels.join.columns]
  owner = "OWNER"
  value = "TOTAL_VALUE"
"""
Row = dict[str, str]


@pytest.fixture(scope="module")
def county() -> County:
    return County.build(300)


def table_of(county: County) -> list[Row]:
    """A row for each parcel but every fifth, and two rows for parcels that do not exist."""
    pins = sorted({pin for pin in county.parcels.columns["PIN"].tolist() if pin})
    mine = [{"PARCEL": pin, "OWNER": f"Owner {i}", "TOTAL_VALUE": f"{i}000"} for i, pin in enumerate(pins) if i % 5]
    return [*mine, *({"PARCEL": f"nowhere-{i}", "OWNER": "Nobody", "TOTAL_VALUE": ""} for i in range(2))]


def write(folder: Path, table: list[Row]) -> None:
    with (folder / "assessments.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["PARCEL", "OWNER", "TOTAL_VALUE"])
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture
def joined(tmp_path: Path, county: County) -> Jurisdiction:
    """The town with its table."""
    release(tmp_path, county)
    write(tmp_path, table_of(county))
    return town(tmp_path, more=JOIN.format(folder=tmp_path))


def published(outcomes: list[Outcome]) -> dict[str, int]:
    """The counts of a run without an error."""
    assert [str(each.error) for each in outcomes if each.error] == []
    return {name: sum(getattr(each.counts, name) for each in outcomes) for name in ("added", "changed", "retired")}


def attributes(database: str) -> dict[str, dict[str, Any]]:
    return dict(rows(database, "SELECT parcel_id, attributes FROM zoning.parcel"))


def owners(database: str) -> dict[str, Any]:
    return {key: found["owner"] for key, found in attributes(database).items() if "owner" in found}


def test_columns_of_a_table(pipeline: Pipeline, database: str, joined: Jurisdiction, county: County) -> None:
    """They are attributes; what has no row of the table stays as it was; the counts of both sides are stored with the
    harvest and its proof; the same again writes nothing."""
    counts = published(sync(pipeline, joined))
    table = {row["PARCEL"]: row for row in table_of(county)}
    found = attributes(database)
    assert counts["added"] == len(found)
    assert owners(database) == {key: table[key]["OWNER"] for key in found if key in table}
    assert {found[key]["value"] for key in table if key in found} <= {row["TOTAL_VALUE"] for row in table.values()}
    cover = raw_harvests.find_cover(pipeline.objects, joined.id, PARCELS)
    assert cover
    join = cover.join
    assert (join["rows"], join["keys"], join["unused_keys"], join["repeated_rows"]) == (len(table), len(table), 2, 0)
    layer = county.parcels.columns["PIN"].tolist()
    assert join["matched_rows"] == sum(pin in table for pin in layer)
    assert join["matched_rows"] + join["unmatched_rows"] == len(layer)
    harvest = raw_harvests.of(pipeline.objects, Place(joined.id), PARCELS_JOIN, join["harvest"])
    assert harvest.proof["rows in the layer"] == len(table)
    batches = rows(database, "SELECT count(*) FROM zoning.batch")
    assert published(sync(pipeline, joined)) == {"added": 0, "changed": 0, "retired": 0}
    assert rows(database, "SELECT count(*) FROM zoning.batch") == batches


def test_a_changed_table_alone(pipeline: Pipeline, database: str, joined: Jurisdiction, county: County) -> None:
    """Only the parcels whose values changed change; the layer is not fetched; another order is no change."""
    sync(pipeline, joined)
    before, layer = attributes(database), raw_harvests.find_cover(pipeline.objects, joined.id, PARCELS)
    table = table_of(county)
    folder = Path(joined.feeds[PARCELS].url).parent
    write(folder, table[::-1])
    batches = rows(database, "SELECT count(*) FROM zoning.batch")
    sync(pipeline, joined)
    assert rows(database, "SELECT count(*) FROM zoning.batch") == batches
    known = [row for row in table if row["PARCEL"] in before]
    known[3]["OWNER"], known[7]["TOTAL_VALUE"] = "=cmd()", "7"
    write(folder, table)
    why = asyncio.run(pipeline.probe(joined, PARCELS, datetime.now(UTC))).why
    assert "join sha256" in (why or "")
    assert published(sync(pipeline, joined)) == {"added": 0, "changed": 2, "retired": 0}
    after = attributes(database)
    assert {key for key in after if after[key] != before[key]} == {known[3]["PARCEL"], known[7]["PARCEL"]}
    assert after[known[3]["PARCEL"]]["owner"] == "=cmd()"
    now = raw_harvests.find_cover(pipeline.objects, joined.id, PARCELS)
    assert layer
    assert now
    assert (now.harvest, now.fetched) == (layer.harvest, layer.fetched)


def test_the_check_before_a_run(pipeline: Pipeline, joined: Jurisdiction, county: County) -> None:
    """Unchanged files need no run; a changed table, and a table that is no longer wanted, need one."""
    sync(pipeline, joined)
    check = UnchangedCheck(pipeline.objects, pipeline.database, pipeline.scratch, pipeline.pool)
    assert asyncio.run(check.check_feed(joined, PARCELS, {}))
    assert asyncio.run(check.check_feed(with_feed(joined, join=None), PARCELS, {})) == []
    write(Path(joined.feeds[PARCELS].url).parent, table_of(county)[:-1])
    assert asyncio.run(check.check_feed(joined, PARCELS, {})) == []


def test_a_join_that_is_removed(pipeline: Pipeline, database: str, joined: Jurisdiction) -> None:
    """Its columns go with it, and nothing else."""
    sync(pipeline, joined)
    number = len(owners(database))
    counts = published(sync(pipeline, with_feed(joined, join=None)))
    assert (counts["changed"], counts["retired"]) == (number, 0)
    assert owners(database) == {}


def test_our_own_columns_from_a_table(pipeline: Pipeline, database: str, joined: Jurisdiction, county: County) -> None:
    """`land_use` from the table: the layer need not have it."""
    feed = joined.feeds[PARCELS]
    assert feed.join
    fields = {name: column for name, column in feed.fields.items() if name != "land_use"}
    assessed = replace(feed.join, fields={"land_use": "TOTAL_VALUE"})
    published(sync(pipeline, with_feed(joined, fields=fields, join=assessed)))
    found = dict(rows(database, "SELECT parcel_id, land_use FROM zoning.parcel"))
    table = {row["PARCEL"]: row["TOTAL_VALUE"] for row in table_of(county)}
    assert found == {key: table.get(key) or None for key in found}
    assert not any("land_use" in each for each in attributes(database).values())


@pytest.mark.parametrize(
    ("edit", "kind", "says"),
    [
        (
            lambda table: [*table, {**table[0], "OWNER": "Another"}],
            JurisdictionInvalid,
            r"1 rows repeat a key.*such as",
        ),
        (lambda table: [{**row, "PARCEL": f"x{row['PARCEL']}"} for row in table], JurisdictionInvalid, "no parcel has"),
        (lambda table: [{**row, "PARCEL": ""} for row in table], JurisdictionInvalid, "no row has a value in 'PARCEL'"),
        (
            lambda table: table[: len(table) // 2],
            AcceptanceNeeded,
            r"a row for 4\d% of the parcels, before for [78]\d%",
        ),
        (lambda table: [{"OTHER": row["PARCEL"]} for row in table], JurisdictionInvalid, "has no column 'PARCEL'"),
    ],
)
def test_a_table_that_is_refused(
    pipeline: Pipeline,
    database: str,
    joined: Jurisdiction,
    county: County,
    edit: Callable[[list[Row]], list[dict[str, str]]],
    kind: type[ZoningError],
    says: str,
) -> None:
    """One line that names the key of the file; what is published stays."""
    sync(pipeline, joined)
    before = attributes(database)
    table = edit(table_of(county))
    with (Path(joined.feeds[PARCELS].url).parent / "assessments.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*table[0], "another"])
        writer.writeheader()
        writer.writerows(table)
    with pytest.raises(kind, match=says) as caught:
        sync(pipeline, joined)
    assert "\n" not in str(caught.value)
    assert attributes(database) == before


def test_rows_with_the_same_key(pipeline: Pipeline, database: str, joined: Jurisdiction, county: County) -> None:
    """Rows that agree are one. Of others the first in the order of their values is taken, if the file says so."""
    table = table_of(county)
    folder = Path(joined.feeds[PARCELS].url).parent
    write(folder, [*table, *table[:5]])
    published(sync(pipeline, joined))
    cover = raw_harvests.find_cover(pipeline.objects, joined.id, PARCELS)
    assert cover
    assert (cover.join["same_rows"], cover.join["repeated_rows"]) == (5, 0)
    key = next(row["PARCEL"] for row in table if row["PARCEL"] in owners(database))
    first = with_feed(joined, join=replace(joined.feeds[PARCELS].join, on_repeated_key="first"))  # type: ignore[type-var]
    for others in (["Aaron", "Zoe"], ["Zoe", "Aaron"]):
        write(folder, [*table, *({"PARCEL": key, "OWNER": name, "TOTAL_VALUE": "1"} for name in others)])
        published(sync(pipeline, first))
        assert owners(database)[key] == "Aaron"


def test_a_name_that_the_layer_has(pipeline: Pipeline, database: str, joined: Jurisdiction) -> None:
    """The joined column would hide the layer's; nothing is published."""
    join = joined.feeds[PARCELS].join
    assert join
    taken = with_feed(joined, fields={}, join=replace(join, fields={"USE_CODE": "OWNER"}))
    errors = [str(each.error) for each in sync(pipeline, taken)]
    assert errors
    assert all("join.columns.USE_CODE: the layer has a column of this name" in error for error in errors)
    assert attributes(database) == {}


def test_a_full_refresh(pipeline: Pipeline, joined: Jurisdiction, tmp_path: Path) -> None:
    """After `full_refresh_days` of the join the table is fetched again, also if the portal states no change."""
    sync(pipeline, joined)
    first = joined_tables.find(pipeline.objects, joined.id, PARCELS_JOIN)
    later = replace(pipeline, now=lambda: datetime.now(UTC) + timedelta(days=40))
    asyncio.run(later.harvest(joined))
    second = joined_tables.find(pipeline.objects, joined.id, PARCELS_JOIN)
    assert first
    assert second
    assert first.fetched < second.fetched
    assert first.table == second.table


def test_the_integrity_check(pipeline: Pipeline, joined: Jurisdiction) -> None:
    """`zoning verify` also reads the pages of the table and its keyed form."""
    sync(pipeline, joined)
    assert verify(pipeline.database, pipeline.objects).faults == ()
    table = joined_tables.find(pipeline.objects, joined.id, PARCELS_JOIN)
    assert table
    keyed = joined_tables.get_keyed(pipeline.objects, joined.id, PARCELS_JOIN, table.table)
    pipeline.objects.delete([f"normalized/{joined.id}/{PARCELS_JOIN}/{table.table}.arrow"])
    joined_tables.put_keyed(pipeline.objects, joined.id, PARCELS_JOIN, table.table, keyed.slice(1))
    [fault] = verify(pipeline.database, pipeline.objects).faults
    assert fault == f"{joined.id} {PARCELS_JOIN}: the keyed table has changed"
    pipeline.objects.put(f"normalized/{joined.id}/{PARCELS_JOIN}/{table.table}.arrow", b"ARROW1")
    [fault] = verify(pipeline.database, pipeline.objects).faults
    assert "cannot be read" in fault
    assert "\n" not in fault
