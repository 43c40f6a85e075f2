"""`zoning demo`: harvest a simulated county twice, with changes in between."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap, sync
from zoning_assets.cli.display import output, progress, sync_summary

_FEWEST, _MOST = 200, 5_000_000  # the simulation needs a minimum for two towns; the county is built in memory


def demo(
    parcels: Annotated[int, typer.Option(min=_FEWEST, max=_MOST, help="Number of parcels of the county.")] = 3000,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Set everything up, harvest a simulated county, change it, harvest it again, and show what changed."""
    from zoning_assets.simulation.county.county import ID  # noqa: PLC0415
    from zoning_assets.simulation.portal.portal_process import switch_release  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.status_queries import published  # noqa: PLC0415

    started = time.monotonic()
    with progress.working("Starting"):
        url = bootstrap.bring_up_database()
    # If an earlier demo published the county, it has its second release already, and no new change is found.
    before = ID in published(url)
    known = {each["id"] for each in feed.find(url, jurisdiction=ID)}
    with _county(parcels, release=2 if before else 1) as portal:
        output.line(f"Harvest 1 of {ID}, a simulated county at {portal}")
        rounds = [sync.run([ID])]
        switch_release(portal, 2)
        output.line("The county has changed: rezonings, a split, a merge, and noise. Harvest 2")
        rounds.append(sync.run([ID]))
    reports = [report for each in rounds for report in each.reports]
    changes = [each for each in feed.find(url, jurisdiction=ID, state="event") if each["id"] not in known]
    seconds = round(time.monotonic() - started, 1)
    if not json:
        _show(rounds, changes, seconds)
    kinds = dict(Counter(each["kind"] for each in changes))
    document = {"harvests": reports, "changes": kinds, "seconds": seconds}
    output.finish(document if json else None, [error for each in rounds for error in each.errors])


@contextmanager
def _county(parcels: int, release: int) -> Iterator[str]:
    """The simulated portal, and a jurisdiction file that points to it."""
    from zoning_assets.simulation.county.county import ID, county_toml  # noqa: PLC0415
    from zoning_assets.simulation.portal.portal_process import serving  # noqa: PLC0415

    folder = bootstrap.settings().home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    with serving(parcels, release=release) as portal:
        (folder / f"{ID}.toml").write_text(county_toml(portal))
        os.environ["ZONING_JURISDICTIONS"] = str(folder)
        yield portal


def _show(rounds: list[sync_summary.SyncResult], changes: list[Any], seconds: float) -> None:
    for number, each in enumerate(rounds, 1):
        output.table(f"Published by harvest {number}", sync_summary.rows_of(each.reports))
    kinds = Counter(each["kind"] for each in changes)
    rows = [{"what": kind, "changes": n, "for example": _example(changes, kind)} for kind, n in sorted(kinds.items())]
    output.table("Changes between the harvests", rows or [{"what": "nothing", "changes": 0, "for example": ""}])
    good = [report for each in rounds for report in each.reports if report["complete"]]
    fetched, accepted, rejected = (sum(r[name] for r in good) for name in ("fetched", "accepted", "rejected"))
    output.line(
        f"Both harvests: fetched {fetched:,} = accepted {accepted:,} + rejected {rejected:,}; {seconds} s\n"
        "Where to look next:\n"
        "  ./zoning changes                what changed; `./zoning explain ID` says why\n"
        "  ./zoning rejections             rejected rows, with the reasons\n"
        "  ./zoning up                     Dagster's UI: assets, runs, pictures\n"
        "  ./zoning sync us-ma-cambridge   a real city\n"
        "  docs/how-to/add-a-county.md     a county of your own\n"
        "See the changes on the map: `./zoning serve`, then open http://127.0.0.1:8484"
    )


def _example(changes: list[dict[str, Any]], kind: str) -> str:
    first = next(each for each in changes if each["kind"] == kind)
    return f"{', '.join(first['parcel_ids'][:2])}: {first['old'] or '-'} -> {first['new'] or '-'}"
