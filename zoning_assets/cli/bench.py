"""`zoning bench`: measurements, with units. They live in the repository's `benchmarks/`, which is not installed."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.bench_memory import memory
from zoning_assets.cli.bench_sync import sync
from zoning_assets.cli.benchmarks import load as _load
from zoning_assets.cli.benchmarks import server as _server
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid

app = typer.Typer(no_args_is_help=True)
app.command()(sync)
app.command()(memory)

_FEWEST = 1000


@app.callback()
def bench() -> None:
    """Measurements."""


@app.command()
def chaos(
    mixed: Annotated[int, typer.Option(min=0, help="Mixtures of faults beside each fault alone.")] = 0,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Every fault of a lying portal against every strategy: exactly the portal's rows, or refused by name."""
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
    """A week of twenty simulated portals on a clock of its own: every change in time, no portal asked too much."""
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
def pbf(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="How many parcels the layer has.")] = 50_000,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """The forms in which an ArcGIS server gives a page: bytes, seconds, and whether they say the same."""
    found = _load("pbf").measure(parcels, output.line)
    if not json:
        output.table(f"{parcels:,} parcels", found["forms"])
    output.finish(found if json else None, [] if found["equal"] else ["the forms do not say the same"])


@app.command()
def truth(*, json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Real cities whose changes are known: precision and recall."""
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
    lots: Annotated[int, typer.Option(min=4000, help="How large the town is.")] = 69_000,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """A synthetic town's year with known truth, under three drifts: overlay, rezonings, lineage."""
    found = _load("changes").measure(lots, output.line)
    if json:
        output.document({**found, "releases": [{**each, "kinds": _named(each["kinds"])} for each in found["releases"]]})
        return
    output.table(f"Overlay of {found['lots']:,} lots", _lines(found["overlay"]))
    for release in found["releases"]:
        output.table(f"A drift of {release['drift_m']} m", _lines({**release, "kinds": _named(release["kinds"])}))


@app.command()
def counties(
    first: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the county that is there before.")] = 1_000_000,
    others: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of each county that comes after it.")] = 50_000,
    count: Annotated[int, typer.Option(min=1, help="How many come after it.")] = 5,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Sync a large county, then small ones into its database; compare each with the same county alone."""
    found = _load("counties").measure(first, others, count, _server(), bootstrap.settings().home, output.line)
    if not json:
        output.table(f"Counties of {others:,} parcels beside one of {first:,}", found["counties"])
        output.table("Times the same county alone", found["ratios"])
    slow = [str(each["variant"]) for each in found["ratios"] if not each["kept"]]
    errors = [f"{each}: slower beside other counties than is promised; repeat it on a quiet machine" for each in slow]
    output.finish(found if json else None, errors)


def _named(kinds: dict[tuple[str, str], int]) -> dict[str, int]:
    return {f"{kind}, {state}": int(count) for (kind, state), count in kinds.items()}


def _lines(figures: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"figure": name.replace("_", " "), "value": str(value)} for name, value in figures.items()]
