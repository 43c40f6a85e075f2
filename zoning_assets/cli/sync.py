"""`zoning sync`: materialize through Dagster, in this process, recorded in the same instance."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output, progress, sync_summary
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.postgis.records import change_feed_queries
from zoning_assets.storage.postgis.records.status_queries import known, rejections


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
    _told(run(ids, tile=tile, feed=feed, force=force), json=json)


def replay(
    ids: Annotated[list[str], typer.Argument(metavar="JURISDICTION...", help="Which jurisdictions.")],
    tile: Annotated[str | None, typer.Option(help="Only this H3 tile of the parcels.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Publish what was harvested last under today's rules and fixes; no portal is asked."""
    _told(run(ids, tile=tile, feed=feed, is_replay=True), json=json)


def _told(done: sync_summary.Done, *, json: bool) -> None:
    """Show what was done; exit status 1 where a partition failed."""
    if not json:
        sync_summary.tell(done)
    output.finish(done.as_dict() if json else None, done.errors)


def run(
    ids: Sequence[str],
    *,
    tile: str | None = None,
    feed: str | None = None,
    force: bool = False,
    is_replay: bool = False,
) -> sync_summary.Done:
    """Bring jurisdictions up to date, or only publish anew what is kept of them.

    Raises:
        WrongUsage: a jurisdiction, a tile or a feed is not what it should be.
        DatabaseUnavailable: there is no database.
    """
    wanted = [bootstrap.jurisdiction(each) for each in dict.fromkeys(ids)]
    if feed not in (None, PARCELS, ZONING):
        raise SettingInvalid(f"{feed!r} is no feed", where="--feed", do=f"choose {PARCELS} or {ZONING}")
    if tile is not None:
        _check_tile(tile)
    bootstrap.check_store()
    with progress.working("Starting"):
        url = bootstrap.bring_up_database()
        began, before = change_feed_queries.now(url), known(url)
        from zoning_assets.defs import build, sync_runs  # noqa: PLC0415 - it takes seconds

        definitions = build.definitions(bootstrap.settings())
    with bootstrap.dagster_instance() as instance:
        syncs = [sync_runs.Sync(definitions, instance, each, force=force, watch=_watched) for each in wanted]
        reports = ((each.replay if is_replay else each.all)([tile] if tile else (), feed) for each in syncs)
        found = [report for some in reports for report in some]
    news = [_news(url, each.id, began, is_first=each.id not in before) for each in wanted]
    return sync_summary.Done(found, news)


def _check_tile(tile: str) -> None:
    from zoning_assets.transform.geometry.h3_tiles import is_tile  # noqa: PLC0415 - imports H3 and shapely

    if not is_tile(tile):
        raise SettingInvalid(f"{tile!r} is no H3 cell", where="--tile", do="take one that `tiles` found")


def _news(url: str, jurisdiction: str, began: datetime, *, is_first: bool) -> sync_summary.News:
    kinds = change_feed_queries.kinds(url, jurisdiction, began)
    held_back = rejections(url).get(jurisdiction, {}).get("open", 0)
    return sync_summary.News(jurisdiction, began, is_first, kinds, held_back)


@contextmanager
def _watched(what: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A bar where there are several steps, else only that it goes on."""
    if steps == 1:
        with progress.working(what):
            yield lambda _: None
        return
    with progress.progress(what, steps) as bar:
        yield bar.step
