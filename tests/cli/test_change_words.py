"""The words about changes, as a person or a script uses them: on a county that changed once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Zoning
from tests.conftest import read_toml, sync
from zoning_assets.model import ZONING
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

_LOTS = 400
Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(zoning: Zoning, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A word with --json: its document. The county was harvested, changed, and was harvested again."""
    monkeypatch.setenv("ZONING_DATABASE_URL", pipeline.database)
    with serving(_LOTS) as portal:
        county = read_toml(tmp_path / "jurisdictions", county_toml(portal), ID)
        for number in (1, 2):
            switch_release(portal, number)
            sync(pipeline, county)
            sync(pipeline, county, ZONING)
            change_detection.update_parcel_zoning(pipeline.database, county)
            change_detection.detect_changes(pipeline.database, county)

    def ask(*words: str, status: int = 0) -> dict[str, Any]:
        ended, out, err = zoning(*words, "--json")
        assert ended == status, err
        return json.loads(out)

    return ask


def test_the_words_about_changes(asked: Asked, zoning: Zoning) -> None:
    """One story: the feed, why a change is one, a parcel's life, an ordinance that explains it, a watch."""
    truth = County.build(_LOTS).after_changes().truth
    assert truth is not None
    parcel, (old, new) = next(iter(truth.rezoned.items()))
    document = asked("changes", "--kind", "rezoned")
    feed = document["changes"]
    assert document["dates"]["detected"].startswith("noticed")
    assert document["dates"]["effective"].startswith("legal")
    assert {each["parcel_ids"][0] for each in feed} == set(truth.rezoned)
    (mine,) = (each for each in feed if each["parcel_ids"] == [parcel])
    named = ("id", "jurisdiction", "kind", "parcel_ids", "old", "new", "share", "confidence", "effective", "detected")
    assert {*named, "evidence"} <= set(mine)
    assert (mine["old"], mine["new"], mine["share"]) == (old, new, 1.0)

    told = asked("amend", ID, "--ordinance", "2023-502", "--status", "effective", "--parcel", parcel, "--to", new,
                 "--date", "effective=2023-12-15")  # fmt: skip
    assert [each["new"] for each in told["amendments"]] == ["yes"]
    said = asked("explain", mine["id"][:10])
    assert said["confidence"] > mine["confidence"]
    assert said["amendments"][0]["ordinance_numbers"] == ["2023-502"]
    _, out, _ = zoning("explain", mine["id"])
    assert f"from {old} to {new}" in out
    assert "ordinance: 2023-502 (effective)" in out
    assert f"noticed at {mine['detected'][:10]}" in out
    assert "legal from 2023-12-15" in out

    life = asked("parcel", ID, parcel)
    assert [each["code"] for each in life["zoning"]] == [old, new]
    assert [each["code"] for each in life["zoning_now"]] == [new]
    assert asked("amendments", "--queue", "matched")["queues"]["matched"][0]["changes"] == 1

    parent, children = next(iter(truth.split.items()))
    assert {each["parcel_id"] for each in asked("watch", ID, parent)["watched"]} == {parent}
    assert {each["kind"] for each in asked("parcel", ID, children[0])["changes"]} == {"split"}
    assert asked("preview-rules", ID) == {"codes": [], "types": [], "come": [], "gone": []}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("explain", "nonesuch"), 1, "no id of a change starts with this"),
        (("explain", "%"), 2, "is not the id of a change"),
        (("parcel", ID, "nonesuch"), 1, "no parcel has or had this id"),
        (("changes", "--since", "yesterday"), 2, "is not a time"),
        (("amend", ID), 2, "no amendment is given"),
        (("amend", ID, "--case", "7", "--status", "pending"), 2, "'pending' is not a status"),
        (("amend", ID, "--case", "7", "--date", "2024"), 2, "is not STATUS=DAY"),
        (("amend", ID, "--document", "nonesuch.pdf"), 2, "there is no such file"),
        (("amendments", "--queue", "nonesuch"), 2, "is not a queue"),
    ],
)
def test_what_is_not_there_is_one_line(
    zoning: Zoning, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
    status: int, says: str,
) -> None:  # fmt: skip
    """Named, on one line, with what to do."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    (tmp_path / "jurisdictions" / f"{ID}.toml").write_text(county_toml("http://127.0.0.1:1"))
    ended, out, err = zoning(*words)
    assert (ended, out) == (status, "")
    assert says in err
    assert err.count("\n") == 1
