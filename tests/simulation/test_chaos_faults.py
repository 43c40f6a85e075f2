"""The lying portal lies as it says: each fault applied, passes where it should, and is the same for the same seed."""

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
    """Questions of every kind, as a careless client asks them."""
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


def truth(asked):
    """The portal's own answer; kept, as the same is asked by every fault."""
    question = (asked.path, *sorted(asked.params.items()))
    if asked.edit is not unedited:
        return PORTAL._truth(asked)
    if question not in ANSWERS:
        ANSWERS[question] = PORTAL._truth(asked)
    return ANSWERS[question]


def told(chaos):
    """All replies of a chaos to that client, with how each was sent."""
    replies = [chaos.answer(asked, truth) for asked in client()]
    return [(reply.status, reply.body, reply.wait_s, reply.broken) for reply in replies]


HONEST = told(Chaos(()))


def test_without_faults_the_truth_is_said():
    """What the other tests compare with is the portal's own answer, but for the formats that it offers."""
    assert HONEST[1][1] == truth(next(asked for asked in client() if asked.params)).body
    assert orjson.loads(HONEST[0][1])["supportedQueryFormats"] == "JSON"
    assert "error" not in b"".join(body for _, body, _, _ in HONEST).decode()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_bites_and_is_the_same_for_the_same_seed(name):
    """A fault that changes nothing would let every client pass."""
    first, again = Chaos([name], 3), Chaos([name], 3)
    lies = told(first)
    assert lies == told(again)
    assert first.applied[name] > 0
    assert lies != HONEST


def test_passing_faults_pass_however_many_there_are():
    """Whoever asks a question once more than MAX_FAULTY_TRIES gets an answer, with every fault of the line at work."""
    line = list(FAULTS)[list(FAULTS).index("slow") :]
    chaos = Chaos([name for name in line if FAULTS[name].outcome == PASSING and not FAULTS[name].avoidable], 5)
    for asked, (_, body, _, _) in zip(client(), HONEST, strict=True):
        replies = [chaos.answer(asked, truth) for _ in range(MAX_FAULTY_TRIES + 1)]
        assert (replies[-1].status, replies[-1].body, replies[-1].broken) == (200, body, False)
    assert all(chaos.applied.values())


def test_faults_are_declared():
    """Each says which words its refusal holds; only what nobody can pass is called fatal."""
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
    """Two to four faults, at most one wall, and every fault has its turn."""
    found = mixtures(1, 200)
    assert found == mixtures(1, 200) != mixtures(2, 200)
    assert {len(names) for names in found} == {2, 3, 4}
    assert {name for names in found for name in names} == set(FAULTS)
    assert max(sum(FAULTS[name].outcome == FATAL for name in names) for names in found) == 1


async def test_over_http_a_line_breaks_and_an_answer_is_late_or_half():
    """The same faults between sockets: a reset, half a document, a redirect to a login page."""
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
    """A chaos that sends every true reply in one way."""

    def __init__(self, **how):
        self.how = how

    def answer(self, asked, inner):
        return Reply(inner(asked).body, **self.how)


def test_a_portal_in_a_process_of_its_own_can_be_disturbed():
    """For the demo: the portal lies from now on, and says the truth again."""

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
