"""Faults of pages: which rows a response has, and in which order."""

from collections.abc import Callable
from random import Random
from typing import Any

from zoning_assets.simulation.chaos.exchange import (
    FaultFactory,
    FaultyHandler,
    Handler,
    Reply,
    ServiceRequest,
    error_reply,
    html_reply,
    object_id,
)

#: Rows in a response of the layer, which states 100 as its maximum in the small county.
CAP = 25
#: Requests for more rows than this fail.
TOO_BIG = 40
_SWAPS = 3
_ONE_IN = 37
_MOST_ROWS = 1_000_000
_PAGING = ("resultOffset", "resultRecordCount")

Row = dict[str, Any]


def cap(*, flag: bool) -> FaultFactory:
    """Fewer rows than the stated maximum. `flag`: with exceededTransferLimit."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        if request.kind != "features":
            return handler(request)
        most = min(request.number("resultRecordCount", CAP), CAP)
        reply = handler(request.with_params(resultRecordCount=str(most)))
        return reply if flag else reply.with_values(exceededTransferLimit=None)

    return lambda _rng: faulty


def offset_ignored(_rng: Random) -> FaultyHandler:
    """Every page is the first page."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        later = request.kind == "features" and request.number("resultOffset", 0) > 0
        return handler(request.without_params("resultOffset") if later else request)

    return faulty


def unordered(*, orders: bool) -> FaultFactory:
    """The order of the rows changes from page to page: rows are repeated or missing. `orders`: except if the request
    has orderByFields."""

    def create(rng: Random) -> FaultyHandler:
        seed = rng.random()

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            ordered = orders and request.params.get("orderByFields")
            if request.kind != "features" or ordered or request.number("resultOffset", -1) < 0:
                return handler(request)
            ids = handler(
                request.without_params(*_PAGING, "orderByFields").with_params(returnIdsOnly="true")
            ).value.get("objectIds")
            return _shuffled_page(ids, request, handler, request.random(seed)) if ids else handler(request)

        return faulty

    return create


def _shuffled_page(ids: list[int], request: ServiceRequest, handler: Handler, rng: Random) -> Reply:
    """The page of the ids after some of them were swapped."""
    ids = list(ids)
    for _ in range(_SWAPS):
        one, other = rng.randrange(len(ids)), rng.randrange(len(ids))
        ids[one], ids[other] = ids[other], ids[one]
    first = request.number("resultOffset", 0)
    page = ids[first : first + request.number("resultRecordCount", len(ids))]
    if not page:
        return handler(request)
    named = request.without_params(*_PAGING, "where", "geometry", "orderByFields").with_params(
        objectIds=",".join(map(str, page))
    )
    reply = handler(named)
    if reply.features is None:
        return reply
    more = first + len(reply.features) < len(ids)
    return reply.with_values(exceededTransferLimit=more or None)


def rows_changed(change: Callable[[list[Row], Random], list[Row]]) -> FaultFactory:
    """Apply `change` to the rows of each page; the result may differ when a page is requested again."""

    def create(rng: Random) -> FaultyHandler:
        seed = rng.random()

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            reply = handler(request)
            if request.kind != "features" or not reply.features:
                return reply
            changed = change(reply.features, request.random((seed, request.tries)))
            return reply if changed is reply.features else reply.with_values(features=changed)

        return faulty

    return create


def doubled(rows: list[Row], rng: Random) -> list[Row]:
    """Half of the pages have one row twice."""
    return [*rows, rng.choice(rows)] if rng.random() < 0.5 else rows


def replaced(rows: list[Row], rng: Random) -> list[Row]:
    """Half of the pages have one row instead of another."""
    if len(rows) < 2 or rng.random() < 0.5:
        return rows
    one, other = rng.sample(range(len(rows)), 2)
    return [rows[other] if i == one else row for i, row in enumerate(rows)]


def last_lost(rows: list[Row], rng: Random) -> list[Row]:
    """Half of the pages lack their last row."""
    return rows[:-1] if rng.random() < 0.5 else rows


def dropped(rng: Random) -> FaultyHandler:
    """Some rows are never sent."""
    rest = rng.randrange(_ONE_IN)

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        if request.kind != "features" or not reply.features:
            return reply
        kept = [row for row in reply.features if _number(object_id(row)) % _ONE_IN != rest]
        return reply if len(kept) == len(reply.features) else reply.with_values(features=kept)

    return faulty


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else -1


def early_end(rng: Random) -> FaultyHandler:
    """Some pages after the first are empty, as if there were no more rows."""
    seed = rng.random()

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        later = request.kind == "features" and request.number("resultOffset", 0) > 0
        if later and request.random(seed).random() < 0.5:
            return handler(request).with_values(features=[], exceededTransferLimit=None)
        return handler(request)

    return faulty


def flag(*, always: bool) -> FaultFactory:
    """ExceededTransferLimit on every page including the last (`always`), or on no page."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        paged = request.kind == "features" and reply.features is not None
        return reply.with_values(exceededTransferLimit=always or None) if paged else reply

    return lambda _rng: faulty


def big_pages_fail(rng: Random) -> FaultyHandler:
    """Requests for geometries of many rows fail."""
    failures = (html_reply(500, "Internal Server Error"), html_reply(504, "504 Gateway Time-out"))
    failure = rng.choice((*failures, error_reply(500, "Error performing query operation")))

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        big = request.kind == "features" and len(reply.features or ()) > TOO_BIG
        return failure if big else reply

    return faulty


def geometry_poison(rng: Random) -> FaultyHandler:
    """Every page with the geometry of a certain row fails; its attributes can be requested."""
    poisoned = rng.randint(1, 200)

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        shapes = request.kind == "features" and request.params.get("returnGeometry", "true").lower() == "true"
        if shapes and any(object_id(row) == poisoned for row in reply.features or ()):
            return error_reply(500, "Error performing query operation")
        return reply

    return faulty
