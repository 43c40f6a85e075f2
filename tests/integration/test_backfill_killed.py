"""Everything that runs is killed at random moments of a backfill, while amendments arrive: in the end the tables say
what they say where nobody was killed."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.integration.killed import content
from tests.integration.killed.killer import Killer
from tests.integration.killed.machine import Machine
from tests.integration.killed.operator import Operator
from tests.queues import brokers
from zoning_assets import local_postgres
from zoning_assets.defs import in_process_runs, partitions
from zoning_assets.defs.build import definitions
from zoning_assets.local_postgres.data_folder import site_of
from zoning_assets.queues import NAMES
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage import dagster_storage

_PARCELS, _RESOLUTION = 2900, 10
_AMENDMENTS, _A_MINUTE = 40, 3000  # requests, so that a backfill lasts
#: Of each variant; all of them together are a hundred and two.
_KILLS = int(os.environ.get("ZONING_TEST_KILLS", "34"))
_SEED = int(os.environ.get("ZONING_TEST_SEED", "11"))


def amendments() -> list[str]:
    """What is told meanwhile: of what is rezoned with it, and of cases that came to nothing; some twice."""
    chance, before = random.Random(_SEED), County.build(_PARCELS)
    truth = before.after_changes().truth
    lots = sorted(set(map(str, before.parcels.columns["PIN"])) - {"None"})
    told: list[dict[str, Any]] = []
    for n in range(_AMENDMENTS - 4):
        pin, (old, new) = chance.choice(sorted(truth.rezoned.items()))
        passed = {"status": "adopted", "parcel_ids": [pin], "old_codes": [old], "new_codes": [new]}
        filed = {"status": "filed", "parcel_ids": chance.sample(lots, 2), "new_codes": ["C-2"]}
        told.append({"jurisdiction": ID, "case_numbers": [f"Z-{n}"], **(filed if n % 3 else passed)})
    return [json.dumps(each) for each in (*told, *told[:4])]


@dataclass
class Ended:
    """What a whole scenario came to."""

    tables: content.Content
    depths: dict[str, tuple[int, int, int]]
    verified: bool


@dataclass
class Base:
    """A machine at rest: a first release stands, the portal has the next, and its tiles are known."""

    folder: Path
    keys: list[str]

    @contextmanager
    def started(self, kind: str) -> Iterator[Operator]:
        """That machine, again at the same place, its webserver up; and its operator."""
        home, broker_home = self.folder / "home", self.folder / kind
        broker_home.mkdir()
        for kept, place in ((self.folder / "base", home), (self.folder / "database", site_of(home).root)):
            if kept.exists():
                subprocess.run(["cp", "-a", str(kept), str(place)], check=True)  # with its owners
        queue = brokers.STARTS[kind](broker_home) if kind in ("redis", "rabbitmq") else nullcontext()
        with pytest.MonkeyPatch.context() as patch, queue as broker, at_work(self.folder, patch, broker) as machine:
            machine.tend("dagster-webserver")
            with dg.DagsterInstance.get() as instance:
                yield Operator(machine, instance)


@contextmanager
def at_work(folder: Path, patch: pytest.MonkeyPatch, broker: brokers.Broker | None) -> Iterator[Machine]:
    """The machine of a folder; this process's environment is that of its programs."""
    home = folder / "home"
    patch.setenv("ZONING_HOME", str(home))
    patch.setenv("DAGSTER_HOME", str(home / "dagster"))
    patch.setenv("ZONING_JURISDICTIONS", str(folder / "toml"))
    patch.setenv("ZONING_QUEUE_URL", broker.url if broker else "")
    machine = Machine(home, broker)
    try:
        machine.start_postgresql()
        patch.setenv("ZONING_DATABASE_URL", machine.url)
        patch.setenv(dagster_storage.SETTING, dagster_storage.bring_up(home, {}, machine.url))
        yield machine
    finally:
        machine.stop()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """The state from which each begins."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "toml").mkdir()
    with serving(_PARCELS) as portal, pytest.MonkeyPatch.context() as patch:
        text = county_toml(portal, tile_resolution=_RESOLUTION).replace("minute = 60000", f"minute = {_A_MINUTE}")
        (folder / "toml" / f"{ID}.toml").write_text(text)
        with at_work(folder, patch, None) as machine:
            machine.prepare_dagster()
            assert all(report["complete"] for report in machine.zoning("sync", ID)["harvests"])
            switch_release(portal, 2)
            with dg.DagsterInstance.get() as instance:
                assets = definitions(Settings.of(os.environ))
                assert not in_process_runs.materialize(assets, instance, ["tiles"], [ID]).failed
                keys = partitions.keys_of(instance, ID)
            local_postgres.stop(machine.home)
            subprocess.run(["cp", "-a", str(machine.home), str(folder / "base")], check=True)
            if not (where := site_of(machine.home).root).is_relative_to(machine.home):  # root's lie elsewhere
                subprocess.run(["cp", "-a", str(where), str(folder / "database")], check=True)
        yield Base(folder, keys)


def whole(operator: Operator, keys: list[str], killer: Killer | None, say: Callable[[str], None]) -> Ended:
    """A backfill of all tiles, amendments meanwhile, kills or none, then peace."""
    machine, since = operator.machine, time.monotonic()

    def now(what: str) -> None:
        say(f"{time.monotonic() - since:5.0f} s  {what}")

    operator.backfill(keys)
    machine.tend()
    disturbed(operator, keys, killer, now)
    now("peace")
    operator.quiet()
    before = content.of(machine.url)["parcels"]
    missing = set(keys) - operator.instance.get_materialized_partitions(dg.AssetKey("parcels"))
    now(f"quiet; backfills: {operator.statuses()}, {len(missing)} of {len(keys)} tiles missing")
    operator.harvest()
    operator.quiet()
    found = content.of(machine.url)
    now(f"all stands: { ({name: len(each) for name, each in found.items()}) }")
    assert operator.is_done()  # tiles that failed were asked for again by retry_failed, and are not missing
    assert not missing
    assert found["parcels"] == before, "the backfill had left something"
    return Ended(found, operator.depths(), machine.zoning("verify")["ok"])


def disturbed(operator: Operator, keys: list[str], killer: Killer | None, now: Callable[[str], None]) -> None:
    """While it goes on."""
    waiting, steps = amendments(), _KILLS if killer else 8
    for step in range(steps):
        part = -(-len(waiting) // (steps - step))
        operator.publish(waiting[:part])
        waiting = waiting[part:]
        if killer is None:
            time.sleep(4)
            continue
        if operator.is_done():  # there is to be one under way whenever somebody is killed
            operator.backfill(keys)
        time.sleep(killer.chance.uniform(0.2, 5))
        now(killer.kill())
        time.sleep(killer.chance.uniform(0, 2))
        operator.machine.tend()


@pytest.fixture(scope="module")
def undisturbed(base: Base) -> Ended:
    """The yardstick: the same, and nobody is killed."""
    with base.started("undisturbed") as operator:
        return whole(operator, base.keys, None, lambda said: print(f"  {said}", flush=True))  # noqa: T201


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("kind", ["postgresql", "redis", "rabbitmq"])
def test_whoever_is_killed_the_tables_are_the_same(
    kind: str, base: Base, undisturbed: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 of runs, their workers, daemon, code servers, webserver, PostgreSQL and the broker, also in a merge."""

    def say(what: str) -> None:
        with capsys.disabled():
            print(f"  {what}", flush=True)  # noqa: T201 - a measurement

    since = time.monotonic()
    say(f"\n{kind}: {_KILLS} kills, seed {_SEED}, {len(base.keys)} tiles")
    with base.started(kind) as operator:
        killer = Killer(operator.machine, operator.instance, _SEED)
        found = whole(operator, base.keys, killer, say)
        count = operator.instance.get_runs_count()
        again = operator.instance.get_runs_count(dg.RunsFilter(tags={"dagster/is_resume_retry": "true"}))
    say(f"{time.monotonic() - since:.0f} s; killed {dict(sorted(killer.done.items()))}")
    say(f"{count} runs, {again} resumed, asked again {operator.again}, reloaded {operator.machine.reloads} times")
    differing = content.differences(found.tables, undisturbed.tables)
    assert not differing, json.dumps(differing, indent=1)
    assert all(undisturbed.tables[name] for name in ("versions", "changes", "amendments", "matches"))
    assert found.depths == undisturbed.depths == dict.fromkeys(NAMES, (0, 0, 0))
    assert found.verified
    assert undisturbed.verified
