"""A host's budget: what the pure steps promise, whoever asks, whenever, and whatever the host says."""

import heapq
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from zoning_assets.http.rate_limit import (
    BREAKER,
    PACE,
    REST,
    SLOT,
    STATED,
    HostBudget,
    RequestOutcome,
    StatedLimit,
    interval_s,
    pace,
    record_outcome,
    take,
)
from zoning_assets.model import Portal

MANY = Portal(600_000, 8)


def granted(budget: HostBudget, now: float, portal: Portal = MANY) -> tuple[HostBudget, int, float]:
    """Wait as long as the budget says, alone, until a request is granted: the budget, its ticket, the moment."""
    for _ in range(20):
        budget, turn = take(budget, portal, now)
        if turn.ticket:
            return budget, turn.ticket, now
        now += turn.wait_s
    pytest.fail(f"never granted: {turn}")


def after(said: Callable[[int], RequestOutcome], now: float = 100.0) -> tuple[HostBudget, float]:
    """The budget after one request of which the host said so."""
    budget, ticket, now = granted(HostBudget(), now)
    return record_outcome(budget, now, said(ticket)), now


def most_within(moments: list[float], seconds: float) -> int:
    moments = sorted(moments)
    return max(sum(start <= other < start + seconds for other in moments) for start in moments)


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(1, 3000), st.integers(1, 12), st.integers())
def test_no_second_and_no_minute_holds_more_than_the_budget(per_minute, askers, seed):
    """However many ask at once, however late each wakes, and though requests arrive late: 80 ms, some even a second."""
    portal, budget, arrived, late, random = Portal(per_minute, 64), HostBudget(), [], [], Random(seed)
    waiting = [(random.choice((0.0, random.uniform(0, 90))), asker) for asker in range(askers)]
    heapq.heapify(waiting)
    while len(arrived) < 200 and waiting:
        now, asker = heapq.heappop(waiting)
        budget, turn = take(budget, portal, now)
        if turn.ticket:
            arrived.append(now + random.uniform(0, 0.079))
            late.append(now + random.choice((0.0, random.uniform(0, 0.97))))
        pause = random.choice((0.0, 0.0, random.uniform(0, 30))) if turn.ticket else turn.wait_s
        heapq.heappush(waiting, (now + pause + random.choice((0.0, random.uniform(0, 0.05))), asker))
    assert most_within(arrived, 1.0) <= math.ceil(per_minute / 60)
    assert most_within(late, 60.0) <= per_minute


@pytest.mark.parametrize(("per_minute", "share"), [(1, 0.98), (30, 0.98), (60, 0.9), (600, 0.9), (60_000, 0.9)])
def test_the_budget_is_used(per_minute, share):
    """One who is always ready gets nearly all that is allowed, even where he wakes 5 ms late each time."""
    budget, now, count, long_s = HostBudget(), 0.0, 0, 600 if per_minute < 1000 else 5
    while now < long_s:
        budget, turn = take(budget, Portal(per_minute, 1), now)
        count += bool(turn.ticket)
        now += turn.wait_s + 0.005 if turn.wait_s else 0.0
    assert count >= share * per_minute * long_s / 60 - 1


def test_the_most_careful_file_wins_as_long_as_it_is_used():
    """Of several files the smallest rate and the fewest connections hold, until ten minutes after their last use."""
    budget, _ = take(HostBudget(), Portal(30, 8), 0.0)
    budget, _ = take(budget, Portal(60, 2), 5.0)
    budget, turn = take(budget, Portal(600, 64), 10.0)
    assert (budget.ceiling, budget.connections, turn.connections) == (30, 2, 2)
    budget, _ = take(budget, Portal(600, 64), 604.0)
    assert (budget.ceiling, budget.connections) == (600, 2)
    budget, _ = take(budget, Portal(600, 64), 605.0)
    assert (budget.ceiling, budget.connections) == (600, 64)


def test_a_file_in_use_keeps_its_terms():
    """A careful file that asks every few minutes is never outvoted."""
    budget = HostBudget()
    for minute in range(0, 120, 4):
        budget, _ = take(budget, Portal(30, 2), 60.0 * minute)
        budget, _ = take(budget, Portal(600, 64), 60.0 * minute + 30)
        assert (budget.ceiling, budget.connections) == (30, 2)


def test_a_slot_beyond_the_connections_is_none():
    """A connection that a more careful file does not allow is sent away, and nothing is counted."""
    budget, _ = take(HostBudget(), Portal(30, 2), 0.0)
    budget, turn = take(budget, Portal(30, 8), 10.0, slot=2)
    assert (turn.ticket, turn.why, turn.connections, budget.asked) == (0, SLOT, 2, 1)


@settings(deadline=None)
@given(st.floats(0.5, 1e9), st.lists(st.tuples(st.floats(0, 10), st.sampled_from([200, 429, 503, None])), max_size=20))
def test_a_wish_to_wait_is_kept(wait_s, meanwhile):
    """After Retry-After nothing is granted for so long (at most six hours), whatever else comes meanwhile."""
    budget, begun = after(lambda ticket: RequestOutcome(ticket, 429, wait_s))
    until, now = begun + min(wait_s, 6 * 3600), begun
    for pause, status in meanwhile:
        now = min(now + pause, until - 1e-3)
        budget = record_outcome(budget, now, RequestOutcome(1, status))
        budget, turn = take(budget, MANY, now)
        assert not turn.ticket
    assert granted(budget, now)[2] >= until
    assert take(budget, MANY, until - 0.01)[1].why in (REST, PACE)


def test_a_push_back_halves_the_pace_once():
    """Eight answers of 429 to requests that were on their way together halve the pace once; the next one again."""
    budget, now = HostBudget(), 100.0
    tickets = []
    for _ in range(8):
        budget, ticket, now = granted(budget, now)
        tickets.append(ticket)
    for ticket in tickets:
        budget = record_outcome(budget, now, RequestOutcome(ticket, 429))
    assert pace(budget, now) == MANY.requests_per_minute / 2
    budget, ticket, later = granted(budget, now)
    budget = record_outcome(budget, later, RequestOutcome(ticket, 503))
    assert pace(budget, later) == pytest.approx(MANY.requests_per_minute / 4, rel=0.01)
    assert budget.refused == 9


def test_the_pace_recovers_evenly():
    """From half to full in two and a half minutes, by the same amount each minute, and never above the ceiling."""
    budget, now = after(lambda ticket: RequestOutcome(ticket, 429))
    paces = [pace(budget, now + seconds) for seconds in range(0, 151, 30)]
    steps = {round(later - earlier) for earlier, later in pairwise(paces)}
    assert steps == {60_000}
    assert pace(budget, now + 1e6) == MANY.requests_per_minute


def test_no_push_back_stops_a_host_for_good():
    """However often it says no, now and then it is asked whether it says yes again, and seldom."""
    budget, now, moments = HostBudget(), 0.0, []
    for _ in range(40):
        budget, ticket, now = granted(budget, now, Portal(30, 2))
        budget = record_outcome(budget, now, RequestOutcome(ticket, 429))
        moments.append(now)
    assert all(10 < later - earlier < 62 for earlier, later in pairwise(moments[10:]))


class Quota:
    """A portal that counts requests in a window, fixed or sliding, and states what it counts."""

    def __init__(self, limit: int, window_s: float, *, sliding: bool, says_window: bool) -> None:
        self.limit, self.window_s, self.sliding, self.says_window = limit, window_s, sliding, says_window
        self.counted: list[float] = []

    def ask(self, now: float) -> StatedLimit:
        begin = now - self.window_s if self.sliding else now // self.window_s * self.window_s
        inside = [each for each in self.counted if each > begin or (each == begin and not self.sliding)]
        assert len(inside) < self.limit, "it would have refused"
        self.counted.append(now)
        ends = (inside or [now])[0] + self.window_s if self.sliding else begin + self.window_s
        window_s = self.window_s if self.says_window else None
        return StatedLimit(self.limit, self.limit - len(inside) - 1, float(math.floor(ends - now)), window_s)


@settings(max_examples=examples(80), deadline=None)
@given(
    st.integers(1, 60),
    st.sampled_from([1.0, 2.0, 10.0, 60.0, 600.0]),
    st.booleans(),
    st.booleans(),
    st.integers(),
)
def test_a_stated_window_is_never_overrun(limit, window_s, sliding, says_window, seed):
    """A portal that states its window and what is left of it never has to refuse; answers take up to 4 s."""
    quota, random = Quota(limit, window_s, sliding=sliding, says_window=says_window), Random(seed)
    budget, now = after(lambda ticket: RequestOutcome(ticket, 200, stated=quota.ask(1000.0)), now=1000.0)
    flying: list[tuple[float, int, StatedLimit]] = []
    for _ in range(300):
        budget, turn = take(budget, MANY, now)
        if turn.ticket:
            heapq.heappush(flying, (now + random.uniform(0, 4), turn.ticket, quota.ask(now)))
        now += turn.wait_s + random.uniform(0, 0.02)
        while flying and flying[0][0] <= now:
            moment, ticket, stated = heapq.heappop(flying)
            budget = record_outcome(budget, moment, RequestOutcome(ticket, 200, stated=stated))
    assert len(quota.counted) > 1


def test_an_exhausted_window_is_waited_for():
    """Nothing left means waiting until the window begins anew, and a moment more, as hosts speak in whole seconds."""
    budget, now = after(lambda ticket: RequestOutcome(ticket, 200, stated=StatedLimit(5000, 0, 40.0)))
    turn = take(budget, MANY, now)[1]
    assert (turn.why, turn.wait_s) == (STATED, 41.0)
    assert granted(budget, now)[2] == now + 41


def test_a_window_without_an_end_is_a_minute():
    """A host that says what is left and not until when is given a minute."""
    budget, now = after(lambda ticket: RequestOutcome(ticket, 200, stated=StatedLimit(None, 0)))
    assert granted(budget, now)[2] == now + 61


def test_a_large_window_does_not_slow_what_fits_into_it():
    """5,000 a day does not mean one every 17 seconds: what is left is watched, and the budget holds."""
    budget, now = after(lambda ticket: RequestOutcome(ticket, 200, stated=StatedLimit(5000, 4999, 80_000.0)))
    assert pace(budget, now) == MANY.requests_per_minute


def failing(budget: HostBudget, now: float, times: int) -> tuple[HostBudget, float]:
    for _ in range(times):
        budget, ticket, now = granted(budget, now)
        budget = record_outcome(budget, now, RequestOutcome(ticket, None))
    return budget, now


def test_a_host_that_fails_again_and_again_is_left_alone():
    """Eight failures in a row open the breaker for 30 s; each failed probe doubles that, up to ten minutes."""
    budget, now = failing(HostBudget(), 0.0, 7)
    assert take(budget, MANY, now)[1].why in ("", PACE)
    budget, now = failing(budget, now, 1)
    waits = []
    for _ in range(8):
        turn = take(budget, MANY, now)[1]
        assert turn.why == BREAKER
        waits.append(turn.wait_s)
        budget, now = failing(budget, now, 1)
    assert waits == pytest.approx([30, 60, 120, 240, 480, 600, 600, 600])
    assert budget.failed == 16


def test_a_good_answer_closes_the_breaker():
    """Any answer, even a no, shows that the host lives."""
    budget, now = failing(HostBudget(), 0.0, 8)
    budget, ticket, now = granted(budget, now)
    assert ticket == budget.probe == 9
    budget = record_outcome(budget, now, RequestOutcome(ticket, 403))
    assert (budget.opened, budget.failures, budget.refused, budget.failed) == (0, 0, 1, 8)
    assert take(budget, MANY, now + 1)[1].ticket


def test_one_probe_at_a_time():
    """While a probe is on its way nobody else asks; one whose prober died is replaced after a minute."""
    budget, now = failing(HostBudget(), 0.0, 8)
    budget, _, begun = granted(budget, now)
    moments = [begun + seconds for seconds in range(60)]
    assert not any(take(budget, MANY, moment)[1].ticket for moment in moments)
    assert all(take(budget, MANY, moment)[1].wait_s <= 1 for moment in moments)
    budget, ticket, _ = granted(budget, begun + 60)
    assert ticket == budget.probe


def test_late_failures_do_not_count_as_the_probes():
    """Failures of requests that were on their way when the breaker opened do not keep it open any longer."""
    budget, now = HostBudget(), 0.0
    for _ in range(20):
        budget, _, now = granted(budget, now)
    for ticket in range(1, 21):
        budget = record_outcome(budget, now, RequestOutcome(ticket, 500))
    assert (budget.opened, budget.open_until) == (1, now + 30)


def test_a_host_that_asks_for_time_does_not_fail():
    """503 with Retry-After is a host in good order: it rests, and its breaker stays closed."""
    budget, now = HostBudget(), 0.0
    for _ in range(30):
        budget, ticket, now = granted(budget, now)
        budget = record_outcome(budget, now, RequestOutcome(ticket, 503, 5.0))
    assert (budget.opened, budget.refused, budget.failed) == (0, 30, 0)


SAID = st.builds(
    RequestOutcome,
    ticket=st.integers(0, 50),
    status=st.sampled_from([None, 200, 304, 400, 403, 404, 408, 429, 500, 503, 504]),
    wait_s=st.none() | st.floats(0, 1e12),
    stated=st.none()
    | st.builds(
        StatedLimit,
        st.none() | st.integers(1, 10**7),
        st.none() | st.integers(0, 10**7),
        st.none() | st.floats(0, 86_400),
        st.none() | st.floats(1, 86_400),
    ),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.floats(0, 400), SAID | st.builds(Portal, st.integers(1, 60_000), st.integers(1, 9)))))
def test_whatever_a_host_says_it_can_be_asked_again(events):
    """From any history: the pace stays between one a minute and the ceiling, and who waits as told is granted."""
    budget, now = HostBudget(), 0.0
    for pause, event in events:
        now += pause
        budget = (
            record_outcome(budget, now, event) if isinstance(event, RequestOutcome) else take(budget, event, now)[0]
        )
        if budget.ceiling:
            assert min(1.0, budget.ceiling) <= pace(budget, now) <= budget.ceiling
        assert budget.asked <= len(events)
    _, _, moment = granted(budget, now, Portal(1, 1))
    assert moment - now <= 24 * 3600 + 100


def test_a_clock_set_back_does_not_stop_anyone():
    """A database whose clock jumps back an hour costs one interval, not an hour."""
    budget, _, _ = granted(HostBudget(), 10_000.0, Portal(30, 2))
    assert granted(budget, 6_400.0, Portal(30, 2))[2] <= 6_400.0 + interval_s(30)


def test_no_news_changes_nothing():
    """A good answer of a host in good order leaves its budget as it is, so that it need not be written."""
    budget, ticket, now = granted(HostBudget(), 5.0)
    assert record_outcome(budget, now, RequestOutcome(ticket, 200)) == budget
    assert record_outcome(replace(budget, failures=1), now, RequestOutcome(ticket, 200)) == budget
