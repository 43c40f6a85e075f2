"""`zoning sync`: materialize through Dagster: by the daemon of a running `zoning up`, else in this process.

Runs are recorded in the same Dagster instance in both cases, and the command reports the same.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoning_assets.cli import bootstrap, sync_check
from zoning_assets.cli.display import output, progress, sync_summary
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import PARCELS, ZONING, Jurisdiction
from zoning_assets.storage.postgis.records import change_feed_queries
from zoning_assets.storage.postgis.records.status_queries import known, rejections
from zoning_assets.storage.postgis.sessions import close_idle

if TYPE_CHECKING:
    import dagster as dg

    from zoning_assets.defs.sync_runs import Materialize, Sync
    from zoning_assets.http import Kept


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
        bootstrap.prepare_dagster()
        began, before = change_feed_queries.now(url), known(url)
    kept: Kept = {}
    reports = list[dict[str, Any]]()
    with ExitStack() as stack:
        stack.callback(close_idle)
        dagster = cache(partial(stack.enter_context, _dagster(url, wanted, kept, force=force)))
        for each in wanted:
            steps = _Steps(url, each, kept, dagster, tile, is_replay=is_replay, force=force)
            reports += steps.all(feed)
    news = [_news(url, each.id, began, is_first=each.id not in before) for each in wanted]
    return sync_summary.Done(reports, news)


@dataclass(frozen=True)
class _Steps:
    """The steps of one jurisdiction: its feeds, then shares and changes. A step that has nothing to do is no run."""

    url: str
    jurisdiction: Jurisdiction
    kept: "Kept"
    dagster: "Callable[[], Callable[[Jurisdiction], Sync]]"  # imports it when it is called first
    tile: str | None
    is_replay: bool
    force: bool

    def all(self, feed: str | None) -> list[dict[str, Any]]:
        """The reports of its partitions. `feed`: just this one; None: all."""
        feeds = [name for name in (PARCELS, ZONING) if name in self.jurisdiction.feeds and feed in (None, name)]
        reports = [report for name in feeds if not (self.tile and name == ZONING) for report in self._of(name)]
        if any(report["complete"] for report in reports) and not (self._looks and self._is_told()):
            reports += self._runs.changes()
        if not reports and not self.is_replay:
            do = f"add a table [feeds.{feed}] to the file"
            raise SettingInvalid(f"it has no feed {feed!r}", where=self.jurisdiction.file, do=do)
        return reports

    @property
    def _runs(self) -> "Sync":
        return self.dagster()(self.jurisdiction)

    @property
    def _looks(self) -> bool:
        """Whether what has not changed is left alone."""
        return not (self.is_replay or self.force or self.tile)

    def _of(self, feed: str) -> list[dict[str, Any]]:
        tiles = [self.tile] if self.tile else []
        if self.is_replay:
            return self._runs.replay(feed, tiles)
        unchanged = sync_check.find(self.url, self.jurisdiction, feed, self.kept) if self._looks else []
        return unchanged or self._runs.feed(feed, tiles)

    def _is_told(self) -> bool:
        return sync_check.is_told(self.url, self.jurisdiction)


@contextmanager
def _dagster(
    url: str, wanted: Sequence[Jurisdiction], kept: "Kept", *, force: bool
) -> "Iterator[Callable[[Jurisdiction], Sync]]":
    """What makes the runs of a jurisdiction; Dagster is imported and opened when the block begins."""
    with ExitStack() as stack:
        with progress.working("Starting Dagster"):
            from zoning_assets.defs import sync_runs  # noqa: PLC0415 - it takes a second

            instance = stack.enter_context(bootstrap.dagster_instance())
            materialize = _submitted(url, wanted, instance) or _in_process(kept, instance)
        yield lambda each: sync_runs.Sync(materialize, instance, each, force=force, watch=_watched)


def _submitted(url: str, wanted: Sequence[Jurisdiction], instance: "dg.DagsterInstance") -> "Materialize | None":
    """Return what submits runs to a running `zoning up`; None: there is none for this Dagster storage."""
    from zoning_assets.defs import run_queue, submitted_runs  # noqa: PLC0415

    home, settings = Path(os.environ["DAGSTER_HOME"]), bootstrap.settings_digest()
    queue = run_queue.find(home, instance, settings, command=f"sync {secrets.token_hex(4)}")
    if queue is None:
        return None
    output.line(f"The daemon of `zoning up` makes the runs: {queue.webserver.address}/runs")
    return partial(
        submitted_runs.materialize, submitted_runs.Submission(queue, {each.id: each for each in wanted}, url)
    )


def _in_process(kept: "Kept", instance: "dg.DagsterInstance") -> "Materialize":
    """Return what makes runs in this process. `kept`: portal answers that the runs need not ask for again."""
    from zoning_assets.defs import build, in_process_runs  # noqa: PLC0415 - it takes seconds

    return partial(in_process_runs.materialize, build.definitions(bootstrap.settings(), kept), instance)


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
