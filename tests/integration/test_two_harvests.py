"""Two processes, such as workers on two machines, harvest one feed at the same time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.support.waiting import until
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

_PARCELS, _A_MINUTE = 20_000, 480


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_harvest_that_fails_takes_no_page_of_another_one(tmp_path: Path, database: str) -> None:
    """The first process has half of the pages and hangs. The layer changes, and a second process harvests it; then the
    first one goes on, finds the change, and deletes the pages of its draft. The second one ends well.

    Without a lock it has lost its pages by then ("pages were deleted: another process harvests the same layer").
    """
    drafts, log = tmp_path / "store/raw" / ID / "parcels/whole/draft", tmp_path / "second.log"
    with serving(_PARCELS) as portal:
        file = tmp_path / f"{ID}.toml"
        file.write_text(county_toml(portal).replace("minute = 60000", f"minute = {_A_MINUTE}"))
        words = [str(file), str(tmp_path / "store"), database]
        command = [sys.executable, "-m", "tests.support.backfill_child", *words]
        first = subprocess.Popen([*command, str(tmp_path / "a"), "0", "1"], stderr=subprocess.PIPE)
        try:
            until(lambda: len(list(drafts.glob("*.json"))) > 4, "pages of the first process")
            first.send_signal(signal.SIGSTOP)
            before = {path.name for path in drafts.glob("*.json")}
            switch_release(portal, 2)
            with log.open("wb") as opened:
                second = subprocess.Popen([*command, str(tmp_path / "b"), "0", "1"], stderr=opened)

            def is_under_way() -> bool:
                mine = {path.name for path in drafts.glob("*.json")} - before
                return b"waiting for its end" in log.read_bytes() or len(mine) > 3 or second.poll() is not None

            until(is_under_way, "the second process")
        finally:
            os.kill(first.pid, signal.SIGCONT)
        _, said = first.communicate(timeout=300)
        assert first.returncode == 1, "it had rows of two releases"
        assert b"Traceback" not in said or b"HarvestIncomplete" in said
        assert second.wait(300) == 0, log.read_text()
    published = rows(database, "SELECT count(*), count(DISTINCT batch_id) > 0 FROM zoning.parcel")
    assert published[0][0] > _PARCELS * 0.9
    assert not list(drafts.glob("*"))
