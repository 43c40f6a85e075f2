"""What follows what: tiles that were found are published, and what was published is told; once, and in its time."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import read_toml
from tests.support.asked_questions import tick
from zoning_assets.defs import partitions, retry_policies
from zoning_assets.defs.build import definitions
from zoning_assets.model import Place
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, county_toml

OTHER = "us-xx-other"


@dg.job
def harvest() -> None:
    """Some run of a jurisdiction."""


@dg.asset(partitions_def=dg.StaticPartitionsDefinition([ID]))
def tiles() -> None:
    """The asset of that name."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two jurisdictions of the user's own."""
    for name in ("ZONING_HOME", "ZONING_JURISDICTIONS"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in (ID, OTHER):
        read_toml(tmp_path, county_toml("http://127.0.0.1:1").replace(ID, name), name)
    return Settings.of({"ZONING_HOME": str(tmp_path), "ZONING_JURISDICTIONS": str(tmp_path)})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


class Looks:
    """Ticks of the sensor, one after the other."""

    def __init__(self, home: Settings, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance, self.cursor = definitions(home), instance, None

    def asked(self) -> list[tuple[str, str]]:
        """The job of each run that is asked for, and its partition, or where its range begins and ends."""
        found = tick(self.definitions, self.instance, "harvest_goes_on", self.cursor)
        self.cursor, self.keys = found.cursor, [request.run_key for request in found.run_requests or ()]
        return [(str(each.job_name), _where(each.tags)) for each in found.run_requests or ()]


def _where(tags: dict[str, str]) -> str:
    ends = [tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end")]
    return tags.get("dagster/partition") or "..".join(partitions.place_of(end).tile or "" for end in ends)


def made(instance: dg.DagsterInstance, asset: str, jurisdiction: str = ID, tile: str | None = None) -> None:
    partition = partitions.key_of(Place(jurisdiction, tile))
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))


def test_a_tick_reads_all_tiles_once(
    home: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a nation there are 60,000; a tick that finds nothing reads none."""
    for jurisdiction in (ID, OTHER):
        partitions.register(instance, jurisdiction, ["1", "2"])
    reads, registered = list[str](), partitions.registered
    monkeypatch.setattr(partitions, "registered", lambda *which: reads.append("read") or registered(*which))
    looks = Looks(home, instance)
    assert looks.asked() == []
    assert reads == []
    made(instance, "tiles")
    made(instance, "tiles", OTHER)
    assert [job for job, _ in looks.asked()] == ["publish_parcels", "publish_parcels"]
    assert len(reads) == 1


def test_tiles_that_were_found_are_published_a_run_each_range(home: Settings, instance: dg.DagsterInstance) -> None:
    for jurisdiction, found in ((ID, "13"), (OTHER, "2"), (ID, "1357")):
        partitions.register(instance, jurisdiction, list(found))
    looks = Looks(home, instance)
    assert looks.asked() == []
    made(instance, "tiles")
    assert looks.asked() == [("publish_parcels", "1..3"), ("publish_parcels", "5..7")]
    keys = looks.keys
    assert len(set(keys)) == 2
    assert looks.asked() == []
    looks.cursor = None
    looks.asked()
    assert looks.keys == keys, "run keys keep a lost cursor from asking twice"


def test_what_was_published_is_told_when_no_run_of_it_is_under_way(
    home: Settings, instance: dg.DagsterInstance
) -> None:
    """However many tiles and feeds were published, and whatever goes on elsewhere."""
    run = instance.create_run_for_job(harvest, tags={retry_policies.JURISDICTION: ID})
    for tile in "13":
        made(instance, "parcels", tile=tile)
    made(instance, "districts")
    made(instance, "parcels", OTHER, "5")
    looks = Looks(home, instance)
    assert looks.asked() == [("tell_changes", OTHER)]
    assert looks.asked() == []
    instance.report_run_failed(run)
    assert looks.asked() == [("tell_changes", ID)]
    assert looks.asked() == []


def test_nothing_is_told_while_the_run_that_publishes_goes_on(home: Settings, instance: dg.DagsterInstance) -> None:
    """A backfill's run is known by what it publishes."""
    looks, seen = Looks(home, instance), list[object]()

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([ID]))
    def districts(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetMaterialization("districts", partition=ID))
        seen.extend([looks.asked(), looks.asked()])

    dg.materialize([districts], instance=instance, partition_key=ID)
    assert seen == [[], []]
    assert looks.asked() == [("tell_changes", ID)]


def test_what_a_sync_did_goes_on_by_itself(home: Settings, instance: dg.DagsterInstance) -> None:
    partitions.register(instance, ID, ["1"])
    dg.materialize([tiles], instance=instance, partition_key=ID, tags={retry_policies.ONCE: "0"})
    dg.materialize([tiles], instance=instance, partition_key=ID, tags={retry_policies.COMMAND: "sync 1"})
    looks = Looks(home, instance)
    assert looks.asked() == []
    dg.materialize([tiles], instance=instance, partition_key=ID)
    assert looks.asked() == [("publish_parcels", "1..1")]


def test_a_jurisdiction_without_a_file_is_left_out(home: Settings, instance: dg.DagsterInstance) -> None:
    partitions.register(instance, "us-zz-gone", ["1"])
    made(instance, "tiles", "us-zz-gone")
    made(instance, "parcels", "us-zz-gone", "1")
    looks = Looks(home, instance)
    assert looks.asked() == []
    assert looks.asked() == []
