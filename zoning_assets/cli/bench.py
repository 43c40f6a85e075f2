"""`zoning bench`: measurements, with units. The code is in `benchmarks/` of the repository, which is not installed."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bench_figures, bootstrap
from zoning_assets.cli.bench_all import all_
from zoning_assets.cli.bench_celery import celery
from zoning_assets.cli.bench_export import export
from zoning_assets.cli.bench_memory import memory
from zoning_assets.cli.bench_nation import nation
from zoning_assets.cli.bench_sync import sync
from zoning_assets.cli.benchmarks import load as _load
from zoning_assets.cli.benchmarks import server as _server
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid

app = typer.Typer(no_args_is_help=True)
app.command("all")(all_)
app.command()(sync)
app.command()(memory)
app.command()(export)
app.command()(celery)
for _measurement in ("startup", "probes", "backfill", "many_counties", "wide", "tiles"):
    app.command(_measurement.replace("_", "-"))(getattr(bench_figures, _measurement))
app.command()(nation)

_FEWEST = 1000


@app.callback()
def bench() -> None:
    """Measurements."""


@app.command()
def chaos(
    mixed: Annotated[int, typer.Option(min=0, help="Number of mixed faults, in addition to each single fault.")] = 0,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Test every fault of a simulated portal with every strategy: each harvest is exact or is refused."""
    measurement = _load("chaos")
    server = _server()
    found = measurement.measure(server, bootstrap.settings().home, output.line, mixed=mixed)
    if not json:
        output.table(
            f"{found['cells']} cells: {found['exact']} exact, {found['refused']} refused", measurement.table(found)
        )
    output.finish(found if json else None, [str(each) for each in found["failed"]])


@app.command()
def week(*, json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Simulate a week of twenty portals: delay of each change, and requests to each portal."""
    measurement = _load("week")
    server = _server()
    found = measurement.measure_apart(server, bootstrap.settings().home, output.line)
    if not json:
        output.table(
            f"{found['changes']} changes, published after {found['lag_hours_most']} h at most; "
            f"{found['probes']} probes of {found['requests_a_probe_most']} requests, {found['requests']:,} in all",
            measurement.table(found),
        )
    output.finish(found if json else None, [str(each) for each in found["faults"]])


@app.command()
def onboard(
    portals: Annotated[int, typer.Option(min=10, max=400, help="Number of simulated portals.")] = 100,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Propose files for many simulated portals, some of them broken: seconds, requests, memory."""
    found = _load("listed_portals").measure(_server(), portals, output.line)
    if not json:
        title = f"{portals} portals: {found['seconds']:,} s; one after the other {found['in_turn_s']:,} s"
        rates = f"at most {found['most_a_minute']} requests a minute to one portal, {found['memory_mib']} MiB"
        output.table(f"{title}; {rates}", found["kinds"])
    output.finish(found if json else None, [])


@app.command()
def pbf(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="Number of parcels of the layer.")] = 50_000,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare the page formats of an ArcGIS server: bytes, seconds, and whether the rows are equal."""
    found = _load("pbf").measure(parcels, output.line)
    if not json:
        output.table(f"{parcels:,} parcels", found["forms"])
    output.finish(found if json else None, [] if found["equal"] else ["the formats do not give the same rows"])


@app.command()
def truth(*, json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Measure precision and recall with real cities whose changes are known."""
    measurement = _load("truth")
    if not measurement.available():
        raise SettingInvalid(
            "the real data is missing", where="zoning bench truth", do="set ZONING_SHARED to its folder"
        )
    found = measurement.measure(output.line)
    if json:
        output.document(found)
        return
    output.table("Cambridge: parcels whose majority zone changed", found["cambridge_zoning"])
    output.table("Cambridge: parcels FY2013 to FY2014", _lines(found["cambridge_parcels"]))
    output.table("San Jose: zoning, July to October 2014", _lines(found["san_jose_zoning"]))


@app.command()
def changes(
    lots: Annotated[int, typer.Option(min=4000, help="Number of lots of the town.")] = 69_000,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure overlay, rezonings and lineage on a synthetic town with known changes, with three drifts."""
    found = _load("changes").measure(lots, output.line)
    if json:
        output.document({**found, "releases": [{**each, "kinds": _named(each["kinds"])} for each in found["releases"]]})
        return
    output.table(f"Overlay of {found['lots']:,} lots", _lines(found["overlay"]))
    for release in found["releases"]:
        output.table(f"A drift of {release['drift_m']} m", _lines({**release, "kinds": _named(release["kinds"])}))


@app.command()
def counties(
    first: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the first county.")] = 1_000_000,
    others: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of each further county.")] = 50_000,
    count: Annotated[int, typer.Option(min=1, help="Number of further counties.")] = 5,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Sync a large county, then small ones into its database; compare each with the same county alone."""
    found = _load("counties").measure(first, others, count, _server(), bootstrap.settings().home, output.line)
    if not json:
        output.table(f"Counties of {others:,} parcels beside one of {first:,}", found["counties"])
        output.table("Times the same county alone", found["ratios"])
    slow = [str(each["variant"]) for each in found["ratios"] if not each["kept"]]
    errors = [
        f"{each}: slower with other counties in the database than the limit allows; repeat it on an idle machine"
        for each in slow
    ]
    output.finish(found if json else None, errors)


def _named(kinds: dict[tuple[str, str], int]) -> dict[str, int]:
    return {f"{kind}, {state}": int(count) for (kind, state), count in kinds.items()}


def _lines(figures: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"figure": name.replace("_", " "), "value": str(value)} for name, value in figures.items()]
