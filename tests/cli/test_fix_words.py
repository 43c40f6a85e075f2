"""`zoning rejections`, `zoning fix` and `zoning replay`, as a person uses them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Zoning
from tests.conftest import rows
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

BATCHES = "SELECT count(*) FROM zoning.batch WHERE feed IN ('parcels', 'zoning')"


@pytest.mark.slow
def test_a_replay_asks_the_portal_nothing(
    zoning: Zoning, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is looked at and fixed, and parcels and districts are made anew from the kept pages though the portal is
    gone; only the place of the fixed row gets a new batch, and its parcel is a change like any other."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))

    def said(*words: str) -> Any:
        status, out, err = zoning(*words, "--json")
        assert status == 0, err
        return json.loads(out)

    with serving(400) as portal:
        (tmp_path / "jurisdictions" / f"{ID}.toml").write_text(county_toml(portal, tile_resolution=5))
        said("sync", ID)
    ((batches,),) = rows(database, BATCHES)
    group = next(each for each in said("rejections", ID)["rejections"] if each["reason"] == "null_key")
    row_id = group["samples"][0]["id"]
    fixed = said("fix", row_id, "--set", "key=NEW-1", "--reason", "deed book 7")
    assert fixed == {"fixed": [row_id], "withdrawn": [], "refused": {}}
    harvests = said("replay", ID)["harvests"]
    assert {each["feed"] for each in harvests} == {"parcels", "zoning"}
    assert (all(each["complete"] for each in harvests), sum(each["requests"] for each in harvests)) == (True, 0)
    assert rows(database, "SELECT count(*) FROM zoning.parcel WHERE parcel_id = 'NEW-1'") == [(1,)]
    assert rows(database, BATCHES) == [(batches + 1,)]
    assert rows(database, "SELECT kind FROM zoning.change WHERE 'NEW-1' = ANY (parcel_ids)") == [("added",)]
    assert [each["state"] for each in said("rejections", ID)["fixes"]] == ["applies"]
    assert "PIN=NEW-1" in zoning("rejections", ID)[1]
    status, out, err = zoning("rejections", ID, "--limit", "1")
    assert (status, "null_key" in out, "deed book 7" in out) == (0, True, True)
    assert err in ("", "--limit N shows more rows per reason\n")
    assert said("fix", row_id, "--withdraw", "--reason", "no")["withdrawn"] == [row_id]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["fix", "0" * 16, "--set", "key=X"], 1, "there is no such rejected row; look at `zoning rejections`"),
        (["fix", "0" * 16, "--withdraw"], 1, "it has no fix"),
        (["fix", "0" * 16], 2, "give one kind of fix; --set and --geometry, or --known, or --withdraw"),
        (["fix", "0" * 16, "--known", "--set", "a=b"], 2, "give one kind of fix"),
        (["fix", "0" * 16, "--set", "ab"], 2, "'ab' is not an assignment"),
        (["fix", "us-xx", "--all", "null_key", "--geometry", "x.json"], 2, "several rows cannot have one shape"),
        (["fix", "0" * 16, "--geometry", "absent.json"], 2, "absent.json: cannot be read: there is no such file"),
    ],
)
def test_a_fix_that_cannot_be_is_one_line(
    zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, says: str
) -> None:
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    ended, out, err = zoning(*words, "--reason", "why")
    assert (ended, out, err.count("\n")) == (status, "", 1)
    assert says in err
