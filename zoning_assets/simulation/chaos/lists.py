"""Faults of the summaries by which a harvest is proven: counts and lists of ids; and of the questions behind them."""

from collections.abc import Callable
from random import Random
from typing import Any

from zoning_assets.simulation.chaos.said import Asked, Inner, Make, Reply, Spoil, randomness

#: Rows a page in the small county.
PAGE = 100
_UNSEEN = 0.3


def counts(change: Callable[[int, Random], int]) -> Make:
    """Every count as `change` leaves it, always the same way; 0 stays 0."""

    def make(rng: Random) -> Spoil:
        seed = rng.random()

        def spoil(asked: Asked, inner: Inner) -> Reply:
            reply = inner(asked)
            true = reply.value.get("count")
            if asked.kind != "count" or not true:
                return reply
            said = change(true, randomness(seed))
            return reply if said == true else reply.saying(count=said)

        return spoil

    return make


def high(true: int, rng: Random) -> int:
    """Some rows too many."""
    return true + rng.randint(1, 5)


def low(true: int, rng: Random) -> int:
    """Some rows too few."""
    return max(1, true - rng.randint(1, 5))


def capped(true: int, rng: Random) -> int:
    """Never more than some whole pages."""
    return min(true, PAGE * rng.randint(1, 2))


def blind(rng: Random) -> Spoil:
    """Counts and lists of ids by area find nothing in some areas."""
    seed = rng.random()

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        area = asked.params.get("geometry")
        if asked.kind not in ("count", "ids") or not area or randomness(seed, area).random() > _UNSEEN:
            return reply
        return reply.saying(count=0) if reply.value.get("count") else reply.saying(objectIds=[])

    return spoil


def ignored(kind: str, flag: str) -> Make:
    """Asked for a summary, the server sends rows."""
    return lambda _rng: lambda asked, inner: inner(asked.without(flag) if asked.kind == kind else asked)


def ids(change: Callable[[list[Any], Random], list[Any]]) -> Make:
    """Every list of ids as `change` leaves it, always the same way; nothing says so."""

    def make(rng: Random) -> Spoil:
        seed = rng.random()

        def spoil(asked: Asked, inner: Inner) -> Reply:
            reply = inner(asked)
            true = reply.value.get("objectIds")
            if asked.kind != "ids" or not true:
                return reply
            said = change(true, randomness(seed))
            return reply if said == true else reply.saying(objectIds=said)

        return spoil

    return make


def first_ids(true: list[Any], _rng: Random) -> list[Any]:
    """The list ends early."""
    return true[:PAGE]


def stale_ids(true: list[Any], rng: Random) -> list[Any]:
    """Some ids whose rows went long ago stand among them."""
    return [*true, *(true[-1] + rng.randint(1000, 2000) + i for i in range(3))]


def repeated_ids(true: list[Any], rng: Random) -> list[Any]:
    """Some ids stand there twice."""
    return [*true, *(rng.choice(true) for _ in range(3))]


def all_capped(_rng: Random) -> Spoil:
    """Neither the count nor the list of ids goes further than a page, and both agree."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        if asked.kind == "count" and reply.value.get("count", 0) > PAGE:
            return reply.saying(count=PAGE)
        if asked.kind == "ids" and len(reply.value.get("objectIds") or ()) > PAGE:
            return reply.saying(objectIds=reply.value["objectIds"][:PAGE])
        return reply

    return spoil


def deaf(name: str, **instead: str) -> Make:
    """The server does not look at a parameter."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        given = asked.params.get(name, "")
        if not given or given == instead.get(name) or asked.kind == "about":
            return inner(asked)
        return inner(asked.without(name).having(**instead))

    return lambda _rng: spoil
