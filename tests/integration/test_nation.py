"""A small nation for some hours: no host is asked too much, every release is published, and ticks stay bounded."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks import nation_portals, nation_year
from benchmarks.nation import BUDGET, measure
from benchmarks.nation_portals import County
from tests.support.shared_data import need

_HOUR_S = 3600.0


def nation(number: int) -> list[County]:
    """Counties that are probed each hour. Each publishes new parcels once; the third is away, the fourth pushes back.
    The first half is on one host, as counties are in reality."""
    found = []
    for place, each in enumerate(nation_portals.counties(number, 0.2)):
        described = replace(
            each,
            parcels=min(each.parcels, 20_000),
            host="shared.example.org" if place < number // 2 else f"{each.id}.example.org",
            releases={"parcels": (600.0 + 60 * place,), "zoning": ()},
            away=(0.0, 1.5 * _HOUR_S) if place == 2 else None,
            storm=(0.0, 2 * _HOUR_S) if place == 3 else None,
            maintenance=None,
            probe_hours=1,
        )
        found.append(described)
    return found


def test_a_small_nation(database: str, tmp_path: Path) -> None:
    """Ticks every ten minutes. A host that many counties share is probed at its pace, and does not delay the others."""
    found = measure(nation(24), 0.21, database, tmp_path, lambda _: None, executed=3, every=10)
    assert found["faults"] == []
    assert found["most_a_minute"] <= BUDGET
    assert found["releases_published"] == found["releases"] == 24
    assert found["requests"] > 24 * 3
    ticks = {row["sensor"]: row for row in found["sensors"]}
    assert ticks["feed_changed"]["runs_requested"] >= 24
    assert ticks["feed_changed"]["max_s"] < 60, "the time of a tick, with the simulated waits for portals"
    assert {row["job"] for row in found["rows"]["of_jobs"]} >= {"find_tiles"}, "Dagster has executed the first runs"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_larger_nation(database: str, tmp_path: Path) -> None:
    counties = nation_portals.counties(200, 1.5)
    found = measure(counties, 1.5, database, tmp_path, print, executed=20)
    assert found["faults"] == []
    assert found["most_a_minute"] <= BUDGET
    assert found["releases_published"] > 10
    cursor = next(row["cursor_bytes_most"] for row in found["sensors"] if row["sensor"] == "feed_changed")
    assert cursor < 200 * 2 * 60, "Dagster stores it with each tick"


def test_a_cold_start_is_limited_by_the_shared_hosts() -> None:
    """More runs at once do not help the host that most counties share: it takes the time of its requests."""
    counties = [each for each in nation_portals.counties(400, 30) if each.answers(0.0)]
    few, many = (nation_year.start_cold(counties, slots) for slots in (1, 64))
    assert few["harvests"] == many["harvests"] == 2 * len(counties)
    requests = Counter[str]()
    for each in counties:
        requests[each.host] += each.requests("parcels") + each.requests("zoning")
    least_days = max(requests.values()) / 30 / 1440
    assert least_days < many["days"] < few["days"]


def test_a_month_of_releases_is_published() -> None:
    counties = nation_portals.counties(60, 30)
    found = nation_year.simulate(counties, 30, 4)
    assert found["release_to_published_hours"]["median"] < 24 * 1.1 + 1
    assert found["harvests"] > 60
    assert found["slots_busy"] < 1


def test_hosts_are_shared_as_in_reality() -> None:
    """Counted in the source files of OpenAddresses that lie beside a clone."""
    files = sorted(need("openaddresses_us").glob("*.json"))
    hosts = Counter(map(_host, files))
    shared = sorted((count for count in hosts.values() if count > 1), reverse=True)
    assert (tuple(shared), len(files)) == (nation_portals.SHARED_HOSTS, nation_portals.SAMPLE)


def _host(file: Path) -> str | None:
    layers = json.loads(file.read_text())["layers"]
    return urlsplit((layers.get("parcels") or layers["addresses"])[0]["data"]).hostname
