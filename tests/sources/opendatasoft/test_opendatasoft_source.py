"""An Opendatasoft dataset comes whole or not at all: one export, proven by the portal's own count before and after."""

from pathlib import Path
from typing import Any

import pytest

from tests.sources.opendatasoft.fake_opendatasoft import FIELDS, ID, FakeOpendatasoft
from tests.sources.portals import Counted, asking, lots, rows_of
from zoning_assets.errors import (
    FeedRefused,
    FileRefused,
    HarvestIncomplete,
    JurisdictionInvalid,
    NotALayer,
    ZoningError,
)
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.opendatasoft import opendatasoft_source

LOTS = lots(3000)
PATH = f"/explore/dataset/{ID}/information/"


async def opened(answers: Any, folder: Path, path: str = PATH, **feed: Any) -> FullLayer:
    async with asking(answers, path, folder, **{"type": "opendatasoft", "key": "ml", **feed}) as request:
        return await opendatasoft_source.open_source(request)


async def refused(answers: Any, folder: Path, kind: type[ZoningError], says: str, **feed: Any) -> None:
    """It fails by that name, in one line, and leaves no file that a later run could take."""
    with pytest.raises(kind, match=says) as caught:
        await opened(answers, folder, **feed)
    assert "\n" not in str(caught.value)
    assert left(folder) == []


def left(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("export.*") if each.stat().st_size]


@pytest.mark.parametrize(
    "path",
    [
        f"/explore/dataset/{ID}/",
        f"/explore/dataset/{ID}",
        f"/explore/dataset/{ID.replace('@', '%40')}/table/?sort=ml",
        f"/explore/embed/dataset/{ID}/map/",
        f"/explore/assets/{ID}/export/",
        f"/api/explore/v2.1/catalog/datasets/{ID}",
        f"/api/explore/v2.0/catalog/datasets/{ID}/exports/geojson?limit=5",
        f"/api/v2/catalog/datasets/{ID}/records",
    ],
)
async def test_every_row_comes_once_from_an_address_in_any_form(tmp_path, path):
    """3,000 rows in one export, beside which nothing is asked but the metadata, before and after."""
    counted = Counted(FakeOpendatasoft(LOTS))
    whole = await opened(counted, tmp_path, path)
    found = rows_of(whole)
    assert found.keys() == {pin for pin, _ in LOTS}
    assert all(found[pin].equals(shape) for pin, shape in LOTS)
    assert whole.here.proof["rows in the export"] == whole.here.proof["count after"] == 3000
    assert len(counted.asked) == 3
    assert (whole.layer["crs"], whole.layer["managed"]) == ("EPSG:4326", ["fid", "geo_point_2d"])


@pytest.mark.parametrize("path", ["/explore/", "/dataset/x", "/api/datasets/"])
async def test_an_address_without_a_dataset_is_refused(tmp_path, path):
    """An address that names no dataset is refused, with the form that is needed."""
    await refused(FakeOpendatasoft([]), tmp_path, NotALayer, "names no dataset of Opendatasoft", path=path)


async def test_a_row_without_a_shape_or_a_key_is_kept(tmp_path):
    """What a row lacks is judged later, even a key that no row has and the export therefore leaves out."""
    rows = [("a", LOTS[0][1]), ("b", None), (None, LOTS[1][1])]
    found = rows_of(await opened(FakeOpendatasoft(rows), tmp_path))
    assert (found["b"], found["a"].equals(LOTS[0][1]), found[None].equals(LOTS[1][1])) == (None, True, True)
    whole = await opened(FakeOpendatasoft([(None, LOTS[0][1])] * 3), tmp_path / "no keys")
    assert [set(batch.schema.names) & {"pin"} for batch in whole.here.batches()] == [set()]


async def test_it_is_fetched_once_for_runs_that_follow_one_another(tmp_path):
    """Opened again at once nothing is asked but the metadata; a dataset processed anew is exported anew."""
    desk = FakeOpendatasoft(LOTS)
    async with asking(desk, PATH, tmp_path, type="opendatasoft", key="ml") as request:
        first = await opendatasoft_source.open_source(request)
        again = await opendatasoft_source.open_source(request)
        assert (again.stamp, desk.exports) == (first.stamp, 1)
        desk.processed, desk.lots = "2025-04-01T00:00:00+00:00", LOTS[1:]
        changed = await opendatasoft_source.open_source(request)
        assert (len(rows_of(changed)), desk.exports) == (2999, 2)


async def test_a_probe_costs_one_request(tmp_path):
    """What a probe learns is what the harvest's stamp says."""
    stamp = (await opened(FakeOpendatasoft(LOTS), tmp_path)).stamp
    counted = Counted(FakeOpendatasoft(LOTS))
    async with asking(counted, PATH, tmp_path, type="opendatasoft", key="ml") as request:
        assert {"sha256": stamp["sha256"], **await opendatasoft_source.probe(request)} == stamp
        assert request.http.tally.requests == 1


async def test_an_export_in_the_making_is_waited_for(tmp_path):
    """202 is asked again."""
    assert len(rows_of(await opened(FakeOpendatasoft(LOTS, preparing=3), tmp_path))) == 3000


# A portal that goes wrong.


@pytest.mark.parametrize(("exported", "count"), [(2999, 3000), (3000, 3001), (3000, 2999)])
async def test_an_export_of_other_than_the_counted_rows_is_refused(tmp_path, exported, count):
    """One row more or less, and nothing is published."""
    desk = FakeOpendatasoft(LOTS, exported=exported, metas={"records_count": count})
    await refused(desk, tmp_path, HarvestIncomplete, f"received {exported}, the portal states {count}")


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.999])
async def test_an_export_that_is_cut_short_is_refused(tmp_path, cut):
    """Half a file is no file, wherever it ends."""
    await refused(FakeOpendatasoft(LOTS, cut=cut), tmp_path, FileRefused, "empty|cut short|damaged")


def processed(desk: FakeOpendatasoft) -> None:
    desk.processed = "2025-03-02T00:00:00+00:00"


def added(desk: FakeOpendatasoft) -> None:
    desk.lots = [*desk.lots, ("new", LOTS[0][1])]


@pytest.mark.parametrize(("edit", "says"), [(processed, "data_processed after"), (added, "count after")])
async def test_an_edit_during_the_export_is_refused(tmp_path, edit, says):
    """What changes while it is exported is not published: the date or the count says so."""
    await refused(FakeOpendatasoft(LOTS, edit=edit), tmp_path, HarvestIncomplete, says)


@pytest.mark.parametrize(
    ("ways", "kind", "says"),
    [
        ({"fields": FIELDS[:1] + FIELDS[2:]}, NotALayer, "no column of shapes"),
        ({"fields": [*FIELDS, {"name": "hull", "type": "geo_shape"}]}, NotALayer, "several.*: geo_shape, hull"),
        ({"fields": "many"}, NotALayer, "has no records"),
        ({"says": {"has_records": False}}, NotALayer, "has no records; look at its attachments"),
        ({"says": {"metas": []}}, HarvestIncomplete, "does not count"),
        ({"metas": {"records_count": "many"}}, HarvestIncomplete, "does not count"),
        ({"metas": {"records_count": 10**12}}, HarvestIncomplete, "does not count"),
        ({"says": {"error_code": "Busy", "message": "later"}}, FeedRefused, r"later \(Busy\)"),
        ({"fields": FIELDS[:2]}, JurisdictionInvalid, "no column 'ml'; it has: geo_point_2d, geo_shape"),
    ],
)
async def test_what_is_no_layer_is_refused_before_it_is_exported(tmp_path, ways, kind, says):
    """What the metadata says already is said before a file is fetched."""
    desk = FakeOpendatasoft(LOTS, **ways)
    await refused(desk, tmp_path, kind, says)
    assert desk.exports == 0


async def test_an_unknown_dataset_is_said_in_the_portals_words(tmp_path):
    """A 404 is no crash: its message stands in ours."""
    path = "/explore/dataset/elsewhere/"
    await refused(FakeOpendatasoft(LOTS), tmp_path, FeedRefused, 'HTTP 404, it says "Dataset does not exist', path=path)


async def test_an_empty_dataset_has_no_rows(tmp_path):
    """Nothing is something that can be proven too; whether it is right, a person says."""
    whole = await opened(FakeOpendatasoft([]), tmp_path)
    assert (list(whole.here.batches()), whole.here.rows) == ([], 0)
