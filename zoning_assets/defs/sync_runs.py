"""Updates a jurisdiction with a sequence of runs: tiles; parcels; districts, shares and changes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import dagster as dg

from zoning_assets.defs import in_process_runs, partitions
from zoning_assets.defs.run_results import Progress, Result
from zoning_assets.errors import SettingInvalid
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import CHANGES, COUNTED, PARCELS, ZONING, Jurisdiction, Place

_COSTS = ("requests", "bytes", "seconds")
_REPLAY = {in_process_runs.REPLAY: "true"}

#: Title and number of steps -> a callback for each completed step.
Watch = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]


class Materialize(Protocol):
    """Makes the runs: in this process (in_process_runs.py), or by the daemon (submitted_runs.py)."""

    def __call__(
        self,
        assets: Sequence[str],
        keys: Sequence[str],
        *,
        tags: Mapping[str, str] | None = None,
        progress: Progress = ...,
    ) -> Result:
        """Materialize assets for partitions of one jurisdiction."""


class Sync:
    """Runs of one jurisdiction, recorded in the same Dagster instance as runs of the UI."""

    def __init__(  # noqa: PLR0913 - what makes the runs, of what, and how they are shown
        self,
        materialize: Materialize,
        instance: dg.DagsterInstance,
        jurisdiction: Jurisdiction,
        *,
        force: bool,
        watch: Watch,
        location: Location = WHOLE,
    ) -> None:
        self.location = location
        self.materialize, self.instance, self.jurisdiction = materialize, instance, jurisdiction
        self.force, self.watch = force, watch

    def parcels(self, tiles: Sequence[str] = (), *, is_replay: bool) -> list[dict[str, Any]]:
        """Harvest and publish parcels; return a report of each tile.

        Args:
            tiles: only these; empty: all.
            is_replay: publish the last harvest again with the current rules and fixes, without requests to a portal.
        """
        if is_replay:
            return self._tiles(["normalized", "validated", "parcels"], tiles, _REPLAY)
        tags = {in_process_runs.FORCE: "true"} if self.force else {}
        with self.watch(f"{self.jurisdiction.id} parcels: finding the tiles", 1) as step:
            found = self.materialize(["tiles"], [self.jurisdiction.id], tags=tags, progress=step)
        if found.failed:
            return [_failed(Place(self.jurisdiction.id), PARCELS, next(iter(found.failed.values())))]
        reports = self._tiles(["raw_feed", "normalized", "validated", "parcels"], tiles)
        return _with_costs(reports, found.done[self.jurisdiction.id])

    def _keys(self, tiles: Sequence[str]) -> list[str]:
        """Return the partitions of these tiles; empty: of all tiles."""
        keys = partitions.keys_of(self.instance, self.jurisdiction.id, self.location)
        wanted = {partitions.key_of(Place(self.jurisdiction.id, tile)) for tile in tiles}
        gone = sorted(wanted - set(keys))
        if gone:
            raise SettingInvalid(
                f"{gone[0].split(':')[1]} is not a tile of {self.jurisdiction.id}",
                where="--tile",
                do=f"choose one of: {', '.join(key.split(':')[1] for key in keys[:12])}",
            )
        return sorted(wanted) or keys

    def zoning(self, *, is_replay: bool) -> tuple[list[dict[str, Any]], bool]:
        """Harvest and publish districts, then compute shares and changes, in one run. `is_replay`: see `parcels`.

        Returns:
            the reports, and whether the districts were published. If not, shares and changes were not computed.
        """
        id_, tags = self.jurisdiction.id, _REPLAY if is_replay else {}
        with self.watch(f"{id_} zoning, and changes", 1) as step:
            result = self.materialize(["districts", "parcel_zoning", CHANGES], [id_], tags=tags, progress=step)
        is_published = id_ in result.first
        reports = [_report(Place(id_), ZONING, values) for values in result.first.values()]
        failed = CHANGES if is_published else ZONING
        return reports + [_failed(Place(id_), failed, why) for why in result.failed.values()], is_published

    def changes(self) -> list[dict[str, Any]]:
        """Compute shares and changes. Return a report only for failures, because this step harvests nothing."""
        with self.watch(f"{self.jurisdiction.id}: zoning of each parcel, and changes", 1) as step:
            result = self.materialize(["parcel_zoning", CHANGES], [self.jurisdiction.id], progress=step)
        return [_failed(Place(self.jurisdiction.id), CHANGES, why) for why in result.failed.values()]

    def _tiles(
        self, assets: list[str], tiles: Sequence[str], tags: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        keys = self._keys(tiles)
        with self.watch(f"{self.jurisdiction.id} {PARCELS}", len(keys)) as step:
            result = self.materialize(assets, keys, tags=tags, progress=step)
        done = [_report(partitions.place_of(key), PARCELS, values) for key, values in sorted(result.done.items())]
        return done + [_failed(partitions.place_of(key), PARCELS, why) for key, why in sorted(result.failed.items())]


def _with_costs(reports: list[dict[str, Any]], tiles: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the reports of tiles. The cost of the layer's harvest is added to the first report only."""
    for report in reports[:1]:
        report |= {name: report[name] + tiles[name] for name in _COSTS}
    return reports


def _report(place: Place, feed: str, values: dict[str, Any]) -> dict[str, Any]:
    counts = {name: values[name] for name in (*COUNTED, *_COSTS, "content_hash")}
    remarks = {name: values[name] for name in ("remark", "left_out") if values.get(name)}
    return {"jurisdiction": place.jurisdiction, "tile": place.tile, "feed": feed, **counts, **remarks, "complete": True}


def _failed(place: Place, feed: str, error: str) -> dict[str, Any]:
    nothing = {**dict.fromkeys((*COUNTED, *_COSTS), 0), "content_hash": None}
    where = {"jurisdiction": place.jurisdiction, "tile": place.tile, "feed": feed}
    return {**where, **nothing, "complete": False, "error": error}
