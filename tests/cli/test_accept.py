"""A person's word on what a tripwire holds, from a terminal."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from tests.conftest import rows, sync
from tests.support import town
from zoning_assets.errors import AcceptanceNeeded
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.simulation.county.county import ID, County


def test_a_person_accepts_or_discards(
    zoning: Zoning, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status` shows what waits and why; `discard` forgets it; `accept` has it published; all is audited."""
    monkeypatch.setenv("ZONING_DATABASE_URL", pipeline.database)
    monkeypatch.setenv("ZONING_STORE_URL", str(tmp_path / "store"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path / "toml"))

    def said(*words: str, expect: int = 0) -> dict:
        status, out, err = zoning(*words, "--json")
        assert status == expect, err
        return json.loads(out)

    jurisdiction, county = town.town(tmp_path), County.build(800)
    town.release(tmp_path, county)
    sync(pipeline, jurisdiction)
    town.release(tmp_path, county, parcels=town.one_code("ZONE"))
    sync(pipeline, jurisdiction)
    (waits,) = said("status", expect=1)["holds"]
    assert waits["what"] == f"{ID} parcels"
    assert "mass_rezoning: " in waits["reason"]
    assert "mass_rezoning" in said("discard", ID, "--reason", "a test release")["why"][0]
    assert said("status")["holds"] == []
    assert "no harvest waits" in said("discard", ID, "--reason", "again", expect=1)["error"]
    sync(pipeline, jurisdiction)
    said("accept", ID, "--reason", "one zone for all")
    sync(pipeline, jurisdiction)
    assert rows(pipeline.database, "SELECT count(DISTINCT zoning_code_local) FROM zoning.parcel") == [(1,)]
    for word in ("discard", "accept"):
        town.release(tmp_path, county, parcels=town.truncated)
        with pytest.raises(AcceptanceNeeded, match="count_drop"):
            sync(pipeline, jurisdiction)
        assert said(word, ID, "--reason", "half a file")["rows"] < 800
    # The fall is accepted, once: that it came with the old codes is another matter.
    assert {str(each.error).count("count_drop") for each in sync(pipeline, jurisdiction)} == {0}
    actions = rows(pipeline.database, "SELECT action, reason FROM zoning.audit ORDER BY id")
    fell = [("discard", "half a file"), ("accept", "half a file")]
    assert actions == [("discard", "a test release"), ("accept", "one zone for all"), *fell]
