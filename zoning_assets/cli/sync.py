"""`zoning sync`: materialize through Dagster, in this process, recorded in the same instance."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from zoning_assets import jurisdictions
from zoning_assets.cli import environment, show
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import PARCELS, ZONING, Jurisdiction, Place
from zoning_assets.transform.tiles import is_tile

_COUNTS = ("fetched", "accepted", "rejected", "repaired", "added", "changed", "unchanged", "retired")
_COSTS = ("requests", "bytes", "seconds")


def sync(
    ids: Annotated[list[str], typer.Argument(metavar="JURISDICTION...", help="Which jurisdictions.")],
    tile: Annotated[str | None, typer.Option(help="Only this H3 tile of the parcels.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Look for the tiles anew though nothing seems changed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Harvest, normalize, validate and publish."""
    reports = run(ids, tile=tile, feed=feed, force=force)
    if json:
        show.document({"harvests": reports})
    else:
        show_reports(reports)
    if not all(report["complete"] for report in reports):
        raise typer.Exit(1)


def run(
    ids: Sequence[str], *, tile: str | None = None, feed: str | None = None, force: bool = False
) -> list[dict[str, Any]]:
    """Bring jurisdictions up to date; one report for each partition.

    Raises:
        WrongUsage: a jurisdiction, a tile or a feed is not what it should be.
        DatabaseUnavailable: there is no database.
    """
    wanted = [_load(each) for each in dict.fromkeys(ids)]
    if feed not in (None, PARCELS, ZONING):
        raise SettingInvalid(f"{feed!r} is no feed", where="--feed", do=f"choose {PARCELS} or {ZONING}")
    if tile is not None and not is_tile(tile):
        raise SettingInvalid(f"{tile!r} is no H3 cell", where="--tile", do="take one that `tiles` found")
    environment.check_store()
    environment.bring_up_database()
    with environment.dagster_instance() as instance:
        return [report for each in wanted for report in _Runs(instance, each, force=force).all(tile, feed)]


def _load(jurisdiction: str) -> Jurisdiction:
    from zoning_assets.feeds import FEED_TYPES  # noqa: PLC0415

    return jurisdictions.load(jurisdiction, environment.settings().jurisdictions, FEED_TYPES)


class _Runs:
    """The runs of one jurisdiction."""

    def __init__(self, instance: Any, jurisdiction: Jurisdiction, *, force: bool) -> None:
        from zoning_assets.orchestration import build, partitions, runs  # noqa: PLC0415

        self.instance, self.jurisdiction, self.force = instance, jurisdiction, force
        self.partitions, self.runs = partitions, runs
        self.definitions = build.definitions(environment.settings())

    def all(self, tile: str | None, feed: str | None) -> list[dict[str, Any]]:
        """Tiles and parcels, then districts, as far as they are wanted and there are such feeds."""
        feeds = [name for name in (PARCELS, ZONING) if name in self.jurisdiction.feeds and feed in (None, name)]
        reports: list[dict[str, Any]] = []
        if PARCELS in feeds:
            reports += self._parcels(tile)
        if ZONING in feeds and tile is None:
            reports += self._run(["districts"], [self.jurisdiction.id], ZONING)
        reports += self._judge() if any(report["complete"] for report in reports) else []
        if not reports:
            raise SettingInvalid(
                f"it has no feed {feed!r}", where=self.jurisdiction.file, do=f"add a table [feeds.{feed}] to the file"
            )
        return reports

    def _parcels(self, tile: str | None) -> list[dict[str, Any]]:
        tags = {self.runs.FORCE: "true"} if self.force else {}
        found = self.runs.materialize(self.definitions, self.instance, ["tiles"], [self.jurisdiction.id], tags=tags)
        if found.failed:
            return [_failed(Place(self.jurisdiction.id), PARCELS, next(iter(found.failed.values())))]
        keys = self.partitions.keys_of(self.instance, self.jurisdiction.id)
        if tile is not None:
            wanted = self.partitions.key_of(Place(self.jurisdiction.id, tile))
            if wanted not in keys:
                raise SettingInvalid(
                    f"{tile} is none of the tiles of {self.jurisdiction.id}",
                    where="--tile",
                    do=f"choose one of: {', '.join(key.split(':')[1] for key in keys[:12])}",
                )
            keys = [wanted]
        return self._run(["raw_feed", "normalized", "validated", "parcels"], keys, PARCELS)

    def _judge(self) -> list[dict[str, Any]]:
        """Shares and changes; a report only where they failed, as they are no harvest."""
        show.line(f"{self.jurisdiction.id}: zoning of each parcel, and what really changed")
        result = self.runs.materialize(
            self.definitions, self.instance, ["parcel_zoning", "changes"], [self.jurisdiction.id]
        )
        return [_failed(Place(self.jurisdiction.id), "changes", why) for why in result.failed.values()]

    def _run(self, assets: list[str], keys: list[str], feed: str) -> list[dict[str, Any]]:
        with show.progress(f"{self.jurisdiction.id} {feed}", len(keys)) as bar:
            result = self.runs.materialize(self.definitions, self.instance, assets, keys, progress=bar.step)
        done = [_report(self.partitions.place_of(key), feed, said) for key, said in sorted(result.done.items())]
        return done + [_failed(self.partitions.place_of(key), feed, why) for key, why in sorted(result.failed.items())]


def _report(place: Place, feed: str, said: dict[str, Any]) -> dict[str, Any]:
    counts = {name: said[name] for name in (*_COUNTS, *_COSTS, "content_hash")}
    return {"jurisdiction": place.jurisdiction, "tile": place.tile, "feed": feed, **counts, "complete": True}


def _failed(place: Place, feed: str, error: str) -> dict[str, Any]:
    nothing = {**dict.fromkeys((*_COUNTS, *_COSTS), 0), "content_hash": None}
    where = {"jurisdiction": place.jurisdiction, "tile": place.tile, "feed": feed}
    return {**where, **nothing, "complete": False, "error": error}


def show_reports(reports: Sequence[dict[str, Any]], title: str = "Published") -> None:
    """The reports as a table, and each error as a line."""
    good = [report for report in reports if report["complete"]]
    rows = [{"feed": r["feed"], "tile": r["tile"] or "whole", **{n: r[n] for n in (*_COUNTS, "seconds")}} for r in good]
    totals = {name: sum(report[name] for report in good) for name in _COUNTS}
    show.table(title, [*rows, {"feed": "total", "tile": "", **totals, "seconds": ""}] if len(rows) > 1 else rows)
    for report in reports:
        if not report["complete"]:
            show.line(f"zoning: {report['error']}")
