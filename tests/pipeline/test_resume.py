"""A harvest that is killed goes on where it was: the same result, and no page that was stored is asked for again."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from tests.conftest import rows
from zoning_assets.model import PARCELS, Place
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects

_STATE = "SELECT parcel_id, tile, content_hash FROM zoning.parcel ORDER BY 1"


class SlowPortal:
    """The county, a page every 20 ms, in a thread of its own; keeps which whole rows it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self._portal = county_portal(CountyReleases(2000, page_rows=25), fault=self._slowly)

    async def _slowly(self, request: web.Request) -> None:
        form = await request.post() if request.method == "POST" else {}
        query = {**request.query, **{name: str(value) for name, value in form.items()}}
        if query.get("outFields") == "*":
            self.asked.append(query)
            await asyncio.sleep(0.02)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its address."""
        loop, ready, address = asyncio.new_event_loop(), threading.Event(), list[str]()

        async def serve() -> None:
            async with self._portal.running() as url:
                address.append(url)
                ready.set()
                await stop.wait()

        stop = asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert ready.wait(60)
        try:
            yield address[0]
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


def _stored(store: Path, asked: list[Mapping[str, str]]) -> list[bool]:
    """Which of these questions have their answer in the draft of some tile."""
    objects = Objects(str(store))
    folder = store / "raw" / ID / PARCELS
    drafts = [
        HarvestDraft(objects, Place(ID, each.name), PARCELS) for each in folder.glob("*") if (each / "draft").is_dir()
    ]
    return [any(draft.find(question) is not None for draft in drafts) for question in asked]


def _key(query: Mapping[str, str]) -> bytes:
    return orjson.dumps(query, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize(
    "kills",
    [
        3,
        pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1500)]),
    ],
)
def test_a_killed_harvest_goes_on_and_asks_for_nothing_twice(tmp_path: Path, database: str, kills: int) -> None:
    """kill -9 at random moments of a paged harvest, again and again, then a whole run."""
    rng, portal = random.Random(kills), SlowPortal()
    with portal.running() as address:
        file = tmp_path / f"{ID}.toml"
        file.write_text(county_toml(address, tile_resolution="auto"))
        store = tmp_path / "store"
        command = [
            sys.executable,
            "-m",
            "tests.support.kill_child",
            str(file),
            str(store),
            database,
            str(tmp_path / "scratch"),
        ]
        asked_in_vain, kept = 0, 0
        for _ in range(kills):
            before, known = len(portal.asked), list(portal.asked)
            had = {_key(each) for each, stored in zip(known, _stored(store, known), strict=True) if stored}
            process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 400
            upto = before + rng.randint(2, 40)
            while process.poll() is None and len(portal.asked) < upto and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, 0.02))  # at any moment between two questions
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            now = list(map(_key, portal.asked[before:]))
            asked_in_vain += len(had.intersection(now))
            kept += len(had)
        subprocess.run(command, check=True, timeout=500)
        killed = rows(database, _STATE)
        subprocess.run(command, check=True, timeout=500)
        assert asked_in_vain == 0
        assert kept > 0, "no run was killed in the middle of a tile"
        assert len(killed) > 1900
        assert rows(database, _STATE) == killed
