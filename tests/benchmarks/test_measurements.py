"""The tables of `zoning bench all`: every command is measured or left out with a reason; figures have their targets."""

from collections.abc import Iterator

import pytest
import typer

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.measurements import FULL, LEFT_OUT, MEASUREMENTS, QUICK, chosen
from benchmarks.targets import AT_LEAST, AT_MOST, BELOW, TARGETS, Target, target_of
from zoning_assets.cli import bench

COMMANDS = typer.main.get_group(bench.app).commands


def test_every_command_is_measured_or_left_out_with_a_reason() -> None:
    measured = {each.command for each in MEASUREMENTS.values()}
    assert set(COMMANDS) == measured | set(LEFT_OUT)
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("scale", [QUICK, FULL])
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_the_words_of_a_measurement_can_be_parsed(name: str, scale: str) -> None:
    command, *rest = MEASUREMENTS[name].words(scale)
    COMMANDS[command].make_context(command, [*rest, "--json"])


def test_a_measurement_without_a_command_is_left_out_with_the_reason() -> None:
    wanted, missing = chosen(["truth", "celery"], ["truth"])
    assert list(wanted) == ["truth"]
    assert missing == {"celery": "there is no `zoning bench celery`"}


def test_every_target_is_of_a_measurement_and_comes_from_somewhere() -> None:
    assert {each.measurement for each in TARGETS} <= set(MEASUREMENTS)
    assert {each.how for each in TARGETS} == {AT_MOST, AT_LEAST, BELOW}
    assert all(each.source for each in TARGETS)


@pytest.mark.parametrize(
    ("how", "met"), [(AT_MOST, [True, True, False]), (AT_LEAST, [False, True, True]), (BELOW, [True, False, False])]
)
def test_a_target_is_met_or_not(how: str, met: list[bool]) -> None:
    target = Target("truth", "*", how, 2.0, "a test")
    assert [target.is_met(each) for each in (1.9, 2.0, 2.1)] == met
    assert target.text == f"{how} 2"


def contestant(name: str, **figures_: object) -> dict[str, object]:
    """As `zoning bench sync --json` has it."""
    counts = {"requests": 103, "map_requests": 6, "server_cpu_s": 0.3, "peak_bytes": 7e8, "seconds": 20.0}
    ratios = {"times_classic": 2.0, "times_ogr2ogr": None, "times_floor": 0.2, "of_limit": 0.5}
    return {"contestant": name, **counts, **ratios, **figures_}


def test_the_figures_of_a_harvest_and_their_targets() -> None:
    contestants = [
        contestant("floor", server_cpu_s=0.2),
        contestant("ours"),
        contestant("ours, nothing changed", requests=3),
        contestant("ours, 100 edited", requests=6),
    ]
    found = list(figures.sync({"variants": [{"variant": "tracked", "contestants": contestants}]}))
    by_name = {each.name: each for each in found}
    assert len(by_name) == len(found)
    assert by_name["tracked, ours: server CPU, times the floor's"].value == pytest.approx(1.5)
    assert by_name["tracked, ours: peak memory"] == ("tracked, ours: peak memory", 700.0, "MB")
    assert "tracked, ours: speed, times ogr2ogr" not in by_name
    limits = {name: target.value for name in by_name if (target := target_of("sync", name))}
    assert limits == {
        "tracked, ours: requests": 105,
        "tracked, ours, nothing changed: requests": 4,
        "tracked, ours, 100 edited: requests": 6,
        "tracked, ours: server CPU, times the floor's": 2.0,
        "tracked, ours: speed, times classic": 5.0,
        "tracked, ours: speed, times floor": 0.5,
    }


def test_the_figures_of_the_other_documents() -> None:
    growth = [{"command": "sync", "feed_type": "arcgis", "ratio": 1.2}]
    peak = {"command": "sync", "feed_type": "arcgis", "parcels": 2000, "total": 5e8, "seconds": 9.0}
    assert [each.name for each in figures.memory({"figures": [peak], "growth": growth})] == [
        "sync (arcgis), 2,000 parcels: peak",
        "sync (arcgis), 2,000 parcels: whole command",
        "sync (arcgis): peak, times the small county's",
    ]
    ratio = {"variant": "as is", "whole_times": 1.0, "whole_most": 1.4, "publish_times": 1.1, "rows_times": 1.0}
    highest = list(figures.counties({"ratios": [ratio]}))[1]
    target = target_of("counties", highest.name)
    assert target
    assert not target.is_met(highest.value)
    counted = {"lag_hours_most": 9.5, "requests_a_probe_most": 2.0, "faults": ["late"], "changes": 1}
    week = {**counted, "probes": 5, "requests": 10}
    assert {each.name: each.value for each in figures.week(week)}["faults"] == 1
    listed = figures.listed({"figures": [{"figure": "Dagster's share", "value": 9.9, "unit": "%"}]})
    assert list(listed) == [("Dagster's share", 9.9, "%")]


def test_the_figures_of_workers_and_of_a_nation() -> None:
    """Their documents are those of `zoning bench celery` and `zoning bench nation`."""
    each = {"seconds": 90.0, "speed_up": 1.0, "runs": 48, "ready_s": 9.0}
    work = [{"workers": 1, **each}, {"workers": 4, **each, "speed_up": 3.2}]
    budget = {"workers": 4, "requests": 33, "most_a_minute": 31, "most_at_once": 2}
    assert met("celery", figures.celery({"counties": 16, "work": work, "budget": budget})) == {
        "4 workers: speed, times the first": True,
        "4 workers within a budget: requests in a minute, most": False,
        "4 workers within a budget: requests at once, most": True,
    }
    counts = ("portals", "hosts", "tile_keys", "runs", "runs_failed", "releases", "releases_published")
    spread = {"median": 1.0, "p95": 2.0, "max": 3.0}
    day = {**dict.fromkeys(counts, 5), "release_to_published_hours": spread, "queue_depth": spread}
    year = {"slots": 4, "harvests": 9, "days": 20.0, "release_to_published_hours": spread, "queue_depth": spread}
    sensors = [{"sensor": "feed_changed", "max_s": 61.0, "cpu_median_s": 0.1}]
    nation = {**day, "most_a_minute": 30, "sensors": sensors, "faults": [], "year": [year], "cold": [year]}
    assert met("nation", figures.nation(nation)) == {
        "requests of a host in a minute, most": True,
        "sensor feed_changed: longest tick": False,
        "faults": True,
    }


def met(measurement: str, found: Iterator[Figure]) -> dict[str, bool]:
    """Of each figure with a target whether it is met."""
    each = [(figure, target_of(measurement, figure.name)) for figure in found]
    return {figure.name: target.is_met(figure.value) for figure, target in each if target}
