"""What a tick reads: a jurisdiction file once, until it changes; the failures of a feed without a search."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.conftest import read_toml
from zoning_assets import jurisdictions
from zoning_assets.defs.sensors import probe_results, tick_data
from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline.pipeline import ProbeResult
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, county_toml

if TYPE_CHECKING:
    from zoning_assets.pipeline.pipeline import Pipeline

OTHER = "us-xx-other"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two jurisdictions of the user's own."""
    for name in (ID, OTHER):
        read_toml(tmp_path, county_toml("http://127.0.0.1:1").replace(ID, name), name)
    return Settings.of({"ZONING_HOME": str(tmp_path), "ZONING_JURISDICTIONS": str(tmp_path)})


def test_a_file_is_read_again_when_it_changed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = list[str](), jurisdictions.read

    def counted(path: Path, *others: Any) -> Jurisdiction:
        reads.append(path.stem)
        return read(path, *others)

    monkeypatch.setattr(jurisdictions, "read", counted)
    first = tick_data.watched(settings)
    assert tick_data.watched(settings) == first
    assert sorted(reads) == sorted([ID, OTHER]), "the second tick reads none"
    file = settings.jurisdictions / f"{OTHER}.toml"
    file.write_text(file.read_text().replace("full_refresh_days = 30", "full_refresh_days = 31"))
    changed = {feed.key: feed.jurisdiction.feeds["parcels"].full_refresh_days for feed in tick_data.watched(settings)}
    assert (changed[f"{ID}/parcels"], changed[f"{OTHER}/parcels"]) == (30, 31)
    assert reads[2:] == [OTHER]
    before = file.stat()
    file.write_text(file.read_text().replace("full_refresh_days = 31", "full_refresh_days = 99"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert reads[3:] == []
    tick_data.watched(settings)
    assert reads[3:] == [OTHER], "of the same size"
    file.unlink()
    assert {feed.jurisdiction.id for feed in tick_data.watched(settings)} == {ID}


def test_an_invalid_file_is_skipped_until_it_is_right(settings: Settings) -> None:
    file = settings.jurisdictions / f"{OTHER}.toml"
    right = file.read_text()
    file.write_text("[")
    assert {feed.jurisdiction.id for feed in tick_data.watched(settings)} == {ID}
    file.write_text(right)
    assert {feed.jurisdiction.id for feed in tick_data.watched(settings)} == {ID, OTHER}


class SlowPortals:
    """Each probe takes a moment."""

    async def probe(self, jurisdiction: Jurisdiction, feed: str, _: datetime) -> ProbeResult:
        await asyncio.sleep(0.05)
        return ProbeResult(jurisdiction.id, feed, None, 3)


def test_a_probe_that_could_not_begin_has_no_result(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """So its feed stays due, and has not failed."""
    monkeypatch.setattr(probe_results, "_AT_ONCE", 1)
    monkeypatch.setattr(probe_results, "_BEGIN_S", 0.02)
    feeds = tick_data.watched(settings)
    assert len(feeds) == 4
    work = probe_results.probe_feeds(cast("Pipeline", SlowPortals()), feeds, datetime.now(UTC))
    assert [feed for feed, _ in asyncio.run(work)] == feeds[:1]
