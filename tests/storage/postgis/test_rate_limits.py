"""Both ledgers: changes are atomic, and a slot has one holder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import fields, replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import rows
from tests.support.sampling import examples
from tests.support.waiting import until
from zoning_assets.errors import DatabaseUnavailable, StoreError
from zoning_assets.http.rate_limit import HostBudget
from zoning_assets.http.rate_limit_store import Ledger, MemoryLedger
from zoning_assets.storage.postgis.database import as_role
from zoning_assets.storage.postgis.records import rate_limits
from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger, read_budgets

HOST = "maps.example.org"


def asked_once_more(budget: HostBudget, _: float) -> tuple[HostBudget, int]:
    return replace(budget, asked=budget.asked + 1), budget.asked


def seen(budget: HostBudget, now: float) -> tuple[HostBudget, tuple[HostBudget, float]]:
    return budget, (budget, now)


@pytest.fixture(params=["memory", "postgres"])
async def ledgers(request: pytest.FixtureRequest) -> AsyncIterator[list[Ledger]]:
    """The ledger as two processes see it; in memory it is the same object."""
    made = [MemoryLedger()] * 2
    if request.param == "postgres":
        made = [PostgresLedger(request.getfixturevalue("database")) for _ in range(2)]
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(each) for each in made]


class TestAnyLedger:
    async def test_changes_are_atomic(self, ledgers):
        """A hundred concurrent changes, from both sides: each sees the result of the one before."""
        changes = (ledgers[number % 2].change(HOST, asked_once_more) for number in range(100))
        assert sorted(await asyncio.gather(*changes)) == list(range(100))

    async def test_hosts_are_independent(self, ledgers):
        """A request to one host does not count for another."""
        await ledgers[0].change(HOST, asked_once_more)
        assert (await ledgers[1].change("other", seen))[0] == HostBudget()
        assert (await ledgers[1].change(HOST, seen))[0] == HostBudget(asked=1)

    async def test_a_failed_change_changes_nothing(self, ledgers):
        """An error inside a change leaves the budget unchanged, and the ledger usable."""

        def wrong(budget: HostBudget, _: float) -> tuple[HostBudget, None]:
            raise ZeroDivisionError

        await ledgers[0].change(HOST, asked_once_more)
        with pytest.raises(ZeroDivisionError):
            await ledgers[0].change(HOST, wrong)
        assert (await ledgers[0].change(HOST, seen))[0] == HostBudget(asked=1)

    async def test_all_processes_use_one_clock(self, ledgers):
        """Both sides see the same clock, which moves forward."""
        moments = [(await ledgers[number % 2].change(HOST, seen))[1] for number in range(6)]
        assert moments == sorted(moments)
        assert moments[-1] - moments[0] < 3600

    async def test_a_slot_has_one_holder(self, ledgers):
        """Each slot is given once; a returned slot can be taken again."""
        one, other = ledgers
        taken = [await ledger.try_slot(HOST, 3) for ledger in (one, other, one, other, one)]
        assert sorted(taken[:3]) == [0, 1, 2]
        assert taken[3:] == [None, None]
        assert await other.try_slot("other", 3) == 0
        await other.give_slot(HOST, taken[1])
        assert await one.try_slot(HOST, 3) == taken[1]

    async def test_a_cancelled_wait_holds_no_slot(self, ledgers):
        """A request that is cancelled while it takes a slot, at any moment, does not keep it."""
        for turns in range(12):
            waiting = asyncio.create_task(ledgers[0].try_slot(HOST, 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            slot = (await asyncio.gather(waiting, return_exceptions=True))[0]
            if slot == 0:  # it came too late to stop it
                await ledgers[0].give_slot(HOST, 0)
            for _ in range(2000):
                if (slot := await ledgers[1].try_slot(HOST, 1)) is not None:
                    break
                await asyncio.sleep(0.001)
            assert slot == 0
            await ledgers[1].give_slot(HOST, slot)


def test_the_table_has_the_fields_of_a_budget(database):
    """zoning.host_budget has a column for each field of a budget, and the host."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'zoning.host_budget'::regclass AND attnum > 0"
    assert [name for (name,) in rows(database, query)] == ["host", *(field.name for field in fields(HostBudget))]


TIMES = st.just(0.0) | st.floats(1e9, 4e9).map(lambda seconds: round(seconds, 6))
WHOLE = st.integers(0, 2**31 - 1)
COUNTS = st.integers(0, 2**40)
BY_NAME = {"connections": WHOLE, "failures": WHOLE, "opened": WHOLE}
OPTIONAL = {"stated_limit", "stated_left"}
BUDGETS = st.builds(
    HostBudget,
    **{
        field.name: TIMES
        if field.name.endswith(("_at", "_until"))
        else st.none() | WHOLE
        if field.name in OPTIONAL
        else st.floats(0, 1e6) | st.just(float("inf"))
        if field.type is float
        else BY_NAME.get(field.name, COUNTS)
        for field in fields(HostBudget)
    },
)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=BUDGETS)
def test_a_budget_is_stored_exactly(database, budget):
    """Any budget is read back unchanged, times with microseconds, missing times as missing."""

    async def kept() -> HostBudget:
        async with PostgresLedger(database) as ledger:
            await ledger.change(HOST, lambda _, now: (budget, now))
            return (await ledger.change(HOST, seen))[0]

    found = asyncio.run(kept())
    for field in fields(HostBudget):
        assert getattr(found, field.name) == pytest.approx(getattr(budget, field.name), abs=2e-6), field.name
    assert read_budgets(database)[HOST][0] == found


async def test_waiting_for_the_ledger_does_not_block_the_loop(database):
    """While another session holds the row of a host, the event loop continues, and the change follows later."""
    async with PostgresLedger(database) as ledger:
        await ledger.change(HOST, asked_once_more)
        with psycopg.connect(database) as other:
            other.execute("SELECT 1 FROM zoning.host_budget FOR UPDATE")
            waiting = asyncio.create_task(ledger.change(HOST, seen))
            for _ in range(20):  # a loop that waits for the row would wait for ever: it is released below
                await asyncio.sleep(0.01)
            assert not waiting.done()
            released = other.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        budget, now = await waiting
    assert budget.asked == 1
    assert released
    assert now >= released[0], "the time is that after the wait"


async def test_a_lost_connection_is_reopened(database):
    """A session that PostgreSQL ended is replaced, and takes the slots that it held."""
    async with PostgresLedger(database) as ledger, PostgresLedger(database) as other:
        assert await ledger.try_slot(HOST, 2) == 0
        await ledger.change(HOST, asked_once_more)
        with psycopg.connect(as_role(database, None), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [ledger._connection.info.backend_pid])
        assert await ledger.change(HOST, asked_once_more) == 1
        assert [await other.try_slot(HOST, 2) for _ in range(2)] == [1, None]


async def test_slots_of_an_idle_session_are_taken_again_without_a_request(database, monkeypatch):
    """A long download holds its slot and asks the ledger for nothing."""
    monkeypatch.setattr(rate_limits, "_HEARTBEAT_S", 0.05)
    async with PostgresLedger(database) as ledger, PostgresLedger(database) as other:
        assert await ledger.try_slot(HOST, 1) == 0
        pid = ledger._connection.info.backend_pid
        with psycopg.connect(as_role(database, None), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        await asyncio.sleep(0.5)
        assert ledger._connection.info.backend_pid != pid
        assert await other.try_slot(HOST, 1) is None


async def test_slots_of_a_lost_machine_are_free(database, monkeypatch):
    """Its session stays open behind a pooler or a proxy, and sends nothing. The server ends it; heartbeats keep it."""
    monkeypatch.setattr(rate_limits, "_LOST_AFTER_S", 1)
    monkeypatch.setattr(rate_limits, "_HEARTBEAT_S", 60)
    async with PostgresLedger(database) as lost:
        assert await lost.try_slot(HOST, 2) == 0
        monkeypatch.setattr(rate_limits, "_HEARTBEAT_S", 0.2)
        async with PostgresLedger(database) as alive, PostgresLedger(database) as other:
            assert await alive.try_slot(HOST, 2) == 1
            await asyncio.sleep(1.5)
            assert [await other.try_slot(HOST, 2) for _ in range(2)] == [0, None]


async def test_an_unreachable_ledger_is_reported_in_one_line(database):
    """A missing database, at the start or later, is reported in one line without the password."""
    url = database.replace(database.rsplit("/", 1)[1], "absent")
    with pytest.raises(DatabaseUnavailable, match="absent") as caught:
        await PostgresLedger(url).__aenter__()
    assert "\n" not in str(caught.value)
    async with PostgresLedger(database) as ledger:
        with psycopg.connect(as_role(database, None), autocommit=True) as connection:
            connection.execute("DROP TABLE zoning.host_budget")
        with pytest.raises(StoreError, match="host_budget") as refused:
            await ledger.change(HOST, seen)
        assert "\n" not in str(refused.value)
        await ledger.give_slot(HOST, 0)


def test_closing_the_ledger_ends_its_session(database):
    """When the client is closed, its session ends and its slots are free."""

    async def short() -> None:
        async with PostgresLedger(database) as ledger:
            assert await ledger.try_slot(HOST, 1) == 0

    for _ in range(3):
        asyncio.run(short())
    ours = "application_name = 'zoning_assets ledger' AND datname = current_database()"
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"
    until(lambda: rows(database, query) == [(0,)], "no session is left")
