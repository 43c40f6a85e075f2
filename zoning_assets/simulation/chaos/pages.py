"""Faults of pages: which rows an answer holds, and in which order."""

from collections.abc import Callable
from random import Random
from typing import Any

from zoning_assets.simulation.chaos.said import Asked, Inner, Make, Reply, Spoil, id_of, page_of_html, refused

#: Rows in an answer where the layer advertises (in the small county) 100.
CAP = 25
#: Answers with more rows than this fail.
TOO_BIG = 40
_SWAPS = 3
_ONE_IN = 37
_MOST_ROWS = 1_000_000
_PAGING = ("resultOffset", "resultRecordCount")

Row = dict[str, Any]


def cap(*, flag: bool) -> Make:
    """Fewer rows than advertised; with or without saying that there are more."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        if asked.kind != "features":
            return inner(asked)
        most = min(asked.number("resultRecordCount", CAP), CAP)
        reply = inner(asked.having(resultRecordCount=str(most)))
        return reply if flag else reply.saying(exceededTransferLimit=None)

    return lambda _rng: spoil


def offset_ignored(_rng: Random) -> Spoil:
    """Each page is the first."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        later = asked.kind == "features" and asked.number("resultOffset", 0) > 0
        return inner(asked.without("resultOffset") if later else asked)

    return spoil


def unordered(*, orders: bool) -> Make:
    """Rows change places from page to page: repeats and gaps. `orders`: not where an order is asked for."""

    def make(rng: Random) -> Spoil:
        seed = rng.random()

        def spoil(asked: Asked, inner: Inner) -> Reply:
            ordered = orders and asked.params.get("orderByFields")
            if asked.kind != "features" or ordered or asked.number("resultOffset", -1) < 0:
                return inner(asked)
            ids = inner(asked.without(*_PAGING, "orderByFields").having(returnIdsOnly="true")).value.get("objectIds")
            return _of_shuffled(ids, asked, inner, asked.chance(seed)) if ids else inner(asked)

        return spoil

    return make


def _of_shuffled(ids: list[int], asked: Asked, inner: Inner, rng: Random) -> Reply:
    """The page that is cut out of the ids after some of them changed places."""
    ids = list(ids)
    for _ in range(_SWAPS):
        one, other = rng.randrange(len(ids)), rng.randrange(len(ids))
        ids[one], ids[other] = ids[other], ids[one]
    first = asked.number("resultOffset", 0)
    page = ids[first : first + asked.number("resultRecordCount", len(ids))]
    if not page:
        return inner(asked)
    named = asked.without(*_PAGING, "where", "geometry", "orderByFields").having(objectIds=",".join(map(str, page)))
    reply = inner(named)
    if reply.features is None:
        return reply
    more = first + len(reply.features) < len(ids)
    return reply.saying(exceededTransferLimit=more or None)


def rows_changed(change: Callable[[list[Row], Random], list[Row]]) -> Make:
    """Each page's rows as `change` leaves them; a page asked for again may come otherwise."""

    def make(rng: Random) -> Spoil:
        seed = rng.random()

        def spoil(asked: Asked, inner: Inner) -> Reply:
            reply = inner(asked)
            if asked.kind != "features" or not reply.features:
                return reply
            changed = change(reply.features, asked.chance((seed, asked.tries)))
            return reply if changed is reply.features else reply.saying(features=changed)

        return spoil

    return make


def doubled(rows: list[Row], rng: Random) -> list[Row]:
    """Half of the pages hold one row twice."""
    return [*rows, rng.choice(rows)] if rng.random() < 0.5 else rows


def replaced(rows: list[Row], rng: Random) -> list[Row]:
    """Half of the pages hold one row in another's place."""
    if len(rows) < 2 or rng.random() < 0.5:
        return rows
    one, other = rng.sample(range(len(rows)), 2)
    return [rows[other] if i == one else row for i, row in enumerate(rows)]


def last_lost(rows: list[Row], rng: Random) -> list[Row]:
    """Half of the pages lack their last row."""
    return rows[:-1] if rng.random() < 0.5 else rows


def dropped(rng: Random) -> Spoil:
    """Some rows never come, whoever asks for them."""
    rest = rng.randrange(_ONE_IN)

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        if asked.kind != "features" or not reply.features:
            return reply
        kept = [row for row in reply.features if _number(id_of(row)) % _ONE_IN != rest]
        return reply if len(kept) == len(reply.features) else reply.saying(features=kept)

    return spoil


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else -1


def early_end(rng: Random) -> Spoil:
    """Some pages after the first are empty, as if all had come."""
    seed = rng.random()

    def spoil(asked: Asked, inner: Inner) -> Reply:
        later = asked.kind == "features" and asked.number("resultOffset", 0) > 0
        if later and asked.chance(seed).random() < 0.5:
            return inner(asked).saying(features=[], exceededTransferLimit=None)
        return inner(asked)

    return spoil


def flag(*, always: bool) -> Make:
    """The flag exceededTransferLimit on every page, the last too; or on none."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        paged = asked.kind == "features" and reply.features is not None
        return reply.saying(exceededTransferLimit=always or None) if paged else reply

    return lambda _rng: spoil


def big_pages_fail(rng: Random) -> Spoil:
    """Shapes of more rows than the server's memory holds."""
    failures = (page_of_html(500, "Internal Server Error"), page_of_html(504, "504 Gateway Time-out"))
    failure = rng.choice((*failures, refused(500, "Error performing query operation")))

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        big = asked.kind == "features" and len(reply.features or ()) > TOO_BIG
        return failure if big else reply

    return spoil


def geometry_poison(rng: Random) -> Spoil:
    """One row's shape makes every page that would hold it fail; its attributes can be had."""
    poisoned = rng.randint(1, 200)

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        shapes = asked.kind == "features" and asked.params.get("returnGeometry", "true").lower() == "true"
        if shapes and any(id_of(row) == poisoned for row in reply.features or ()):
            return refused(500, "Error performing query operation")
        return reply

    return spoil
