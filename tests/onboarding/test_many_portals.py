"""Many portals at the same time, one host in turn; whatever one of them answers, the others get their proposal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.http_desk import Clock, served
from tests.support.recorded import recorded
from zoning_assets import jurisdictions
from zoning_assets.errors import DatabaseUnavailable, Defect, PortalUnreachable
from zoning_assets.http import Http, Tally
from zoning_assets.onboarding import many_portals
from zoning_assets.onboarding.address_list import ListedAddress
from zoning_assets.onboarding.many_portals import PortalResult
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.sources import FEED_TYPES
from zoning_assets.sources.arcgis.query_client import QueryClient

SERVICE = "arcgis/rest/services/County/FeatureServer"
RELEASES = CountyReleases(300, page_rows=200)


async def test_one_host_is_asked_in_turn_and_many_at_the_same_time() -> None:
    items = [(f"host{number % 20}", number) for number in range(60)]
    running, most, order = set[str](), 0, dict[str, list[int]]()

    async def work(item: tuple[str, int]) -> None:
        nonlocal most
        host, number = item
        assert host not in running
        running.add(host)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(host)
        order.setdefault(host, []).append(number)

    await many_portals.by_host(items, lambda item: item[0], work)
    assert most == many_portals.HOSTS_AT_ONCE
    assert order == {f"host{n}": [n, n + 20, n + 40] for n in range(20)}


async def test_what_is_not_about_one_address_ends_all() -> None:
    """Without the rate limits nothing more may be asked; the other hosts' work is ended too."""
    ended = list[int]()

    async def work(number: int) -> None:
        if number == 0:
            raise DatabaseUnavailable("gone", where="the database", do="start it")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    with pytest.raises(DatabaseUnavailable):
        await many_portals.by_host(range(3), str, work)
    assert ended == [1, 2]


@pytest.mark.parametrize(("received", "says"), [(0, "no answer within 0.05 s"), (9, "it is not ready after 0 min")])
async def test_a_portal_that_does_not_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, received: int, says: str
) -> None:
    """One that sends nothing soon, one that sends something later; the work on it is ended."""
    monkeypatch.setattr(many_portals, "_FIRST_ANSWER_S", 0.05)
    monkeypatch.setattr(many_portals, "_LONGEST_S", 0.05)
    ended = list[bool]()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(PortalUnreachable, match=says):
        await many_portals._bounded("http://a.gov/x", Tally(1, received), work())
    assert ended == [True]


async def bad(kind: str, request: web.Request) -> web.StreamResponse:
    """A portal as some are."""
    return {
        "loop": lambda: web.Response(status=302, headers={"Location": request.path_qs}),
        "html": lambda: web.Response(text="<html><title>Firewall</title>", content_type="text/html"),
        "list": lambda: web.json_response([1, 2]),
        "odd": lambda: web.json_response({"layers": 7, "folders": "x", "services": [3, {"name": [], "type": {}}]}),
    }[kind]()


@pytest.fixture
async def portals() -> AsyncIterator[dict[str, str]]:
    """Addresses of portals by kind; `good` is the simulated county."""
    async with AsyncExitStack() as stack:
        found = {"good": f"{await stack.enter_async_context(county_portal(RELEASES).running())}/{SERVICE}"}
        for kind in ("loop", "html", "list", "odd"):

            async def answer(request: web.Request, kind: str = kind) -> web.StreamResponse:
                return await bad(kind, request)

            found[kind] = f"{await stack.enter_async_context(served(answer))}/{SERVICE}"
        yield {**found, "closed": f"http://127.0.0.1:9/{SERVICE}"}


async def test_whatever_a_portal_answers_the_others_get_their_proposal(
    portals: dict[str, str], pool: Pool, tmp_path: Path
) -> None:
    """Each address has one result: a valid file with its trial, or one line with what to do."""
    listed = [
        ListedAddress(url, f"line {number}", f"us-xx-{kind}", remarks=('a "remark" \n id = "evil"',))
        for number, (kind, url) in enumerate(portals.items())
    ]
    results, clock = dict[str, PortalResult](), Clock()

    async def sleep(seconds: float) -> None:
        await (asyncio.sleep(0.01) if seconds < 1 else clock.sleep(seconds))

    async with Http(sleep=sleep, clock=clock) as http:
        await many_portals.propose_all(
            http, "", pool, listed, lambda each: results.update({each.listed.id or "": each})
        )
    whys = {name.removeprefix("us-xx-"): each.error.what for name, each in results.items() if each.error}
    assert whys == {
        "loop": "it redirects in a loop",
        "html": 'a web page instead of data: "Firewall" (2 tries)',
        "list": "no JSON object (2 tries)",
        "odd": "there is no layer",
        "closed": "nothing listens there: it refuses the connection (2 tries)",
    }
    good = results["us-xx-good"]
    assert good.trial["fetched"] == good.trial["accepted"] + good.trial["rejected"] == 200
    assert 0 < good.requests < 20
    file = tmp_path / "us-xx-good.toml"
    file.write_text(good.proposal["toml"])
    assert jurisdictions.read(file, FEED_TYPES).name == "us-xx-good"


async def test_a_trial_takes_the_first_page_also_if_it_comes_late(monkeypatch: pytest.MonkeyPatch, pool: Pool) -> None:
    """The last page may have one row only, and a portal is not asked for pages that nobody needs."""
    clock, asked, real = Clock(), list[str](), QueryClient.page
    results = list[PortalResult]()

    async def late(self: QueryClient, params: Any, *args: Any, **options: Any) -> Any:
        asked.extend([params["where"]] if "OBJECTID" in params["where"] else [])
        await asyncio.sleep(0.3 if "OBJECTID >= 1 AND" in params["where"] else 0)
        return await real(self, params, *args, **options)

    monkeypatch.setattr(QueryClient, "page", late)
    async with county_portal(RELEASES).running() as address, Http(sleep=clock.sleep, clock=clock) as http:
        listed = ListedAddress(f"{address}/{SERVICE}/0", "line 1", "us-xx-a")
        await many_portals.propose_all(http, "", pool, [listed], results.append)
    assert results[0].trial["fetched"] == 200
    assert asked == ["OBJECTID >= 1 AND OBJECTID <= 200"]


async def test_the_key_of_a_catalogue_is_proposed_if_it_can_be_one(pool: Pool) -> None:
    """GlobalID-like and empty columns are no key, whatever a catalogue states; the file says so."""
    clock = Clock()
    results = list[PortalResult]()
    async with county_portal(RELEASES).running() as address, Http(sleep=clock.sleep, clock=clock) as http:
        for key in ("pin", "ZONE"):
            listed = ListedAddress(f"{address}/{SERVICE}/0", "entry 1", "us-xx-a", name="A \x1b County", key=key)
            await many_portals.propose_all(http, "", pool, [listed], results.append)
    toml, other = (each.proposal["toml"] for each in results)
    assert 'key = "PIN"' in toml
    assert "the catalogue names it" in toml
    assert 'key = "PIN"' in other
    assert "the catalogue names the key 'ZONE', which is missing or repeats too often" in other
    assert 'name = "A \\u001b County"' in toml


def replayed(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A server that gives the recorded answers of a layer; what was not recorded is an error, as old servers answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = {**request.query, **(await request.post())}
        part = "metadata" if not request.path.endswith("query") else "0"
        part = {"returnCountOnly": "count-only", "returnIdsOnly": "ids-only"}.get(
            next(iter(asked.keys() & _PARTS), ""), part
        )
        if asked.keys() & {"returnExtentOnly", "outStatistics"}:
            return web.json_response({"error": {"code": 400, "message": "Unable to perform query"}})
        return web.Response(body=recorded(f"pyesridump/{name}/{name}-{part}.json"), content_type="application/json")

    return answer


_PARTS = {"returnCountOnly", "returnIdsOnly"}


@pytest.mark.slow
async def test_recorded_servers_are_proposed_or_say_why(pool: Pool) -> None:
    """Servers of 10.0 to 10.22 as they were recorded: layers of points are none; none is a fault of this program."""
    results, clock = dict[str, PortalResult](), Clock()
    names = ("us-ms-madison", "us-mi-kent", "us-ca-tuolumne", "us-ca-carson", "us-mo-columbia", "us-fl-polk")
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(served(replayed(name))) for name in names]
        listed = [
            ListedAddress(f"{host}/arcgis/rest/services/T/MapServer/0", name, name)
            for host, name in zip(hosts, names, strict=True)
        ]
        async with Http(sleep=clock.sleep, clock=clock) as http:
            await many_portals.propose_all(
                http, "", pool, listed, lambda each: results.update({each.listed.where: each})
            )
    found = {name: each.error.what if each.error else each.trial.get("error", "") for name, each in results.items()}
    points = dict.fromkeys(("us-ca-carson", "us-mo-columbia", "us-fl-polk"), "no polygons")
    says = {
        **points,
        "us-ms-madison": "the rows are in EPSG:4326, but the layer states EPSG:2255",
        "us-ca-tuolumne": "an object id is None",
        "us-mi-kent": "15 rows came, it lists 15, counts 222460",
    }
    assert found.keys() == says.keys()
    assert all(text in found[name] for name, text in says.items()), found
    assert not any(isinstance(each.error, Defect) for each in results.values())
