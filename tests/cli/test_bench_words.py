"""`zoning bench` makes databases, which the pipeline's own role may not."""

from types import SimpleNamespace

import psycopg
import pytest

from benchmarks.variants import VARIANTS
from tests.cli.conftest import Zoning
from zoning_assets.cli import bench, bench_figures, bench_sync
from zoning_assets.storage.postgis.database import as_role


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, database: str, zoning: Zoning) -> list[str]:
    """The servers that were measured; a week takes minutes, and what matters here is who makes its database."""
    servers: list[str] = []

    def measure_apart(server: str, *_: object) -> dict[str, object]:
        servers.append(server)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench_words")
            connection.execute("DROP DATABASE bench_words")
        return {"faults": []}

    monkeypatch.setattr(bench, "_load", lambda _: SimpleNamespace(measure_apart=measure_apart))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    return servers


def test_a_benchmark_works_as_the_owner(zoning: Zoning, measured: list[str]) -> None:
    assert zoning("bench", "week", "--json")[0] == 0
    assert len(measured) == 1


def test_who_may_make_no_database_is_told(
    zoning: Zoning, measured: list[str], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = as_role(database, None)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE ROLE bench_nobody LOGIN PASSWORD 'x' IN ROLE zoning_writer")
    try:
        host = owner.partition("@")[2]
        monkeypatch.setenv("ZONING_DATABASE_URL", f"postgresql://bench_nobody:x@{host}")
        status, out, err = zoning("bench", "week")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "may not create databases" in err
    finally:
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("DROP ROLE bench_nobody")
    assert measured == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_county_that_others_slow_down_fails_the_bench(
    zoning: Zoning, monkeypatch: pytest.MonkeyPatch, database: str, *, kept: bool
) -> None:
    """Exit status 1 where a county beside others took more than its share of time; sizes are as asked for."""
    asked: list[tuple[int, int, int]] = []

    def measure(first: int, others: int, count: int, *_: object) -> dict[str, object]:
        asked.append((first, others, count))
        return {"counties": [], "ratios": [{"variant": "as is", "kept": kept}]}

    monkeypatch.setattr(bench, "_load", lambda _: SimpleNamespace(measure=measure))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    assert zoning("bench", "counties", "--first", "9000", "--others", "2000", "--count", "2")[0] == int(not kept)
    assert asked == [(9000, 2000, 2)]


@pytest.mark.parametrize("faults", [[], ["plain, ours: 999 of 1,000 parcels are in its database"]])
def test_a_contestant_that_lacks_rows_fails_the_bench(
    zoning: Zoning, monkeypatch: pytest.MonkeyPatch, faults: list[str]
) -> None:
    """Exit status 1, and the sentence on stderr; size, page, rounds and variants are as asked for."""
    asked: list[tuple[int, dict[str, object]]] = []

    def measure(parcels: int, *_: object, **options: object) -> dict[str, object]:
        asked.append((parcels, options))
        size = {"parcels": parcels, "page": 500, "rounds": 3, "cores": 2, "left_out": {"ogr2ogr": "no Debian"}}
        variant = {"variant": "limited", "about": "30 a minute", "contestants": [_figures("floor"), _figures("ours")]}
        return {**size, "variants": [variant], "faults": faults}

    monkeypatch.setattr(bench_sync, "load", lambda _: SimpleNamespace(measure=measure))
    monkeypatch.setattr(bench_sync, "server", lambda: "postgresql://server")
    words = ("--parcels", "1000", "--page", "500", "--rounds", "3", "--variant", "plain", "--variant", "limited")
    status, out, err = zoning("bench", "sync", *words)
    assert status == len(faults)
    assert [line.split()[:3] for line in out.splitlines() if line.startswith(("floor", "ours"))] == [
        ["floor", "0.5", "2,000"],
        ["ours", "0.5", "2,000"],
    ]
    assert "ogr2ogr was left out: no Debian" in err
    assert all(fault in err for fault in faults)
    assert asked == [(1000, {"page": 500, "rounds": 3, "variants": ["plain", "limited"]})]


def _figures(name: str) -> dict[str, object]:
    """As benchmarks.sync gives them, of a contestant that took half a second."""
    counts = dict.fromkeys(("requests", "rows_served", "map_requests", "bytes", "parcels", "peak_bytes"), 7)
    took = {"seconds": 0.5, "cpu_s": 0.25, "server_cpu_s": 0.1, "rounds_s": [0.5]}
    ratios = {"times_classic": None, "times_ogr2ogr": None, "times_floor": 1.0}
    return {"contestant": name, **counts, **took, **ratios, "of_limit": 0.9 if name == "ours" else None}


def test_the_variants_are_those_of_the_server() -> None:
    assert [each.value for each in bench_sync.Variant] == list(VARIANTS)


@pytest.mark.parametrize(
    ("command", "module", "sizes"),
    [
        ("startup", "startup", (200_000, 5)),
        ("probes --counties 7", "probes", (7, 5)),
        ("backfill --parcels 2000 --resolution 8", "backfill", (2000, 8)),
        ("many-counties --count 3", "many_counties", (200_000, 5000, 3)),
        ("wide", "wide_table", (1_840_000,)),
        ("tiles --number 4", "served_map", (1_000_000, 4)),
    ],
)
def test_a_list_of_figures_is_printed_and_a_fault_fails_the_bench(
    zoning: Zoning, monkeypatch: pytest.MonkeyPatch, command: str, module: str, sizes: tuple[int, ...]
) -> None:
    asked: list[tuple[object, ...]] = []

    def measure(*given: object) -> dict[str, object]:
        asked.append(given[:-3])
        return {"figures": [{"figure": "tiles", "value": 1057, "unit": ""}], "faults": ["the tables differ"]}

    monkeypatch.setattr(bench_figures, "load", lambda name: {module: SimpleNamespace(measure=measure)}[name])
    monkeypatch.setattr(bench_figures, "server", lambda: "postgresql://server")
    status, out, err = zoning("bench", *command.split())
    assert (status, asked) == (1, [sizes])
    assert "1,057" in out
    assert "the tables differ" in err
