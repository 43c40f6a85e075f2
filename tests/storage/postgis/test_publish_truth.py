"""Any sequence of publishes, compared with a plain-Python model."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import rows
from tests.storage.postgis.synthetic import COVERS, SPOTS, Fact, Truth, edition, harvest_of, hash_of, in_parts, table
from tests.support.sampling import examples
from zoning_assets.errors import CoverStale
from zoning_assets.storage.postgis.publish import find_published, publish

KEYS = [f"K{n}" for n in range(5)]
PUT = st.tuples(st.sampled_from(KEYS), st.integers(0, len(SPOTS) - 1), st.sampled_from("ab"))
STEPS = st.one_of(
    st.tuples(st.just("put"), st.lists(PUT, min_size=1, max_size=4)),
    st.tuples(st.just("drop"), st.sampled_from(KEYS)),
    st.tuples(st.just("cover"), st.integers(0, len(COVERS) - 1)),
    st.tuples(st.just("tile"), st.integers(0, 8)),
    st.tuples(st.just("all"), st.booleans()),
)
NOW = "SELECT parcel_id, tile, zoning_code, content_hash FROM zoning.parcel WHERE jurisdiction = %(j)s ORDER BY 1"
PHYSICAL = "SELECT parcel_id, xmin::text, ctid::text FROM zoning.parcel WHERE jurisdiction = %(j)s ORDER BY 1"
THEN = "SELECT parcel_id, content_hash FROM zoning.parcel_version WHERE jurisdiction = %(j)s"
LIVES = """
    SELECT parcel_id, system_from, system_to, first_seen, batch_id, ended_by FROM zoning.parcel_version
    WHERE jurisdiction = %(j)s
    UNION ALL
    SELECT parcel_id, last_changed, '9999-01-01', first_seen, batch_id, NULL FROM zoning.parcel
    WHERE jurisdiction = %(j)s
    ORDER BY 1, 2, 3
"""
BATCHES = "SELECT count(*) FROM zoning.batch WHERE jurisdiction = %(j)s"


class Run:
    """A jurisdiction in the database, and its model."""

    def __init__(self, url: str, connection: psycopg.Connection) -> None:
        self.url, self.connection, self.jurisdiction = url, connection, f"us-xx-{uuid.uuid4().hex[:8]}"
        self.truth, self.world, self.cover = Truth(), dict[str, Fact](), COVERS[0]

    def rows(self, query: str) -> list[tuple]:
        return self.connection.execute(query, {"j": self.jurisdiction}).fetchall()

    def take(self, step: tuple) -> None:
        match step:
            case "put", puts:
                self.world |= {key: Fact(spot, text) for key, spot, text in puts}
            case "drop", key:
                self.world.pop(key, None)
            case "cover", number:
                self.cover = COVERS[number]
            case "tile", number:
                self.publish(self.cover[number % len(self.cover)])
            case "all", backwards:
                self.publish_all(backwards=backwards)

    def publish_all(self, *, backwards: bool) -> None:
        for tile in sorted(self.cover, reverse=backwards):
            self.publish(tile)

    def publish(self, tile: str) -> None:
        mine = harvest_of(self.world, tile, self.cover)
        expected = self.truth.publish(tile, mine, self.cover)
        this = edition(self.jurisdiction, tile, mine, self.cover)
        before = self.rows(PHYSICAL)
        if expected is None:
            assert find_published(self.url, this) is None
            with pytest.raises(CoverStale):
                publish(self.url, this, in_parts(table(mine)), [])
            assert self.rows(PHYSICAL) == before
            return
        did = asdict(publish(self.url, this, in_parts(table(mine)), []))
        batch = did.pop("batch")
        assert did == expected
        assert did["added"] + did["changed"] + did["unchanged"] == len(mine)
        self.check()
        assert batch is None or self.rows(PHYSICAL) != before or not _differs(did)
        self.check_again(tile, mine)

    def check(self) -> None:
        """The tables equal the model, and the versions of a parcel do not overlap in time."""
        now = [
            (key, row.tile, row.fact.text, hash_of(key, row.fact)) for key, row in sorted(self.truth.parcels.items())
        ]
        assert self.rows(NOW) == now
        then = Counter((key, hash_of(key, fact)) for key, fact in self.truth.versions)
        assert Counter(self.rows(THEN)) == then
        lives = self.rows(LIVES)
        assert all(start <= end for _, start, end, *_ in lives)
        for one, other in pairwise(lives):
            if one[0] == other[0]:
                assert one[2] <= other[1], "two versions of one parcel at one time"
                assert one[3] == other[3], "first seen once"
                assert one[4] < other[4], "each life has a batch of its own"

    def check_again(self, tile: str, mine: dict[str, Fact]) -> None:
        """Publishing the same edition again changes nothing, not even the position of a row in its page."""
        this = edition(self.jurisdiction, tile, mine, self.cover)
        before = self.rows(PHYSICAL), self.rows(BATCHES)
        again = publish(self.url, this, in_parts(table(mine)), [])
        assert (again.batch, again.added, again.changed, again.retired) == (None, 0, 0, 0)
        assert again.unchanged == len(mine)
        assert (self.rows(PHYSICAL), self.rows(BATCHES)) == before


@pytest.fixture
def reading(database: str) -> Iterator[psycopg.Connection]:
    """One connection for all reads."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def _differs(did: dict[str, int]) -> bool:
    return bool(did["added"] or did["changed"] or did["retired"])


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=12))
def test_after_any_publishes_the_database_equals_the_model(
    database: str, reading: psycopg.Connection, steps: list[tuple]
) -> None:
    """Parcels are added, retired, changed and moved, and return, while tiles are split and joined."""
    run = Run(database, reading)
    for step in steps:
        run.take(step)
    run.publish_all(backwards=False)
    run.publish_all(backwards=False)  # a key that was taken back meanwhile is settled by the second round
    now = {key: row.fact for key, row in run.truth.parcels.items()}
    assert now == run.world, "in the end it is what the portal states"


def test_a_parcel_that_returns_is_not_lost(database: str, reading: psycopg.Connection) -> None:
    """An unchanged harvest of a tile is published again if another tile has taken a row of it since."""
    run = Run(database, reading)
    here, there = Fact(0, "a"), Fact(3, "a")
    for fact, tiles in ((here, COVERS[0]), (there, COVERS[0][1:]), (here, COVERS[0][::-1])):
        run.world = {"K": fact}
        for tile in tiles:
            run.publish(tile)
    assert [key for key, *_ in run.rows(NOW)] == ["K"]


def test_a_key_in_the_harvests_of_two_tiles_is_refused(database: str) -> None:
    """A key in two tiles that is not known to repeat makes the tile index stale; the row stays in one of them."""
    cover = COVERS[0]
    for tile, fact in ((cover[0], Fact(0, "a")), (cover[1], Fact(3, "b"))):
        publish(database, edition("j", tile, {"K": fact}, cover), [table({"K": fact})], [])
    again = edition("j", cover[0], {"K": Fact(0, "a")}, cover)
    assert find_published(database, again) is None
    with pytest.raises(CoverStale, match="'K'"):
        publish(database, again, [table({"K": Fact(0, "a")})], [])
    assert rows(database, NOW.replace("%(j)s", "'j'")) == [("K", cover[1], "b", hash_of("K", Fact(3, "b")))]
