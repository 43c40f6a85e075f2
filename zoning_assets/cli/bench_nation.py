"""`zoning bench nation`: thousands of portals for some days, with the real sensors on a simulated clock."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.benchmarks import load, server
from zoning_assets.cli.display import output


def nation(
    portals: Annotated[int, typer.Option(min=1, max=20_000, help="Number of counties.")] = 3200,
    days: Annotated[float, typer.Option(min=0.05, max=30, help="Simulated days with the real sensors.")] = 1,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Simulate a nation of portals: duration of sensor ticks, requests to each host, run queue, rows in Dagster."""
    measurement = load("nation")
    found = measurement.measure_apart(portals, days, server(), bootstrap.settings().home, output.line)
    if not json:
        output.table(_title(found), measurement.table(found))
        output.table("What each job writes to Dagster, a run", found["rows"]["of_jobs"])
        output.table("Cold start, by runs at once", found["cold"])
    output.finish(found if json else None, [str(each) for each in found["faults"]])


def _title(found: dict[str, Any]) -> str:
    delay = found["release_to_published_hours"]
    return (
        f"{found['portals']:,} counties on {found['hosts']:,} hosts, {found['simulated_hours']} h: "
        f"{found['runs']:,} runs, {found['most_a_minute']} requests of a host in a minute at most, "
        f"published {delay['median']} h after the release ({delay['p95']} h for 95%)"
    )
