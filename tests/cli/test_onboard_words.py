"""`zoning onboard`: it says what it does from its first moment, and `--write` after a look does not look again."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from zoning_assets import jurisdictions
from zoning_assets.cli import proposals
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.sources import FEED_TYPES


def test_a_proposal_that_was_read_is_written_without_asking_again(zoning: Zoning, tmp_path: Path) -> None:
    """What is written is what was shown, under another id if that is wished; the portal may be gone by then. Never half
    a result: an id that is none writes nothing."""
    folder = tmp_path / "jurisdictions"
    with serving(300) as portal:
        url = f"{portal}/arcgis/rest/services/County/FeatureServer"
        status, shown, err = zoning("onboard", url)
        assert status == 0, err
        said = err.splitlines()
        assert said[0] == "Reading the portal ..."
        assert any(line.startswith("Reading some rows of the layer ") for line in said)
        assert "Testing with the first page ..." in said
        assert not list(folder.iterdir())
    status, _, err = zoning("onboard", url, "--write", "--id", "../My Town")
    assert status == 2
    assert err.count("\n") == 1
    assert not list(folder.iterdir())
    status, out, err = zoning("onboard", url, "--write", "--id", "us-xx-mine", "--json")
    assert status == 0, err
    document = json.loads(out)
    assert document["written"] == str(folder / "us-xx-mine.toml")
    assert document["trial"]["jurisdiction"] == "us-xx-mine"
    text = (folder / "us-xx-mine.toml").read_text()
    assert text == document["toml"]
    assert text.splitlines()[4:] == shown.splitlines()[4 : len(text.splitlines())]
    assert jurisdictions.read(folder / "us-xx-mine.toml", FEED_TYPES).id == "us-xx-mine"
    status, _, err = zoning("onboard", url, "--write", "--id", "us-xx-mine")
    assert status == 2
    assert "this file exists already" in err


_MADE = proposals.CachedProposal("2026-11-29T20:00:00+00:00", {"id": "us-xx-a", "toml": 'id = "us-xx-a"\n'}, {})


@pytest.mark.parametrize(("age", "is_known"), [(0, True), (59, True), (61, False), (-1, False)])
def test_a_proposal_is_kept_for_an_hour(tmp_path: Path, age: int, *, is_known: bool) -> None:
    """After that, and of a clock that was set back, the portal is asked again."""
    proposals.keep(tmp_path, "http://a", _MADE)
    now = datetime.fromisoformat(_MADE.at) + timedelta(minutes=age)
    assert proposals.find(tmp_path, "http://a", now) == (_MADE if is_known else None)
    assert proposals.find(tmp_path, "http://b", now) is None


def test_what_cannot_be_read_is_as_if_not_there(tmp_path: Path) -> None:
    proposals.keep(tmp_path, "http://a", _MADE)
    (file,) = (tmp_path / "onboard").iterdir()
    file.write_text("{")
    assert proposals.find(tmp_path, "http://a", datetime.now(UTC)) is None
