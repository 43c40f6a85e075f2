"""The rate limit of one host: a frozen budget, and the pure functions that change it.

    take              grants a request at this moment, or returns how long to wait and why
    record_outcome    updates the budget with the result of a request

Requests are sent evenly, never in bursts. Push-back of a host (429, 503) halves its pace; then the pace grows evenly to
the ceiling again (additive increase, multiplicative decrease). A host that states a wait (Retry-After) gets no request
until then. A host that states how many requests are left in its window gets at most that many. A host that fails
repeatedly gets no request for a time that doubles (circuit breaker), and then one request at a time until one succeeds.

Times are seconds on the clock of the ledger, which all users of the budget share; 0 means long ago.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from zoning_assets.model import Portal

#: Requests may arrive closer together than they were sent, by this much. The pace allows for it, so that no second and
#: no minute on the server's clock has a request too many. A new connection alone may take some tenths of a second.
_SECOND_JITTER_S, _MINUTE_JITTER_S = 0.1, 1.0
#: If a request is sent later than planned, the next one may be sent earlier by at most this time.
_CATCH_UP_S = 0.02
#: How long the limits of the strictest jurisdiction file hold after its last request.
_LIMITS_HOLD_S = 600.0
#: The time in which a pace grows from 0 to the ceiling; from half the ceiling it takes half of this time.
_RECOVERY_S = 300.0
#: Requests a minute; push-back does not reduce the pace further.
_SLOWEST = 1.0
#: The longest pause after a Retry-After; after this time a request is sent even if the host stated a longer wait.
_LONGEST_REST_S = 6 * 3600.0
#: The requests of a stated window up to this long are spread evenly, because a harvest takes longer than the window.
_SHORT_WINDOW_S = 120.0
#: A stated window that ends later than this is ignored.
LONGEST_WINDOW_S = 24 * 3600.0
#: The window of a host that states a number of requests but no window.
_WINDOW_S = 60.0
#: How long other requests wait for the first request in a new window. Its response states how many requests are left.
_EXPLORE_S = 5.0
#: Failures in a row that open the breaker: more than the tries of one request, so that it takes two requests.
_MAX_FAILURES = 8
#: How long the breaker is open: the first time, and at most.
_FIRST_OPEN_S, _LONGEST_OPEN_S = 30.0, 600.0
#: After how long the breaker stops waiting for a probe's outcome, and how often other requests check for it.
_PROBE_S, _PROBE_POLL_S = 60.0, 1.0

#: Reasons of a wait.
PACE, REST, STATED, BREAKER, SLOT = "pace", "rest", "stated", "breaker", "slot"

_PUSHED_BACK = frozenset({429, 503})
_REFUSED = _PUSHED_BACK | {401, 403, 407, 451}
_FAILED = frozenset({408, 425, 500, 502, 503, 504})


@dataclass(frozen=True)
class StatedLimit:
    """What a host states about its own limit in response headers."""

    limit: int | None = None  # requests in a window
    left: int | None = None  # requests left in this window
    reset_s: float | None = None  # seconds from now until the window ends
    window_s: float | None = None  # seconds


@dataclass(frozen=True)
class RequestOutcome:
    """The outcome of a granted request. `status` None: no response, or one that could not be read."""

    ticket: int
    status: int | None
    wait_s: float | None = None  # Retry-After, in seconds
    stated: StatedLimit | None = None


@dataclass(frozen=True)
class Decision:
    """Either a granted request (`ticket`, counted from 1), or how long to wait in seconds and why."""

    ticket: int = 0
    wait_s: float = 0.0
    why: str = ""
    connections: int = 0  # that the host's budget allows


@dataclass(frozen=True)
class HostBudget:
    """The state of one host's rate limit. Each field is a column of zoning.host_budget; there a time of 0 is NULL."""

    ceiling: float = 0.0  # requests a minute, of the strictest jurisdiction file
    ceiling_until: float = 0.0
    connections: int = 0  # of the strictest jurisdiction file
    connections_until: float = 0.0
    slowed_to: float = math.inf  # requests a minute at `slowed_at`; the pace grows from there
    slowed_at: float = 0.0
    slowed_after: int = 0  # `asked` at that moment: push-back to earlier requests does not slow again
    next_at: float = 0.0
    rests_until: float = 0.0
    stated_limit: int | None = None
    stated_window_s: float = 0.0
    stated_left: int | None = None
    stated_until: float = 0.0
    stated_by: int = 0  # the ticket of the request whose response stated it
    failures: int = 0  # in a row
    opened: int = 0  # how often the breaker opened since the last success; 0: it is closed
    open_until: float = 0.0
    probe: int = 0  # the ticket of the one request that the open breaker lets through
    probe_until: float = 0.0
    asked: int = 0  # requests granted
    refused: int = 0
    failed: int = 0


def interval_s(per_minute: float) -> float:
    """Return the seconds between two requests, so that no minute and no second has too many, jitter included."""
    return max((60 + _MINUTE_JITTER_S) / per_minute, (1 + _SECOND_JITTER_S) / math.ceil(per_minute / 60))


def pace(budget: HostBudget, now: float) -> float:
    """Return the requests a minute that are allowed at this moment."""
    most = min(budget.ceiling, _stated_pace(budget))
    recovered = budget.slowed_to + budget.ceiling * max(now - budget.slowed_at, 0.0) / _RECOVERY_S
    return max(min(most, recovered), min(budget.ceiling, _SLOWEST))


def _stated_pace(budget: HostBudget) -> float:
    if not budget.stated_limit or budget.stated_window_s > _SHORT_WINDOW_S:
        return math.inf
    return 60 * budget.stated_limit / (budget.stated_window_s + 1)  # hosts state whole seconds


def take(budget: HostBudget, portal: Portal, now: float, slot: int = 0) -> tuple[HostBudget, Decision]:
    """Grant a request at this moment, or return how long to wait.

    Args:
        budget: the host's budget.
        portal: the limits of the jurisdiction that sends the request; the lowest limits of all its users hold.
        now: seconds on the ledger's clock.
        slot: the number of the connection that the request would use, from 0.

    Returns:
        The new budget, and the decision.
    """
    budget = _clamped(_with_limits_of(budget, portal, now), now)
    if slot >= budget.connections:
        return budget, Decision(why=SLOT, connections=budget.connections)
    wait_s, why = max(_waits(budget, now))
    if wait_s > 0:
        return budget, Decision(wait_s=wait_s, why=why, connections=budget.connections)
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
    return granted, Decision(ticket=granted.asked, connections=budget.connections)


def _with_limits_of(budget: HostBudget, portal: Portal, now: float) -> HostBudget:
    """Apply the limits of this jurisdiction file to the budget."""
    ceiling, ceiling_until = _strictest(portal.requests_per_minute, budget.ceiling, budget.ceiling_until, now)
    connections, connections_until = _strictest(portal.connections, budget.connections, budget.connections_until, now)
    return replace(
        budget,
        ceiling=ceiling,
        ceiling_until=ceiling_until,
        connections=int(connections),
        connections_until=connections_until,
    )


def _strictest(own: float, stored: float, until: float, now: float) -> tuple[float, float]:
    """Return the smaller of two limits, and until when it holds. It is renewed rarely, to write less often."""
    if now < until and (own > stored or (own == stored and until - now > _LIMITS_HOLD_S / 2)):
        return stored, until
    return own, now + _LIMITS_HOLD_S


def _clamped(budget: HostBudget, now: float) -> HostBudget:
    """Limit moments in the future, so that a clock that was set back does not block requests for long."""
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


def _waits(budget: HostBudget, now: float) -> Iterator[tuple[float, str]]:
    yield budget.next_at - now, PACE
    yield budget.rests_until - now, REST
    if budget.stated_left == 0:
        yield budget.stated_until - now, STATED
    if budget.opened:
        yield budget.open_until - now, BREAKER
        yield min(budget.probe_until - now, _PROBE_POLL_S), BREAKER


def _left_after(budget: HostBudget, now: float) -> tuple[int | None, float]:
    """Return the requests left in the stated window after one more, and when the window ends.

    The first request after the end of the window is sent alone: its response states the next window.
    """
    if budget.stated_left is None:
        return None, budget.stated_until
    if now < budget.stated_until:
        return max(budget.stated_left - 1, 0), budget.stated_until
    return 0, now + min(budget.stated_window_s, _EXPLORE_S)


def record_outcome(budget: HostBudget, now: float, outcome: RequestOutcome) -> HostBudget:
    """Update a host's budget with the outcome of a request.

    Args:
        budget: the host's budget.
        now: seconds on the ledger's clock.
        outcome: the outcome of a request that `take` granted.
    """
    if not budget.asked:  # the row of this host was deleted meanwhile
        return budget
    budget = _stated(budget, now, outcome)
    if outcome.wait_s:
        budget = replace(budget, rests_until=max(budget.rests_until, now + min(outcome.wait_s, _LONGEST_REST_S)))
    if outcome.status in _PUSHED_BACK and outcome.ticket > budget.slowed_after:
        budget = _slowed(budget, now)
    failed, refused = outcome.status is None or outcome.status in _FAILED, outcome.status in _REFUSED
    budget = replace(budget, refused=budget.refused + refused, failed=budget.failed + (failed and not refused))
    if failed and not outcome.wait_s:
        return _failed(budget, now, outcome.ticket)
    return replace(budget, failures=0, opened=0, open_until=0.0, probe=0, probe_until=0.0)


def _stated(budget: HostBudget, now: float, outcome: RequestOutcome) -> HostBudget:
    """Store the limit that the newest response states. The host may not have counted the requests granted since."""
    stated = outcome.stated
    if stated is None or outcome.ticket < budget.stated_by:
        return budget
    reset_s = _WINDOW_S if stated.reset_s is None else stated.reset_s
    window_s = stated.window_s or max(budget.stated_window_s, reset_s)
    left = None if stated.left is None else max(stated.left - (budget.asked - outcome.ticket), 0)
    return replace(
        budget,
        stated_limit=stated.limit or budget.stated_limit,
        stated_window_s=window_s,
        stated_left=left,
        stated_until=now + reset_s + 1,  # hosts state whole seconds
        stated_by=outcome.ticket,
    )


def _slowed(budget: HostBudget, now: float) -> HostBudget:
    """Halve the pace, once for all requests that were sent before the push-back."""
    half = max(pace(budget, now) / 2, min(budget.ceiling, _SLOWEST))
    return replace(
        budget,
        slowed_to=half,
        slowed_at=max(now, budget.rests_until),
        slowed_after=budget.asked,
        next_at=max(budget.next_at, now + interval_s(half)),
    )


def _failed(budget: HostBudget, now: float, ticket: int) -> HostBudget:
    """Count a failure. Open the breaker after too many, or again for twice as long if the probe failed."""
    budget = replace(budget, failures=budget.failures + 1)
    if budget.failures < _MAX_FAILURES or (budget.opened and ticket != budget.probe):
        return budget
    open_s = min(_LONGEST_OPEN_S, _FIRST_OPEN_S * 2 ** min(budget.opened, 16))
    return replace(budget, opened=budget.opened + 1, open_until=now + open_s, probe=0, probe_until=0.0)
