"""`zoning sync`: materialize through Dagster, in this process, recorded in the same instance."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from zoning_assets.cli import environment, show
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import COUNTED, PARCELS, ZONING
from zoning_assets.transform.tiles import is_tile


def sync(
    ids: Annotated[list[str], typer.Argument(metavar="JURISDICTION...", help="Which jurisdictions.")],
    tile: Annotated[str | None, typer.Option(help="Only this H3 tile of the parcels.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Look for the tiles anew, and fetch them all, though nothing seems changed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Harvest, normalize, validate and publish."""
    told(run(ids, tile=tile, feed=feed, force=force), json=json)


def replay(
    ids: Annotated[list[str], typer.Argument(metavar="JURISDICTION...", help="Which jurisdictions.")],
    tile: Annotated[str | None, typer.Option(help="Only this H3 tile of the parcels.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Publish what was harvested last under today's rules and fixes; no portal is asked."""
    told(run(ids, tile=tile, feed=feed, is_replay=True), json=json)


def told(reports: Sequence[dict[str, Any]], *, json: bool) -> None:
    """Show the reports; exit status 1 where one is of a failure."""
    if json:
        show.document({"harvests": reports})
    else:
        show_reports(reports)
    if not all(report["complete"] for report in reports):
        raise typer.Exit(1)


def run(
    ids: Sequence[str],
    *,
    tile: str | None = None,
    feed: str | None = None,
    force: bool = False,
    is_replay: bool = False,
) -> list[dict[str, Any]]:
    """Bring jurisdictions up to date, or only publish anew what is kept of them; one report for each partition.

    Raises:
        WrongUsage: a jurisdiction, a tile or a feed is not what it should be.
        DatabaseUnavailable: there is no database.
    """
    from zoning_assets.orchestration import build, syncing  # noqa: PLC0415

    wanted = [environment.jurisdiction(each) for each in dict.fromkeys(ids)]
    if feed not in (None, PARCELS, ZONING):
        raise SettingInvalid(f"{feed!r} is no feed", where="--feed", do=f"choose {PARCELS} or {ZONING}")
    if tile is not None and not is_tile(tile):
        raise SettingInvalid(f"{tile!r} is no H3 cell", where="--tile", do="take one that `tiles` found")
    environment.check_store()
    environment.bring_up_database()
    with environment.dagster_instance() as instance:
        definitions = build.definitions(environment.settings())
        syncs = [syncing.Sync(definitions, instance, each, force=force, watch=_watched) for each in wanted]
        reports = ((each.replay if is_replay else each.all)([tile] if tile else (), feed) for each in syncs)
        return [report for some in reports for report in some]


@contextmanager
def _watched(what: str, steps: int) -> Iterator[Callable[[str], None]]:
    with show.progress(what, steps) as bar:
        yield bar.step


def show_reports(reports: Sequence[dict[str, Any]], title: str = "Published") -> None:
    """The reports as a table, and each error as a line."""
    good = [report for report in reports if report["complete"]]
    rows = [{"feed": r["feed"], "tile": r["tile"] or "whole", **{n: r[n] for n in (*COUNTED, "seconds")}} for r in good]
    totals = {name: sum(report[name] for report in good) for name in COUNTED}
    show.table(title, [*rows, {"feed": "total", "tile": "", **totals, "seconds": ""}] if len(rows) > 1 else rows)
    for feed, remark in dict.fromkeys((r["feed"], r["remark"]) for r in good if "remark" in r):
        show.line(f"{feed}: {remark}")
    for error in dict.fromkeys(report["error"] for report in reports if not report["complete"]):
        show.line(f"zoning: {error}")
