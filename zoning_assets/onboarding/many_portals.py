"""Propose jurisdiction files for many addresses: different hosts at the same time, the addresses of one host in turn.

What belongs here: the order of the work and its time limits. What does not: the rate limits (http/), what is proposed
for one address (proposal.py), and which files are written (cli/onboard_list.py).
"""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from zoning_assets.defects import unexpected_error
from zoning_assets.errors import DatabaseUnavailable, MachineRefused, PortalUnreachable, Stopping, ZoningError
from zoning_assets.graceful_stop import call_in_loop_on_stop
from zoning_assets.http import Client, Http, Tally
from zoning_assets.http.response_checks import host_of
from zoning_assets.onboarding import first_page_trial
from zoning_assets.onboarding.address_list import ListedAddress, origin
from zoning_assets.onboarding.proposal import KnownFacts, propose
from zoning_assets.pipeline.holds import watch_holds
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.redaction import without_secrets

#: Hosts that are asked at the same time. One process has 20 connections (http/connection_scheduler.py).
HOSTS_AT_ONCE = 16
#: Seconds. A portal that has sent nothing until then is given up; so is an address that takes longer than the second.
_FIRST_ANSWER_S, _LONGEST_S = 90.0, 1800.0
#: How often the first request to a portal is sent. A list is run again, so that it does not wait for one portal.
_FIRST_TRIES = 2

T = TypeVar("T")


@dataclass(frozen=True)
class PortalResult:
    """What became of one address: a proposal and its trial, or an error. `proposal`: see Proposal.as_dict."""

    listed: ListedAddress
    proposal: dict[str, Any] = field(default_factory=dict)
    trial: dict[str, Any] = field(default_factory=dict)
    error: ZoningError | None = None
    requests: int = 0
    seconds: float = 0.0


async def propose_all(
    http: Http, database: str, pool: Pool, listed: Sequence[ListedAddress], on_result: Callable[[PortalResult], None]
) -> None:
    """Propose and test a file for each address. An error of one address is its result; the others continue.

    Args:
        http: the client, entered; its ledger holds the rate limits.
        database: its URL, for pauses; "": there are none.
        pool: the worker processes.
        listed: the addresses.
        on_result: called with each result, in the order in which they are ready.

    Raises:
        Stopping: this program was asked to stop.
        DatabaseUnavailable, MachineRefused: nothing can be asked any more.
    """
    with tempfile.TemporaryDirectory(prefix="zoning-onboard-") as folder:
        async with call_in_loop_on_stop(http.drain), watch_holds(database) as active_holds:

            async def work(each: ListedAddress) -> None:
                paused = partial(active_holds.error, each.id or "", {host_of(each.address)})
                tally, started = Tally(), time.monotonic()
                client = http.for_work(tally, paused)
                with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as mine:
                    proposal, trial, error = await _result(each, tally, _proposed(http, client, pool, each, Path(mine)))
                seconds = round(time.monotonic() - started, 3)
                on_result(PortalResult(each, proposal, trial, error, tally.requests, seconds))

            await by_host(listed, lambda each: host_of(each.address), work)


async def by_host(items: Sequence[T], host: Callable[[T], str], work: Callable[[T], Awaitable[None]]) -> None:
    """Work on items: those of one host in turn, in their order, and at most `HOSTS_AT_ONCE` hosts at the same time.
    Hosts with many items begin first, as they take the longest."""
    queues = defaultdict[str, list[T]](list)
    for each in items:
        queues[host(each)].append(each)
    slots = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def in_turn(queue: Sequence[T]) -> None:
        async with slots:
            for each in queue:
                await work(each)

    tasks = [asyncio.create_task(in_turn(each)) for each in sorted(queues.values(), key=len, reverse=True)]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancel(*tasks)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks that have not ended, and wait until they have."""
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _result(
    each: ListedAddress, tally: Tally, work: Coroutine[Any, Any, tuple[dict[str, Any], dict[str, Any]]]
) -> tuple[dict[str, Any], dict[str, Any], ZoningError | None]:
    """The proposal, its trial, and the error of an address."""
    try:
        proposal, trial = await _bounded(each.address, tally, work)
    except (Stopping, DatabaseUnavailable, MachineRefused):  # not about this address
        raise
    except ZoningError as error:
        return {}, {}, error
    except Exception as error:  # noqa: BLE001 - one address never stops the others
        return {}, {}, unexpected_error(without_secrets(each.address), error, "nothing was written for this address")
    return proposal, trial, None


async def _bounded(address: str, tally: Tally, work: Coroutine[Any, Any, T]) -> T:
    """Wait for the work on an address.

    Raises:
        PortalUnreachable: its portal sent nothing for too long, or the work took too long; the work was cancelled.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task], timeout=_FIRST_ANSWER_S)
        if tally.bytes:
            await asyncio.wait([task], timeout=_LONGEST_S)
        if task.done():
            return task.result()
    finally:
        await _cancel(task)
    slow, silent = f"it is not ready after {_LONGEST_S / 60:.0f} min", f"no answer within {_FIRST_ANSWER_S:g} s"
    raise PortalUnreachable(
        slow if tally.bytes else silent, where=without_secrets(address), do="run the same command again later"
    )


async def _proposed(
    http: Http, client: Client, pool: Pool, each: ListedAddress, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Propose a file for an address, and test it with one page."""
    known = KnownFacts(each.name, each.key, each.layer, (origin(each.address), *each.remarks))
    found = await propose(client, each.address, folder, each.id, known=known, tries=_FIRST_TRIES)
    file = folder / f"{found.id}.toml"
    file.write_text(found.toml(), encoding="utf-8")
    return found.as_dict(), await first_page_trial.try_file(file, folder, pool, lambda: nullcontext(http), client.tally)
