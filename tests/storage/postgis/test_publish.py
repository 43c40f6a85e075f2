"""The publish transaction: atomic, repeatable, and safe against SQL in data."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import geopandas as gpd
import orjson
import psycopg
import pyarrow as pa
import pytest

from tests.conftest import rows
from tests.storage.postgis.synthetic import (
    CHILDREN,
    COVERS,
    NORTH,
    SOUTH,
    Fact,
    edition,
    harvest_of,
    in_parts,
    stored,
    table,
)
from zoning_assets.errors import CoverStale, DatabaseUnavailable, StoreError
from zoning_assets.model import PARCELS, Feed, Jurisdiction
from zoning_assets.storage.postgis.publish import PublishResult, Rejection, publish
from zoning_assets.transform import normalize, validate
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import content_hash

COVER = COVERS[0]
WORLD = {f"K{n}": Fact(n % 3, "a") for n in range(6)}
OTHER = {**{key: fact for key, fact in WORLD.items() if key != "K0"}, "K1": Fact(1, "b"), "K9": Fact(2, "a")}
#: Every table with everything that must not change where nothing is published.
EVERYTHING = """
    SELECT 'parcel', parcel_id, tile, content_hash, batch_id::text, xmin::text FROM zoning.parcel
    UNION ALL SELECT 'version', parcel_id, tile, content_hash, ended_by::text, xmin::text FROM zoning.parcel_version
    UNION ALL SELECT 'batch', id::text, tile, harvest, counts::text, xmin::text FROM zoning.batch
    UNION ALL SELECT 'rejection', id::text, tile, reason, state, xmin::text FROM zoning.rejection
    ORDER BY 1, 2, 5
"""


def take(url: str, world: dict[str, Fact], tile: str = NORTH, cover: list[str] = COVER) -> PublishResult:
    return publish(url, edition("j", tile, world, cover), in_parts(table(world)), [])


def cut_off(url: str) -> None:
    """Terminate the publishing connection, as a crash of the process or the network would."""
    query = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'zoning_assets' AND pid <> pg_backend_pid()
    """
    assert rows(url, query) == [(True,)]


def parts_until(url: str, world: dict[str, Fact], happens: Callable[[str], None]) -> Iterator[pa.Table]:
    parts = list(in_parts(table(world)))
    yield from parts[:-1]
    happens(url)
    yield parts[-1]


def rejections_until(url: str, happens: Callable[[str], None]) -> Iterator[Rejection]:
    yield Rejection("null_key", None, {})
    happens(url)


@pytest.mark.parametrize("where", ["while rows are copied", "after they were merged"])
def test_a_lost_connection_publishes_nothing(database: str, where: str) -> None:
    """Lost during COPY or after the merge: no row of any table changes, and the next run publishes everything."""
    take(database, WORLD)
    before, this = rows(database, EVERYTHING), edition("j", NORTH, OTHER, COVER)
    copying = where.startswith("while")
    parts = parts_until(database, OTHER, cut_off) if copying else in_parts(table(OTHER))
    held = [] if copying else rejections_until(database, cut_off)
    with pytest.raises(StoreError, match="nothing was published") as caught:
        publish(database, this, parts, held)
    assert "\n" not in str(caught.value)
    assert rows(database, EVERYTHING) == before
    done = take(database, OTHER)
    assert (done.added, done.changed, done.unchanged, done.retired) == (1, 1, 4, 1)


def test_an_error_of_the_reader_publishes_nothing(database: str) -> None:
    """If a part cannot be read, nothing changes."""
    take(database, WORLD)
    before = rows(database, EVERYTHING)

    def breaks(_: str) -> None:
        message = "the store is gone"
        raise StoreError(message, where="store", do="wait")

    with pytest.raises(StoreError, match="the store is gone"):
        publish(database, edition("j", NORTH, OTHER, COVER), parts_until(database, OTHER, breaks), [])
    assert rows(database, EVERYTHING) == before


def test_two_concurrent_publishes_of_one_edition_give_one_batch(database: str) -> None:
    """Of two runs with the same tile one publishes it, and the other finds it published."""
    together, done = threading.Barrier(2, timeout=200), []

    def run() -> None:
        parts = parts_until(database, WORLD, lambda _: together.wait() and None)
        done.append(publish(database, edition("j", NORTH, WORLD, COVER), parts, []))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    first, second = sorted(done, key=lambda each: each.batch is None)
    assert (first.added, second.batch, second.added, second.unchanged) == (6, None, 0, 6)
    assert rows(database, "SELECT count(*) FROM zoning.batch") == [(1,)]
    assert rows(database, "SELECT count(*) FROM zoning.parcel_version") == [(0,)]


@pytest.mark.parametrize("stands", [{}, WORLD])
def test_a_repeated_key_is_refused(database: str, stands: dict[str, Fact]) -> None:
    """Two rows with one key raise CoverStale and nothing changes, also at the first publish."""
    if stands:
        take(database, stands)
    before, twice = rows(database, EVERYTHING), [table({"K1": Fact(1, "x")}), table({"K1": Fact(2, "y")})]
    with pytest.raises(CoverStale, match="'K1' is in several rows"):
        publish(database, edition("j", NORTH, {"K1": Fact(1, "x")}, COVER), twice, [])
    assert rows(database, EVERYTHING) == before


def test_a_parcel_moves_to_another_tile_without_a_version(database: str) -> None:
    """An equal parcel of another tile is no change: no version, nothing is added or retired."""
    take(database, WORLD)
    moved = {"K0": WORLD["K0"]}
    done = take(database, moved, SOUTH)
    assert (done.added, done.changed, done.unchanged, done.retired) == (0, 0, 1, 0)
    rest = {key: fact for key, fact in WORLD.items() if key != "K0"}
    done = take(database, rest)
    assert (done.added, done.changed, done.unchanged, done.retired) == (0, 0, 5, 0)
    assert rows(database, "SELECT tile FROM zoning.parcel WHERE parcel_id = 'K0'") == [(SOUTH,)]
    assert rows(database, "SELECT count(*) FROM zoning.parcel_version") == [(0,)]


def test_first_seen_is_kept_if_a_parcel_returns_in_a_new_tile(database: str) -> None:
    """The tile was never published before, so all its rows are inserted without a comparison."""
    take(database, WORLD)
    first = rows(database, "SELECT first_seen FROM zoning.parcel WHERE parcel_id = 'K0'")
    take(database, {key: fact for key, fact in WORLD.items() if key != "K0"})
    done = take(database, {"K0": WORLD["K0"], "K77": Fact(3, "a")}, SOUTH)
    assert (done.added, done.changed, done.unchanged, done.retired) == (2, 0, 0, 0)
    assert rows(database, "SELECT first_seen FROM zoning.parcel WHERE parcel_id = 'K0'") == first
    assert rows(database, "SELECT first_seen = last_changed FROM zoning.parcel WHERE parcel_id = 'K77'") == [(True,)]


def test_the_rows_of_a_split_tile_move_to_its_children(database: str) -> None:
    """After a split each row belongs to the child that owns it, without a version; missing rows are retired."""
    take(database, WORLD)
    gone = {key: fact for key, fact in WORLD.items() if key != "K4"}
    for tile in CHILDREN[NORTH]:
        take(database, harvest_of(gone, tile, COVERS[1]), tile, COVERS[1])
    owned = rows(database, "SELECT parcel_id, tile FROM zoning.parcel ORDER BY 1")
    assert owned == [(key, CHILDREN[NORTH][fact.spot]) for key, fact in sorted(gone.items())]
    assert rows(database, "SELECT parcel_id FROM zoning.parcel_version") == [("K4",)]
    take(database, gone)
    assert rows(database, "SELECT DISTINCT tile FROM zoning.parcel") == [(NORTH,)]
    assert rows(database, "SELECT count(*) FROM zoning.parcel_version") == [(1,)]


def test_a_newer_batch_supersedes_earlier_rejections(database: str) -> None:
    """Earlier rejections of the place are superseded, not deleted; those of another place stay open."""
    held = [Rejection("null_key", "no key", {"attributes": {"a": 1}})]
    publish(database, edition("j", SOUTH, {}, COVER), [], held)
    publish(database, edition("j", NORTH, WORLD, COVER), in_parts(table(WORLD)), held)
    publish(database, edition("j", NORTH, OTHER, COVER), in_parts(table(OTHER)), [])
    states = rows(database, "SELECT tile, state, detail, raw FROM zoning.rejection ORDER BY tile = %s", SOUTH)
    raw = {"attributes": {"a": 1}}
    assert states == [(NORTH, "superseded", "no key", raw), (SOUTH, "open", "no key", raw)]


def test_the_error_of_an_unreachable_database_has_no_password(database: str) -> None:
    """The database does not answer: one line with the address and what to do, and no password."""
    url = "postgresql://someone:s3cret@127.0.0.1:9/nowhere"
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:9/nowhere") as caught:
        take(url, WORLD)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


HOSTILE = [
    "'; DROP TABLE zoning.parcel; --",
    'a "quoted" \\ backslash \\. and \\N',
    "tab\tand\nline\r\nends",
    "nul\x00inside",
    "half a pair \ud800 alone",
    "مرحبا 🏠 e\u0301",
    "%s %(key)s {braces} $1 $$",
    "x" * 100_000,
]


def judged(texts: list[str], *, keys: bool) -> validate.ValidatedRows:
    """Rows as a portal sends them, with these texts in every text field, normalized and validated."""
    features = [
        {
            "attributes": {"PIN": text if keys else f"K{n}", "CODE": text, "OTHER": text, f"N{text[:200]}": n},
            "geometry": {"rings": [[[n, 0], [n, 0.5], [n + 0.5, 0.5], [n + 0.5, 0], [n, 0]]]},
        }
        for n, text in enumerate(texts)
    ]
    feed = Feed(PARCELS, "arcgis", "http://x", key="PIN", fields={"zoning_code": "CODE", "address": "OTHER"})
    place = Jurisdiction("j", "J", (-1, -1, 10, 1), {PARCELS: feed})
    page = esri_json.read(json.dumps({"features": features}).encode(), {})  # orjson writes no half characters
    frame = normalize.normalize(page, jurisdiction=place, feed=feed, layer={"crs": "EPSG:4326"})
    return validate.validate_rows(frame.assign(page="p"), jurisdiction=place, feed=feed)


@pytest.mark.parametrize("keys", [False, True], ids=["as texts", "as keys"])
def test_any_text_is_stored_unchanged(database: str, *, keys: bool) -> None:
    """Any text of a portal is stored unchanged, without NUL and lone surrogates; it is never executed as SQL."""
    made = judged(HOSTILE[:-1] if keys else HOSTILE, keys=keys)
    assert made.accepted == len(HOSTILE) - keys
    publish(
        database,
        replace(edition("j", NORTH, {}, COVER), harvest="h"),
        [stored(gpd.GeoDataFrame(made.table, geometry="geometry", crs="EPSG:4326"))],
        [],
    )
    clean = [content_hash.value(text) for text in HOSTILE][: made.accepted]
    found = rows(
        database, "SELECT parcel_id, zoning_code, address, attributes FROM zoning.parcel ORDER BY ST_XMin(geom)"
    )
    assert [row[1] for row in found] == clean
    assert [row[2] for row in found] == clean
    assert [key for key, *_ in found] == (clean if keys else [f"K{n}" for n in range(len(found))])
    for number, (text, (*_, attributes)) in enumerate(zip(HOSTILE, found, strict=False)):
        name = content_hash.value(f"N{text[:200]}") if "\x00" in text or "\ud800" in text else f"N{text[:200]}"
        assert attributes.get(name) == number


@pytest.mark.parametrize("text", HOSTILE)
def test_a_rejection_may_contain_any_text(database: str, text: str) -> None:
    """The raw row of a rejection may contain any text, too."""
    raw = orjson.loads(content_hash.dumps({"a": content_hash.value(text)}))
    publish(
        database, edition("j", NORTH, {}, COVER), [], [Rejection("null_key", content_hash.value(text), {"a": text})]
    )
    assert rows(database, "SELECT raw FROM zoning.rejection") == [(raw,)]


def test_jurisdictions_are_independent(database: str) -> None:
    """The same tile and the same keys of two jurisdictions are two places and other parcels."""
    take(database, WORLD)
    mine = {"K0": Fact(0, "z")}
    publish(database, edition("k", NORTH, mine, COVER), [table(mine)], [])
    assert rows(database, "SELECT jurisdiction, count(*) FROM zoning.parcel GROUP BY 1 ORDER BY 1") == [
        ("j", 6),
        ("k", 1),
    ]


def test_an_invalid_part_publishes_nothing(database: str) -> None:
    """A part that violates a constraint is refused with one line, and nothing is published."""
    wrong = table(WORLD).set_column(5, "area_m2", pa.array([None] * 6, pa.float64()))
    with pytest.raises(StoreError, match="area_m2") as caught:
        publish(database, edition("j", NORTH, WORLD, COVER), [wrong], [])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, psycopg.Error)
    assert rows(database, EVERYTHING) == []
