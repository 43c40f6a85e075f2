"""`zoning minutes` as a person or a script uses it; its site is a process's own loopback server."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from tests.support.http_desk import served
from tests.support.legistar_site import LegistarDesk, history, matter

ID = "us-xx-mytown"
FILE = """
id = "us-xx-mytown"
name = "My Town"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "arcgis"
url = "https://gis.example.org/FeatureServer/0"
key = "PIN"
[portal]
requests_per_minute = 60000
"""


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a site with one rezoning."""
    desk = LegistarDesk([matter(7, "Rezone 55 Spring Street from RS-2 to NC-1")], {7: [history(1, "approved")]})
    addresses, loop = list[str](), asyncio.new_event_loop()
    ready, ends = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with served(desk) as url:
            addresses.append(url)
            ready.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(10)
    yield addresses[0]
    loop.call_soon_threadsafe(ends.set)
    thread.join(10)
    loop.close()


def test_a_poll(zoning: Zoning, database: str, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    file = tmp_path / "jurisdictions" / f"{ID}.toml"
    file.write_text(f'{FILE}[minutes]\ntype = "legistar"\nurl = "{site}"\n')
    status, out, _ = zoning("minutes", ID, "--since", "2026-11-01", "--json")
    document = json.loads(out)
    assert (status, document["matters"], document["requests"]) == (0, 1, 4)
    assert [(each["new"], each["from"], each["to"]) for each in document["amendments"]] == [("yes", "RS-2", "NC-1")]
    status, out, _ = zoning("minutes", ID, "--since", "2026-11-01")
    assert status == 0
    assert "1 amendments, 0 new or changed" in out
    assert zoning("amendments", "--queue", "unmapped")[0] == 0

    file.write_text(FILE)
    status, out, err = zoning("minutes", ID)
    assert (status, err.count("\n")) == (2, 1)
    assert "no table [minutes]" in err
    assert zoning("minutes", ID, "--since", "yesterday")[0] == 2
