"""What one host may be asked, and how it has taken it: a frozen budget and the pure steps that change it.

    take    grants a request at this moment, or says how long to wait and why
    told    learns from the answer, or from its absence

Requests go out evenly, never in bursts. A host that pushes back (429, 503) halves its pace, which grows back to the
ceiling evenly (additive increase, multiplicative decrease); one that says how long to wait is left alone as long; one
that states what is left in its window is believed; one that fails again and again is left alone ever longer, and then
asked one question at a time until it answers.

Times are seconds on the clock of the ledger, which all who share the budget go by; 0 is long ago.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from zoning_assets.model import Portal

#: Requests sent a moment apart may arrive closer together, by so much, before a second or a minute as the server sees
#: it could hold one too many. A new connection alone may cost some tenths of a second.
_SECOND_JITTER_S, _MINUTE_JITTER_S = 0.1, 1.0
#: Of that, how much a sender that woke late may make up for.
_CATCH_UP_S = 0.02
#: The most careful file's terms hold so long after its last request; then the next file's own do.
_TERMS_S = 600.0
#: From nothing to the ceiling; so from half of it in half of that.
_RECOVERY_S = 300.0
#: Requests a minute below which no push-back brings a host.
_SLOWEST = 1.0
#: A longer wish than this is asked for again when this is over.
_LONGEST_REST_S = 6 * 3600.0
#: A window up to this long is also spread evenly: whoever harvests works longer than that.
_SHORT_WINDOW_S = 120.0
#: A window that ends later than this is no window.
LONGEST_WINDOW_S = 24 * 3600.0
#: The window, where a host says how many and not in what time.
_WINDOW_S = 60.0
#: Who is the first to ask in a new window is waited for so long.
_FIND_OUT_S = 5.0
#: More failures in a row than one question's tries, so that it takes two questions to open the breaker.
_MOST_FAILURES = 8
_FIRST_OPEN_S, _LONGEST_OPEN_S = 30.0, 600.0
#: Whoever probes and says nothing for so long is taken for dead; the others look again now and then.
_PROBE_S, _LOOK_AGAIN_S = 60.0, 1.0

#: Why to wait.
PACE, REST, STATED, BREAKER, SLOT = "pace", "rest", "stated", "breaker", "slot"

_PUSHED_BACK = frozenset({429, 503})
_REFUSED = _PUSHED_BACK | {401, 403, 407, 451}
_FAILED = frozenset({408, 425, 500, 502, 503, 504})


@dataclass(frozen=True)
class Stated:
    """What a host states of its own limit: how many in a window, what is left of it, and until when."""

    limit: int | None = None
    left: int | None = None
    reset_s: float | None = None  # from now
    window_s: float | None = None


@dataclass(frozen=True)
class Said:
    """What became of a granted request. `status` None: no answer, or none that could be read."""

    ticket: int
    status: int | None
    wait_s: float | None = None  # Retry-After
    stated: Stated | None = None


@dataclass(frozen=True)
class Turn:
    """A request granted (`ticket` counts from 1), or how long to wait and why. `connections`: what the host allows."""

    ticket: int = 0
    wait_s: float = 0.0
    why: str = ""
    connections: int = 0


@dataclass(frozen=True)
class Budget:
    """One host. As zoning.host_budget has it, a column each; there a time of 0 is NULL."""

    ceiling: float = 0.0  # requests a minute: the most careful file's
    ceiling_until: float = 0.0
    connections: int = 0  # the same
    connections_until: float = 0.0
    slowed_to: float = math.inf  # requests a minute at `slowed_at`; it recovers from there
    slowed_at: float = 0.0
    slowed_after: int = 0  # `asked` then: an answer to an earlier request is old news
    next_at: float = 0.0
    rests_until: float = 0.0
    stated_limit: int | None = None
    stated_window_s: float = 0.0
    stated_left: int | None = None
    stated_until: float = 0.0
    stated_by: int = 0  # the ticket whose answer said so
    failures: int = 0  # in a row
    opened: int = 0  # how often the breaker opened since the last good answer; 0: it is closed
    open_until: float = 0.0
    probe: int = 0  # the ticket of the one request that is let through
    probe_until: float = 0.0
    asked: int = 0
    refused: int = 0
    failed: int = 0


def interval_s(per_minute: float) -> float:
    """Between two requests, so that neither a minute nor a second holds more than its share, jitter included."""
    return max((60 + _MINUTE_JITTER_S) / per_minute, (1 + _SECOND_JITTER_S) / math.ceil(per_minute / 60))


def pace(budget: Budget, now: float) -> float:
    """Requests a minute that are allowed at this moment."""
    most = min(budget.ceiling, _stated_pace(budget))
    recovered = budget.slowed_to + budget.ceiling * max(now - budget.slowed_at, 0.0) / _RECOVERY_S
    return max(min(most, recovered), min(budget.ceiling, _SLOWEST))


def _stated_pace(budget: Budget) -> float:
    if not budget.stated_limit or budget.stated_window_s > _SHORT_WINDOW_S:
        return math.inf
    return 60 * budget.stated_limit / (budget.stated_window_s + 1)  # hosts speak in whole seconds


def take(budget: Budget, portal: Portal, now: float, slot: int = 0) -> tuple[Budget, Turn]:
    """Grant a request at this moment, or say how long to wait.

    Args:
        budget: the host's.
        portal: how politely the one who asks wants to be; the most careful of all who ask wins.
        now: on the ledger's clock, in seconds.
        slot: the number of the connection that it would go over, from 0.
    """
    budget = _plausible(_on_terms(budget, portal, now), now)
    if slot >= budget.connections:
        return budget, Turn(why=SLOT, connections=budget.connections)
    wait_s, why = max(_waits(budget, now))
    if wait_s > 0:
        return budget, Turn(wait_s=wait_s, why=why, connections=budget.connections)
    left, until = _left_after(budget, now)
    granted = replace(
        budget,
        asked=budget.asked + 1,
        next_at=max(budget.next_at, now - _CATCH_UP_S) + interval_s(pace(budget, now)),
        stated_left=left,
        stated_until=until,
    )
    if budget.opened:
        granted = replace(granted, probe=granted.asked, probe_until=now + _PROBE_S)
    return granted, Turn(ticket=granted.asked, connections=budget.connections)


def _on_terms(budget: Budget, portal: Portal, now: float) -> Budget:
    """The terms with this asker's file among them."""
    ceiling, ceiling_until = _careful(portal.requests_per_minute, budget.ceiling, budget.ceiling_until, now)
    connections, connections_until = _careful(portal.connections, budget.connections, budget.connections_until, now)
    return replace(
        budget,
        ceiling=ceiling,
        ceiling_until=ceiling_until,
        connections=int(connections),
        connections_until=connections_until,
    )


def _careful(mine: float, theirs: float, until: float, now: float) -> tuple[float, float]:
    """The smaller of two terms, and until when it holds; set anew seldom enough that most requests leave it alone."""
    if now < until and (mine > theirs or (mine == theirs and until - now > _TERMS_S / 2)):
        return theirs, until
    return mine, now + _TERMS_S


def _plausible(budget: Budget, now: float) -> Budget:
    """No moment farther ahead than one can lie: a clock that was set back holds nobody up for long."""
    farthest = now + interval_s(min(budget.ceiling, _SLOWEST)) + _CATCH_UP_S
    return replace(
        budget,
        next_at=budget.next_at if budget.next_at <= farthest else now + interval_s(pace(budget, now)),
        rests_until=min(budget.rests_until, now + _LONGEST_REST_S),
        slowed_at=min(budget.slowed_at, now + _LONGEST_REST_S),
        stated_until=min(budget.stated_until, now + LONGEST_WINDOW_S + 1),
        open_until=min(budget.open_until, now + _LONGEST_OPEN_S),
        probe_until=min(budget.probe_until, now + _PROBE_S),
    )


def _waits(budget: Budget, now: float) -> Iterator[tuple[float, str]]:
    yield budget.next_at - now, PACE
    yield budget.rests_until - now, REST
    if budget.stated_left == 0:
        yield budget.stated_until - now, STATED
    if budget.opened:
        yield budget.open_until - now, BREAKER
        yield min(budget.probe_until - now, _LOOK_AGAIN_S), BREAKER


def _left_after(budget: Budget, now: float) -> tuple[int | None, float]:
    """What one more request leaves of the stated window; where that has ended, this one finds out about the next."""
    if budget.stated_left is None:
        return None, budget.stated_until
    if now < budget.stated_until:
        return max(budget.stated_left - 1, 0), budget.stated_until
    return 0, now + min(budget.stated_window_s, _FIND_OUT_S)


def told(budget: Budget, now: float, said: Said) -> Budget:
    """Learn from what became of a request."""
    if not budget.asked:  # somebody made the ledger forget this host meanwhile
        return budget
    budget = _stated(budget, now, said)
    if said.wait_s:
        budget = replace(budget, rests_until=max(budget.rests_until, now + min(said.wait_s, _LONGEST_REST_S)))
    if said.status in _PUSHED_BACK and said.ticket > budget.slowed_after:
        budget = _slowed(budget, now)
    failed, refused = said.status is None or said.status in _FAILED, said.status in _REFUSED
    budget = replace(budget, refused=budget.refused + refused, failed=budget.failed + (failed and not refused))
    if failed and not said.wait_s:
        return _failed(budget, now, said.ticket)
    return replace(budget, failures=0, opened=0, open_until=0.0, probe=0, probe_until=0.0)


def _stated(budget: Budget, now: float, said: Said) -> Budget:
    """Believe what the newest request's answer states; those granted since may not have been counted there yet."""
    stated = said.stated
    if stated is None or said.ticket < budget.stated_by:
        return budget
    reset_s = _WINDOW_S if stated.reset_s is None else stated.reset_s
    window_s = stated.window_s or max(budget.stated_window_s, reset_s)
    left = None if stated.left is None else max(stated.left - (budget.asked - said.ticket), 0)
    return replace(
        budget,
        stated_limit=stated.limit or budget.stated_limit,
        stated_window_s=window_s,
        stated_left=left,
        stated_until=now + reset_s + 1,  # hosts speak in whole seconds
        stated_by=said.ticket,
    )


def _slowed(budget: Budget, now: float) -> Budget:
    """Half the pace, once for all requests that were on their way."""
    half = max(pace(budget, now) / 2, min(budget.ceiling, _SLOWEST))
    return replace(
        budget,
        slowed_to=half,
        slowed_at=max(now, budget.rests_until),
        slowed_after=budget.asked,
        next_at=max(budget.next_at, now + interval_s(half)),
    )


def _failed(budget: Budget, now: float, ticket: int) -> Budget:
    """One more failure in a row; opens the breaker, or opens it again for twice as long where the probe failed."""
    budget = replace(budget, failures=budget.failures + 1)
    if budget.failures < _MOST_FAILURES or (budget.opened and ticket != budget.probe):
        return budget
    open_s = min(_LONGEST_OPEN_S, _FIRST_OPEN_S * 2 ** min(budget.opened, 16))
    return replace(budget, opened=budget.opened + 1, open_until=now + open_s, probe=0, probe_until=0.0)
