"""The real daemon of Dagster: a run a portal, a slow portal starves nobody, and what is killed is done all the same."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from aiohttp import web

from tests.conftest import rows
from tests.support.waiting import until
from zoning_assets.defs.retry_policies import HOST
from zoning_assets.defs.run_workers import WORKER
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.storage.dagster_storage import SETTING

_OURS, _THEIRS, _LATER = "us-xx-slow", "us-xx-quick", "us-xx-later"
_SLOW_S = 30.0
_JOBS = {"find_tiles", "publish_parcels", "publish_districts", "tell_changes"}
_DONE = dg.DagsterRunStatus.SUCCESS


@contextmanager
def portal(answers: threading.Event) -> Iterator[str]:
    """A county whose rows take long to come until the event is set; what it says of itself comes at once."""
    address: list[str] = []
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def fault(request: web.Request) -> None:
        if {**request.query, **await request.post()}.get("outFields"):
            await asyncio.to_thread(answers.wait, _SLOW_S)

    async def serve() -> None:
        async with county_portal(CountyReleases(400), fault=fault).running() as url:
            address.append(url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(60)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def daemon(environ: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Dagster's daemon; killed with all that it started, as by a power cut."""
    home = Path(environ["DAGSTER_HOME"])
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "zoning_assets.definitions"]
    with (home / "daemon.log").open("ab") as log:
        told = {**environ, SETTING: os.environ[SETTING]}
        process = subprocess.Popen(command, env=told, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


#: A look reads Dagster's storage, which the daemon needs too.
wait_for = partial(until, every_s=0.3)


def harvests(instance: dg.DagsterInstance, jurisdiction: str) -> list[dg.DagsterRun]:
    """The runs that the sensors asked for, and those that Dagster started again; the oldest first."""
    filters = dg.RunsFilter(tags={"zoning/jurisdiction": jurisdiction})
    return list(reversed(instance.get_runs(filters)))


@pytest.fixture
def answers() -> threading.Event:
    """Until it is set, one portal is slow."""
    return threading.Event()


@pytest.fixture
def environ(
    tmp_path: Path, database: str, answers: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    (tmp_path / "toml").mkdir()
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path / "toml"))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    always = threading.Event()
    always.set()
    with portal(answers) as slow, portal(always) as quick:
        for name, address in ((_OURS, slow), (_THEIRS, quick)):
            text = county_toml(address).replace(ID, name)
            (tmp_path / "toml" / f"{name}.toml").write_text(text)
        yield dict(os.environ)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_a_portal_and_what_is_killed_is_done_all_the_same(
    environ: dict[str, str], answers: threading.Event, database: str
) -> None:
    """Runs of a slow portal follow one another, while the other portal's are done. The slow run's process is killed: it
    is started again. Then all is killed, the daemon too: a new one finds the dead run, and does it; and it finds a
    file that came later."""
    from zoning_assets.cli import bootstrap  # noqa: PLC0415

    with bootstrap.dagster_instance() as instance:

        def running() -> dg.DagsterRun | None:
            found = [run for run in harvests(instance, _OURS) if run.status == dg.DagsterRunStatus.STARTED]
            assert len(found) <= 1, "one run a host"
            return next((run for run in found if WORKER in run.tags and run.run_id in run.tags[WORKER]), None)

        def done(jurisdiction: str) -> set[str]:
            return {run.job_name for run in harvests(instance, jurisdiction) if run.status == _DONE}

        def two_going() -> list[dg.DagsterRun]:
            found = [run for run in harvests(instance, _OURS) if not run.is_finished]
            return found if len(found) == 2 else []

        with daemon(environ):
            wait_for(running, "the slow portal's run")
            wait_for(lambda: done(_THEIRS) == _JOBS, "the quick portal's runs, beside the slow one")
            going = wait_for(lambda: two_going() and running() and two_going(), "the slow portal's runs")
            assert sorted((run.status for run in going), key=str) == [
                dg.DagsterRunStatus.QUEUED,
                dg.DagsterRunStatus.STARTED,
            ]
            assert len({run.tags[HOST] for run in going}) == 1
            first = wait_for(running, "a run of the slow portal")
            os.kill(int(first.tags[WORKER].split()[1]), signal.SIGKILL)
            again = wait_for(
                lambda: (run := running()) and run.run_id != first.run_id and run, "the run that Dagster starts again"
            )
        with daemon(environ):
            quick = Path(environ["ZONING_JURISDICTIONS"]) / f"{_THEIRS}.toml"
            quick.with_name(f"{_LATER}.toml").write_text(quick.read_text().replace(_THEIRS, _LATER))
            wait_for(
                lambda: instance.get_run_by_id(again.run_id).status == dg.DagsterRunStatus.FAILURE,
                "the failure of the dead run",
            )
            answers.set()
            published = "SELECT DISTINCT feed FROM zoning.feed WHERE harvested IS NOT NULL AND jurisdiction = %s"
            wait_for(lambda: running() is None and len(rows(database, published, _OURS)) == 2, "the end of all runs")
            wait_for(lambda: done(_LATER) == _JOBS, "the runs of a file that came later")
        for name in (_OURS, _LATER):
            counts = rows(database, "SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %s", name)
            assert counts == rows(database, "SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %s", _THEIRS)
