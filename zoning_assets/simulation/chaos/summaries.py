"""Faults of the summaries that prove a harvest complete: counts, lists of ids, and the filters of their requests."""

from collections.abc import Callable
from random import Random
from typing import Any

from zoning_assets.simulation.chaos.exchange import (
    FaultFactory,
    FaultyHandler,
    Handler,
    Reply,
    ServiceRequest,
    seeded_random,
)

#: Rows of a page in the small county.
PAGE = 100
_EMPTY_SHARE = 0.3


def counts(change: Callable[[int, Random], int]) -> FaultFactory:
    """Apply `change` to every count, always in the same way; 0 stays 0."""

    def create(rng: Random) -> FaultyHandler:
        seed = rng.random()

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            reply = handler(request)
            true = reply.value.get("count")
            if request.kind != "count" or not true:
                return reply
            changed = change(true, seeded_random(seed))
            return reply if changed == true else reply.with_values(count=changed)

        return faulty

    return create


def too_high(true: int, rng: Random) -> int:
    """A few more rows than there are."""
    return true + rng.randint(1, 5)


def too_low(true: int, rng: Random) -> int:
    """A few rows less than there are."""
    return max(1, true - rng.randint(1, 5))


def capped(true: int, rng: Random) -> int:
    """At most one or two full pages."""
    return min(true, PAGE * rng.randint(1, 2))


def empty_by_area(rng: Random) -> FaultyHandler:
    """Counts and lists of ids are empty for some areas."""
    seed = rng.random()

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        area = request.params.get("geometry")
        if request.kind not in ("count", "ids") or not area or seeded_random(seed, area).random() > _EMPTY_SHARE:
            return reply
        return reply.with_values(count=0) if reply.value.get("count") else reply.with_values(objectIds=[])

    return faulty


def summary_ignored(kind: str, flag: str) -> FaultFactory:
    """The server ignores the request for a summary and sends rows."""
    return lambda _rng: (
        lambda request, handler: handler(request.without_params(flag) if request.kind == kind else request)
    )


def ids(change: Callable[[list[Any], Random], list[Any]]) -> FaultFactory:
    """Apply `change` to every list of ids, always in the same way and without a flag."""

    def create(rng: Random) -> FaultyHandler:
        seed = rng.random()

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            reply = handler(request)
            true = reply.value.get("objectIds")
            if request.kind != "ids" or not true:
                return reply
            changed = change(true, seeded_random(seed))
            return reply if changed == true else reply.with_values(objectIds=changed)

        return faulty

    return create


def first_ids(true: list[Any], _rng: Random) -> list[Any]:
    """Only the ids of the first page."""
    return true[:PAGE]


def stale_ids(true: list[Any], rng: Random) -> list[Any]:
    """With some ids of rows that do not exist any more."""
    return [*true, *(true[-1] + rng.randint(1000, 2000) + i for i in range(3))]


def repeated_ids(true: list[Any], rng: Random) -> list[Any]:
    """With some ids twice."""
    return [*true, *(rng.choice(true) for _ in range(3))]


def all_capped(_rng: Random) -> FaultyHandler:
    """Counts and lists of ids are limited to one page, and are consistent with each other."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        if request.kind == "count" and reply.value.get("count", 0) > PAGE:
            return reply.with_values(count=PAGE)
        if request.kind == "ids" and len(reply.value.get("objectIds") or ()) > PAGE:
            return reply.with_values(objectIds=reply.value["objectIds"][:PAGE])
        return reply

    return faulty


def parameter_ignored(name: str, **instead: str) -> FaultFactory:
    """The server ignores a parameter. `instead`: parameters that replace it."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        given = request.params.get(name, "")
        if not given or given == instead.get(name) or request.kind == "about":
            return handler(request)
        return handler(request.without_params(name).with_params(**instead))

    return lambda _rng: faulty
