"""Mutated answers of portals: rows that are proven, or a refusal in one line; never a crash, never an endless walk."""

import asyncio
import copy
import json
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.ckan.fake_ckan import TABLE, resource
from tests.sources.opendatasoft.fake_opendatasoft import FIELDS
from tests.sources.portals import BOUNDS, PORTAL, count_of, lots
from tests.sources.socrata.fake_socrata import ID, VIEW, row
from tests.support.sampling import examples
from tests.support.shared_data import recorded
from zoning_assets.errors import FeedRefused, PortalUnreachable, ZoningError
from zoning_assets.http import Response
from zoning_assets.model import PARCELS, Feed, Jurisdiction, Place
from zoning_assets.sources.ckan import ckan_source
from zoning_assets.sources.download.resumable_file import ResumableFile
from zoning_assets.sources.opendatasoft import opendatasoft_source
from zoning_assets.sources.socrata import socrata_source
from zoning_assets.sources.source import Request
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects

LOTS = lots(30)
JUNK = (
    *(None, True, -1, 0, 3, 10**30, 1e308, float("nan"), "", "x", "\x00", "1e9", "https://x/[", [], {}),
    *(
        [[]],
        [None],
        {"": None},
        {"type": []},
        [1, "a", None, {}],
        ["a"] * 50,
        "POLYGON((0 0,1 0",
        {"a": {"a": {"a": 1}}},
    ),
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def mutate(document: Any, chance: random.Random) -> Any:
    """A copy with some members replaced, removed, repeated, moved, or nested deep."""
    whole = {"": copy.deepcopy(document)}
    for _ in range(chance.choice((1, 1, 2, 5))):
        parent: Any = whole
        key: Any = ""
        while isinstance(parent[key], dict | list) and parent[key] and chance.random() < 0.85:
            parent = parent[key]
            key = chance.choice(list(parent)) if isinstance(parent, dict) else chance.randrange(len(parent))
        way = chance.choice(("junk", "junk", "junk", "remove", "twice", "deep"))
        if way == "remove" and parent is not whole:
            parent.pop(key)
        elif way == "twice" and isinstance(parent, list):
            parent.insert(chance.randrange(len(parent) + 1), parent[key])
        else:
            parent[key] = _nested(chance.choice((100, 300))) if way == "deep" else copy.deepcopy(chance.choice(JUNK))
    return whole[""]


def scrambled(document: Any, seed: int) -> bytes:
    """A document's bytes, mutated as JSON or as bytes, or as they were."""
    chance = random.Random(seed)
    if chance.random() < 0.6:
        document = mutate(document, chance)
    body = json.dumps(document).encode()  # unlike orjson it writes a NaN, and any depth
    if chance.random() < 0.15:
        at = chance.randrange(len(body))
        body = chance.choice((body[:at], body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :], body * 2))
    return body


class Canned:
    """The client, without a network: each answer mutated, by one seed for all or for one in so many."""

    def __init__(self, answers: Callable[[str, dict[str, str]], Any], seed: int, one_in: int) -> None:
        self.answers, self.chance, self.one_in, self.asked = answers, random.Random(seed), one_in, 0

    def body(self, url: str, params: dict[str, str]) -> bytes:
        self.asked += 1
        assert self.asked < 500, "an endless walk"
        document = self.answers(url, params)
        if self.chance.randrange(self.one_in) == 0:
            return scrambled(document, self.chance.randrange(2**32))
        return json.dumps(document).encode()

    def stopped(self, _where: str) -> None:
        return None

    async def query(self, _portal: Any, url: str, params: dict[str, str], *, read: Any, **_: Any) -> Response:
        body = self.body(url, params)
        try:
            return Response(200, {}, body, read(body))
        except ValueError as error:  # the client asks again, and then gives up
            raise PortalUnreachable(str(error), where=url, do="x") from error

    async def fetch(self, _portal: Any, url: str, part: ResumableFile) -> Response:
        answer = Response(200, {})
        with part.open_writer(answer) as write:
            write(self.body(url, {}))
        return answer


async def proven_or_refused(
    open_source: Callable[[Request], Awaitable[Any]], path: str, http: Canned, key: str
) -> int | None:
    """How many rows were proven, None where they were refused by name."""
    with tempfile.TemporaryDirectory() as folder:
        feed = Feed(PARCELS, "x", f"https://data.example.org{path}", key=key, page_size=7)
        jurisdiction = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: feed}, portal=PORTAL)
        draft = HarvestDraft(Objects(f"{folder}/store"), Place(jurisdiction.id), PARCELS)
        try:
            whole = await open_source(Request(jurisdiction, feed, http, Path(folder) / "scratch", draft))
        except ZoningError:
            return None
        return await count_of(whole)


def of_socrata(url: str, params: dict[str, str]) -> Any:
    if "/api/views/" in url:
        return VIEW
    if params.get("$select") == "count(*)":
        return [{"count": str(len(LOTS))}]
    offset = int(params["$offset"])
    return [row(i, *lot) for i, lot in enumerate(LOTS)][offset : offset + int(params["$limit"])]


def of_ckan(url: str, params: dict[str, str]) -> Any:
    if url.endswith("package_show"):
        return {"success": True, "result": {"metadata_modified": "2026", "resources": [resource(TABLE)]}}
    if "sort" not in params:
        return {"a": "file that is none"}
    rows = [{"_id": i, "ml": pin, "the_geom": shapely.to_wkt(shape)} for i, (pin, shape) in enumerate(LOTS, 1)]
    rows = rows[::-1] if params["sort"] == "_id desc" else rows
    offset = int(params.get("offset", 0))
    page = rows[offset : offset + int(params["limit"])]
    fields = [{"id": name} for name in ("_id", "ml", "the_geom")]
    return {"success": True, "result": {"records": page, "fields": fields, "total": len(rows)}}


def of_opendatasoft(url: str, params: dict[str, str]) -> Any:
    if "/exports/" in url:
        shapes = [(pin, shapely.geometry.mapping(shape)) for pin, shape in LOTS]
        features = [{"type": "Feature", "geometry": shape, "properties": {"ml": pin}} for pin, shape in shapes]
        return {"type": "FeatureCollection", "features": features}
    metas = {"default": {"records_count": len(LOTS), "data_processed": "2025", "modified": "2024"}}
    return {"dataset_id": "a", "has_records": True, "fields": FIELDS, "metas": metas}


PORTALS = {
    "socrata": (socrata_source.open_source, f"/d/{ID}", of_socrata, "pin"),
    "ckan": (ckan_source.open_source, f"/dataset/a/resource/{TABLE}", of_ckan, "ml"),
    "opendatasoft": (opendatasoft_source.open_source, "/explore/dataset/a/", of_opendatasoft, "ml"),
}
FUZZ = settings(max_examples=examples(50), suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", PORTALS)
async def test_answers_that_are_not_mutated_are_proven(name):
    """The canned portals are sound, so that what follows is the mutations' doing."""
    open_source, path, answers, key = PORTALS[name]
    never = Canned(answers, 0, 10**9)
    assert await proven_or_refused(open_source, path, never, key) == len(LOTS)


@FUZZ
@pytest.mark.parametrize("name", PORTALS)
@given(seed=st.integers(0, 2**32), one_in=st.sampled_from([1, 3, 6]))
def test_mutated_answers_are_proven_or_refused(name, seed, one_in):
    """Whatever members are missing, of another kind, repeated, cut or nested: as many rows as were counted, or none."""
    open_source, path, answers, key = PORTALS[name]
    found = asyncio.run(proven_or_refused(open_source, path, Canned(answers, seed, one_in), key))
    # A mutated count may be believed where the pages agree with it.
    assert found is None or 0 <= found <= len(LOTS) + 5


def answering(name: str, seed: int) -> Callable[[str, dict[str, str]], Any]:
    """A recorded answer to every question, mutated the same way for all."""
    document = orjson.loads(recorded(name).read_bytes())
    mutated = mutate(document, random.Random(seed))
    return lambda _url, _params: mutated


SOCRATA = (
    "crimes-views",
    "filtered-view",
    "schools-view",
    "zip-view",
    "missing-views",
    "schools-count",
    "schools-page",
)
CKAN = ("package_show", "datastore_search", "datastore_search_cap", "activity", "notfound", "package_404")


@FUZZ
@pytest.mark.parametrize(
    "name", [*(f"socrata/{each}" for each in SOCRATA), *(f"live_peers/ckan/{each}" for each in CKAN)]
)
@given(seed=st.integers(0, 2**32))
def test_mutated_recordings_are_refused_by_name(name, seed):
    """One recorded answer, mutated, to every question: no dataset is found in it, and the message says why."""
    open_source, path, _, key = PORTALS["socrata" if name.startswith("socrata") else "ckan"]
    http = Canned(answering(f"{name}.json", seed), seed, 10**9)
    assert asyncio.run(proven_or_refused(open_source, path, http, key)) is None


@pytest.mark.parametrize("error", [FeedRefused("no", where="x", do="y"), PortalUnreachable("gone", where="x", do="y")])
@pytest.mark.parametrize("name", PORTALS)
async def test_a_portal_that_gives_up_at_any_question_is_passed_on(name, error):
    """An error at the first, second, third question is the run's own error, whatever was asked."""
    open_source, path, answers, key = PORTALS[name]
    for fatal in range(1, 4):
        http = Canned(answers, 0, 10**9)

        def dying(url: str, params: dict[str, str], http: Canned = http, fatal: int = fatal) -> Any:
            if http.asked >= fatal:
                raise error
            return answers(url, params)

        http.answers = dying
        assert await proven_or_refused(open_source, path, http, key) is None
