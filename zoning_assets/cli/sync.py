"""`zoning sync`: materialize through Dagster, in this process, recorded in the same instance."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoning_assets.cli import environment, progress, show, sync_look, sync_report
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import PARCELS, ZONING, Jurisdiction
from zoning_assets.stores import change_feed
from zoning_assets.stores.status import known, rejections

if TYPE_CHECKING:
    from zoning_assets.http import Kept
    from zoning_assets.orchestration.syncing import Sync


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


def _told(done: sync_report.Done, *, json: bool) -> None:
    """Show what was done; exit status 1 where a partition failed."""
    if not json:
        sync_report.tell(done)
    show.finish(done.as_dict() if json else None, done.errors)


def run(
    ids: Sequence[str],
    *,
    tile: str | None = None,
    feed: str | None = None,
    force: bool = False,
    is_replay: bool = False,
) -> sync_report.Done:
    """Bring jurisdictions up to date, or only publish anew what is kept of them.

    Raises:
        WrongUsage: a jurisdiction, a tile or a feed is not what it should be.
        DatabaseUnavailable: there is no database.
    """
    wanted = [environment.jurisdiction(each) for each in dict.fromkeys(ids)]
    if feed not in (None, PARCELS, ZONING):
        raise SettingInvalid(f"{feed!r} is no feed", where="--feed", do=f"choose {PARCELS} or {ZONING}")
    if tile is not None:
        _check_tile(tile)
    environment.check_store()
    with progress.working("Starting"):
        url = environment.bring_up_database()
        began, before = change_feed.now(url), known(url)
    kept: Kept = {}
    reports = list[dict[str, Any]]()
    with ExitStack() as stack:
        dagster = cache(partial(stack.enter_context, _dagster(kept, force=force)))
        for each in wanted:
            unchanged = [] if is_replay or force or tile else sync_look.look(url, each, feed, kept)
            reports += unchanged or _run(dagster()(each), tile, feed, is_replay=is_replay)
    news = [_news(url, each.id, began, is_first=each.id not in before) for each in wanted]
    return sync_report.Done(reports, news)


def _run(sync: "Sync", tile: str | None, feed: str | None, *, is_replay: bool) -> list[dict[str, Any]]:
    return (sync.replay if is_replay else sync.all)([tile] if tile else (), feed)


@contextmanager
def _dagster(kept: "Kept", *, force: bool) -> "Iterator[Callable[[Jurisdiction], Sync]]":
    """What makes the runs of a jurisdiction; Dagster is imported and opened when the block begins."""
    with ExitStack() as stack:
        with progress.working("Starting Dagster"):
            from zoning_assets.orchestration import build, syncing  # noqa: PLC0415 - it takes seconds

            definitions = build.definitions(environment.settings(), kept)
            instance = stack.enter_context(environment.dagster_instance())
        yield lambda each: syncing.Sync(definitions, instance, each, force=force, watch=_watched)


def _check_tile(tile: str) -> None:
    from zoning_assets.transform.tiles import is_tile  # noqa: PLC0415 - imports H3 and shapely

    if not is_tile(tile):
        raise SettingInvalid(f"{tile!r} is no H3 cell", where="--tile", do="take one that `tiles` found")


def _news(url: str, jurisdiction: str, began: datetime, *, is_first: bool) -> sync_report.News:
    kinds = change_feed.kinds(url, jurisdiction, began)
    held_back = rejections(url).get(jurisdiction, {}).get("open", 0)
    return sync_report.News(jurisdiction, began, is_first, kinds, held_back)


@contextmanager
def _watched(what: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A bar where there are several steps, else only that it goes on."""
    if steps == 1:
        with progress.working(what):
            yield lambda _: None
        return
    with progress.progress(what, steps) as bar:
        yield bar.step
