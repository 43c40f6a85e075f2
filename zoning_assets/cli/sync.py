"""`zoning sync` and `zoning replay`. If `zoning up` is running, its daemon executes the runs, else this process does.

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
from zoning_assets.jurisdictions.locations import Location, Locations
from zoning_assets.model import PARCELS, ZONING, Jurisdiction
from zoning_assets.storage import run_broker
from zoning_assets.storage.postgis import process_locks
from zoning_assets.storage.postgis.records import change_feed_queries
from zoning_assets.storage.postgis.records.status_queries import known, rejections
from zoning_assets.storage.postgis.sessions import close_idle

if TYPE_CHECKING:
    import dagster as dg

    from zoning_assets.defs.sync_runs import Materialize, Sync
    from zoning_assets.http import ResponseCaches


def sync(
    ids: Annotated[list[str], typer.Argument(metavar="JURISDICTION...", help="The jurisdictions' ids.")],
    tile: Annotated[str | None, typer.Option(help="Only this H3 tile of the parcels.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Compute the tiles again and fetch all of them, even if nothing changed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Harvest, normalize, validate and publish."""
    _report(run(ids, tile=tile, feed=feed, force=force), json=json)


def replay(
    ids: Annotated[list[str], typer.Argument(metavar="JURISDICTION...", help="The jurisdictions' ids.")],
    tile: Annotated[str | None, typer.Option(help="Only this H3 tile of the parcels.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Publish the last harvest again with the current rules and fixes, without requests to a portal."""
    _report(run(ids, tile=tile, feed=feed, is_replay=True), json=json)


def _report(result: sync_summary.SyncResult, *, json: bool) -> None:
    """Show the result; exit status 1 if a partition failed."""
    if not json:
        sync_summary.show(result)
    output.finish(result.as_dict() if json else None, result.errors)


def run(
    ids: Sequence[str],
    *,
    tile: str | None = None,
    feed: str | None = None,
    force: bool = False,
    is_replay: bool = False,
) -> sync_summary.SyncResult:
    """Harvest and publish jurisdictions, or publish their stored harvests again.

    Args:
        ids: the ids of the jurisdictions.
        tile: only this H3 tile of the parcels.
        feed: only this feed.
        force: compute the tiles again and fetch all of them.
        is_replay: publish the stored harvests again.

    Raises:
        WrongUsage: a jurisdiction, a tile or a feed is invalid.
        DatabaseUnavailable: there is no database.
    """
    wanted = [bootstrap.jurisdiction(each) for each in dict.fromkeys(ids)]
    if feed not in (None, PARCELS, ZONING):
        raise SettingInvalid(f"{feed!r} is not a feed", where="--feed", do=f"choose {PARCELS} or {ZONING}")
    if tile is not None:
        _check_tile(tile)
    bootstrap.check_store()
    with progress.working("Starting"):
        url = bootstrap.bring_up_database()
        bootstrap.prepare_dagster()
        started, before = change_feed_queries.now(url), known(url)
    kept: ResponseCaches = {}
    name = "replay" if is_replay else "sync"
    reports = list[dict[str, Any]]()
    with ExitStack() as stack:
        stack.callback(close_idle)
        dagster = cache(partial(stack.enter_context, _dagster(url, wanted, kept, name, force=force)))
        for each in wanted:
            steps = _Steps(url, each, kept, dagster, tile, is_replay=is_replay, force=force)
            reports += steps.all(feed)
    changes = [_changes(url, each.id, started, is_first=each.id not in before) for each in wanted]
    return sync_summary.SyncResult(reports, changes)


@dataclass(frozen=True)
class _Steps:
    """The steps of one jurisdiction: its feeds, then parcel zoning and changes. Without work a step starts no run."""

    url: str
    jurisdiction: Jurisdiction
    kept: "ResponseCaches"
    dagster: "Callable[[], Callable[[Jurisdiction], Sync]]"  # the first call imports Dagster
    tile: str | None
    is_replay: bool
    force: bool

    def all(self, feed: str | None) -> list[dict[str, Any]]:
        """Run the steps, and return the reports of the partitions. `feed`: only this feed; None: all."""
        feeds = [name for name in (PARCELS, ZONING) if name in self.jurisdiction.feeds and feed in (None, name)]
        reports, is_compared = self._parcels() if PARCELS in feeds else [], False
        if ZONING in feeds and not self.tile:
            districts, is_compared = self._zoning()
            reports += districts
        is_published = any(report["complete"] for report in reports)
        if is_published and not is_compared and not (self._checks_first and self._is_current()):
            reports += self._runs.changes()
        if not reports and not self.is_replay:
            do = f"add a table [feeds.{feed}] to the file"
            raise SettingInvalid(f"it has no feed {feed!r}", where=self.jurisdiction.file, do=do)
        return reports

    @property
    def _runs(self) -> "Sync":
        return self.dagster()(self.jurisdiction)

    @property
    def _checks_first(self) -> bool:
        """Whether unchanged feeds are skipped."""
        return not (self.is_replay or self.force or self.tile)

    def _parcels(self) -> list[dict[str, Any]]:
        tiles = [self.tile] if self.tile else []
        return self._unchanged(PARCELS) or self._runs.parcels(tiles, is_replay=self.is_replay)

    def _zoning(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the reports, and whether shares and changes were computed in the same run."""
        if unchanged := self._unchanged(ZONING):
            return unchanged, False
        return self._runs.zoning(is_replay=self.is_replay)

    def _unchanged(self, feed: str) -> list[dict[str, Any]]:
        return sync_check.find(self.url, self.jurisdiction, feed, self.kept) if self._checks_first else []

    def _is_current(self) -> bool:
        return sync_check.is_current(self.url, self.jurisdiction)


@contextmanager
def _dagster(
    url: str, wanted: Sequence[Jurisdiction], kept: "ResponseCaches", name: str, *, force: bool
) -> "Iterator[Callable[[Jurisdiction], Sync]]":
    """Import and open Dagster; yield a function that returns the runs of a jurisdiction. `name`: of the command."""
    with ExitStack() as stack:
        with progress.working("Starting Dagster"):
            from zoning_assets.defs import webserver  # noqa: PLC0415
            from zoning_assets.pipeline.workers.worker_pool import preload  # noqa: PLC0415

            if webserver.announcement(Path(os.environ["DAGSTER_HOME"])) is None:
                preload()  # without `zoning up`; the workers' modules are imported while this process imports Dagster
            from zoning_assets.defs import dagster_instance, sync_runs  # noqa: PLC0415 - it takes a second

            instance = stack.enter_context(bootstrap.dagster_instance())
            command = f"{name} {secrets.token_hex(8)}"
            submit = _submitted(url, wanted, instance, command)
            if submit:
                stack.enter_context(process_locks.holding(url, command))
            ours = instance if submit else stack.enter_context(dagster_instance.without_captured_output(instance))
            here = cache(partial(_in_process, kept, ours))
            locations = Locations.of(bootstrap.settings().locations)

        def runs(each: Jurisdiction) -> "Sync":
            location = locations.find(each.id)
            materialize = submit or here(location)
            return sync_runs.Sync(materialize, instance, each, force=force, watch=_progress, location=location)

        yield runs


def _submitted(
    url: str, wanted: Sequence[Jurisdiction], instance: "dg.DagsterInstance", command: str
) -> "Materialize | None":
    """Return what submits runs to a running `zoning up`; None: there is none for this Dagster storage."""
    from zoning_assets.defs import run_queue, submitted_runs  # noqa: PLC0415

    home, settings = Path(os.environ["DAGSTER_HOME"]), bootstrap.settings_digest()
    queue = run_queue.find(home, instance, settings, command)
    if queue is None:
        if run_broker.find(os.environ):
            output.line("No `zoning up` with these settings runs on this machine: this process makes the runs itself")
        return None
    output.line(f"The daemon of `zoning up` executes the runs: {queue.webserver.address}/runs")
    locations = Locations.of(bootstrap.settings().locations)
    submission = submitted_runs.Submission(queue, {each.id: each for each in wanted}, url, locations)
    return partial(submitted_runs.materialize, submission)


def _in_process(kept: "ResponseCaches", instance: "dg.DagsterInstance", location: Location) -> "Materialize":
    """Return what makes runs of a group in this process. `kept`: portal answers that need not be asked for again."""
    from zoning_assets.defs import build, in_process_runs  # noqa: PLC0415 - it takes seconds

    definitions = build.definitions(bootstrap.settings(), kept, location)
    return partial(in_process_runs.materialize, definitions, instance, location=location)


def _check_tile(tile: str) -> None:
    from zoning_assets.transform.geometry.h3_cells import is_tile  # noqa: PLC0415 - imports H3 and shapely

    if not is_tile(tile):
        raise SettingInvalid(f"{tile!r} is not an H3 cell", where="--tile", do="use a tile of the asset `tiles`")


def _changes(url: str, jurisdiction: str, started: datetime, *, is_first: bool) -> sync_summary.SyncChanges:
    kinds = change_feed_queries.kinds(url, jurisdiction, started)
    held_back = rejections(url).get(jurisdiction, {}).get("open", 0)
    return sync_summary.SyncChanges(jurisdiction, started, is_first, kinds, held_back)


@contextmanager
def _progress(what: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Show a progress bar for several steps, else a spinner."""
    if steps == 1:
        with progress.working(what):
            yield lambda _: None
        return
    with progress.progress(what, steps) as bar:
        yield bar.step
