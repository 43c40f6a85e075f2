"""Faults of the simulated portal: each changes something, passes if it should, and is the same for the same seed."""

import http.client
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest

from zoning_assets.simulation.chaos import FATAL, FAULTS, PASSING, Chaos, Reply, ServiceRequest, mixtures
from zoning_assets.simulation.chaos.exchange import unedited
from zoning_assets.simulation.chaos.network import MAX_FAULTY_TRIES
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.simulation.portal.portal_process import serving, set_faults

RELEASES = CountyReleases(300, page_rows=100)
PORTAL = county_portal(RELEASES)
ANSWERS: dict[tuple[object, ...], Reply] = {}
LAYER = "County/FeatureServer/0"
EVERY = {"where": "1=1"}
PAGE = {**EVERY, "outFields": "*", "returnGeometry": "true"}
ORDERED = {**PAGE, "orderByFields": "OBJECTID ASC"}
AREAS = [
    {**EVERY, "geometry": f"{west},42.2,-71.5,42.4", "geometryType": "esriGeometryEnvelope", "inSR": "4326"}
    for west in ("-71.7", "-71.71", "-71.72", "-71.73")
]
MOST = '[{"statisticType":"max","onStatisticField":"OBJECTID","outStatisticFieldName":"most"}]'
IDS = ",".join(map(str, range(1, 30)))


def client():
    """Requests of every kind, without any check of the responses."""
    yield ServiceRequest(LAYER, {})
    for _ in range(3):
        for params in (PAGE, ORDERED):
            for offset in ("0", "100", "200"):
                yield ServiceRequest(f"{LAYER}/query", {**params, "resultOffset": offset})
        for which in (EVERY, *AREAS, {"where": "OBJECTID > 100"}):
            yield ServiceRequest(f"{LAYER}/query", {**which, "returnCountOnly": "true"})
            yield ServiceRequest(f"{LAYER}/query", {**which, "returnIdsOnly": "true"})
            yield ServiceRequest(f"{LAYER}/query", {**which, **PAGE})
        yield ServiceRequest(f"{LAYER}/query", {"objectIds": IDS, "outFields": "*"}, url_length=2300)
        yield ServiceRequest(f"{LAYER}/query", {**EVERY, "outFields": "OBJECTID,PIN"})
        yield ServiceRequest(f"{LAYER}/query", {**EVERY, "outStatistics": MOST})
        yield ServiceRequest(LAYER, {})


def truth(request):
    """The portal's correct response; cached, because all faults get the same requests."""
    key = (request.path, *sorted(request.params.items()))
    if request.edit is not unedited:
        return PORTAL._truth(request)
    if key not in ANSWERS:
        ANSWERS[key] = PORTAL._truth(request)
    return ANSWERS[key]


def replies_of(chaos):
    """The replies of a chaos to all these requests."""
    replies = [chaos.answer(request, truth) for request in client()]
    return [(reply.status, reply.body, reply.wait_s, reply.broken) for reply in replies]


CORRECT = replies_of(Chaos(()))


def test_responses_without_faults_are_correct():
    """The replies that the other tests compare with are correct responses, except for the supported formats."""
    assert CORRECT[1][1] == truth(next(request for request in client() if request.params)).body
    assert orjson.loads(CORRECT[0][1])["supportedQueryFormats"] == "JSON"
    assert "error" not in b"".join(body for _, body, _, _ in CORRECT).decode()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_changes_a_response_and_is_the_same_for_the_same_seed(name):
    """With a fault that changes nothing, every client would pass."""
    first, again = Chaos([name], 3), Chaos([name], 3)
    replies = replies_of(first)
    assert replies == replies_of(again)
    assert first.applied[name] > 0
    assert replies != CORRECT


def test_temporary_faults_pass_whatever_their_number():
    """A request that is sent once more than MAX_FAULTY_TRIES gets its response, with all network faults at once."""
    network_faults = list(FAULTS)[list(FAULTS).index("slow") :]
    chaos = Chaos(
        [name for name in network_faults if FAULTS[name].outcome == PASSING and not FAULTS[name].avoidable], 5
    )
    for request, (_, body, _, _) in zip(client(), CORRECT, strict=True):
        replies = [chaos.answer(request, truth) for _ in range(MAX_FAULTY_TRIES + 1)]
        assert (replies[-1].status, replies[-1].body, replies[-1].broken) == (200, body, False)
    assert all(chaos.applied.values())


def test_faults_are_declared():
    """Each fault has words for its error; a fault is fatal only if no client can pass it."""
    assert all(fault.words for fault in FAULTS.values())
    assert {name for name, fault in FAULTS.items() if fault.outcome == FATAL} == {
        "error_200_final",
        "login_302",
        "maintenance_200",
        "maintenance_503",
        "token_wall",
        "token_wall_later",
    }
    with pytest.raises(ValueError, match="storm_429"):
        Chaos(["storm_42"])


def test_mixtures_are_the_same_for_the_same_seed():
    """Two to four faults, at most one of them fatal; every fault occurs."""
    found = mixtures(1, 200)
    assert found == mixtures(1, 200) != mixtures(2, 200)
    assert {len(names) for names in found} == {2, 3, 4}
    assert {name for names in found for name in names} == set(FAULTS)
    assert max(sum(FAULTS[name].outcome == FATAL for name in names) for names in found) == 1


async def test_over_http_a_connection_is_reset_and_a_response_is_late_or_half():
    """The same faults over sockets: a reset, half of a body, a redirect to a login page."""
    portal = county_portal(RELEASES)
    async with portal.running() as address, aiohttp.ClientSession(address) as session:
        url = f"/arcgis/rest/services/{LAYER}/query?where=1%3D1&returnIdsOnly=true"

        async def ask(**params):
            async with session.get(url, params=params) as response:
                return response, await response.read()

        portal.chaos = Always(broken=True)
        with pytest.raises(aiohttp.ClientError):
            await ask()
        portal.chaos = Chaos(["login_302"], 1)
        for _ in range(50):
            response, body = await ask()
        assert response.status == 200
        assert b"Sign in" in body
        portal.chaos = None
        assert len(orjson.loads((await ask())[1])["objectIds"]) == 300


class Always:
    """Sends every correct response in the same way."""

    def __init__(self, **how):
        self.how = how

    def answer(self, request, handler):
        return Reply(handler(request).body, **self.how)


def test_faults_of_a_portal_process_can_be_set():
    """The faults of a running portal can be set and removed, as in the demo."""

    def ask(address):
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        connection.request("GET", f"/arcgis/rest/services/{LAYER}?f=json")
        body = connection.getresponse().read()
        connection.close()
        return body

    with serving(300) as address:
        true = ask(address)
        set_faults(address, ["token_wall"])
        assert orjson.loads(ask(address))["error"]["code"] == 499
        set_faults(address, [])
        assert ask(address) == true
