"""A pause that is met while `zoning sync` shows its progress on a terminal."""

import os
import re
import sys
from pathlib import Path

from tests.support.databases import copied
from tests.support.screen import OnScreen
from tests.support.waiting import until
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.records import hold_records

_WIDTH = 80
_LOTS = 400


def test_the_warning_stands_above_the_progress(server: str, template: str, tmp_path: Path) -> None:
    """The warning has lines of its own, once and whole; the spinner moves meanwhile; each step leaves one line."""
    (tmp_path / "jurisdictions").mkdir()
    with serving(_LOTS) as portal, copied(server, template) as (_, url):
        (tmp_path / "jurisdictions" / f"{ID}.toml").write_text(county_toml(portal))
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "ZONING_HOME": str(tmp_path / "home"),
            "ZONING_JURISDICTIONS": str(tmp_path / "jurisdictions"),
            "ZONING_DATABASE_URL": url,
        }
        hold = hold_records.pause(url, jurisdiction=ID, host=None, reason="storm " * 20, actor="a test", until=None)
        shown = OnScreen([sys.executable, "-m", "zoning_assets.cli", "sync", ID], environ, _WIDTH)
        until(lambda: "the hold ends" in "\n".join(shown.screen.lines), "the warning", 60)
        moving = re.compile(rf"^. {ID} parcels: finding the tiles 0:00:0[1-9]$", re.MULTILINE)
        until(lambda: moving.search("\n".join(shown.screen.lines)), "a spinner that moves during the step", 20)
        hold_records.resume(url, jurisdiction=ID, host=None, reason="over", actor="a test")
        assert shown.end() == 0, shown.screen.lines
    lines = shown.screen.lines
    assert max(map(len, lines)) <= _WIDTH
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"{ID}: paused"))
    end = next(number for number, line in enumerate(lines) if "finding the tiles" in line)
    assert " ".join(lines[begin:end]) == f"{hold.error()}; the run continues when the hold ends"
    steps = [re.sub(r" \d+:\d\d:\d\d$", "", line) for line in [*lines[:begin], *lines[end:]] if line.startswith("  ")]
    assert steps[:4] == [
        "  Starting",
        f"  {ID} parcels: checking whether it changed",
        "  Starting Dagster",
        f"  {ID} parcels: finding the tiles",
    ]
    assert sum("paused" in line for line in lines) == 1
