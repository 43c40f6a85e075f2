"""The summary of a sync: rows of each feed, changes, rejected rows, and the commands that show them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from zoning_assets.cli.display import output
from zoning_assets.model import COUNTED, PARCELS, ZONING

#: Kinds of changes that are counted in parcels. The others are counted in changes: each has several parcels or none.
_OF_PARCELS = ("rezoned", "partly_rezoned", "reverted", "reinstated", "reshaped", "adjusted", "added", "retired")


@dataclass(frozen=True)
class SyncChanges:
    """The changes of one jurisdiction. `is_first`: it was never published before."""

    jurisdiction: str
    since: datetime
    is_first: bool
    kinds: Sequence[dict[str, Any]]  # kind, changes, parcels
    held_back: int  # number of open rejected rows

    def as_dict(self) -> dict[str, Any]:
        """Return the part of `zoning sync --json`."""
        kinds = {each["kind"]: each["changes"] for each in self.kinds}
        return {**asdict(self), "since": _iso_seconds(self.since), "kinds": kinds}


@dataclass(frozen=True)
class SyncResult:
    """The result of a sync: a report for each partition, and the changes of each jurisdiction."""

    reports: list[dict[str, Any]]
    changes: list[SyncChanges]

    @property
    def errors(self) -> list[str]:
        """The errors of failed partitions."""
        return [report["error"] for report in self.reports if not report["complete"]]

    def as_dict(self) -> dict[str, Any]:
        """Return the part of `zoning sync --json`."""
        return {"harvests": self.reports, "changes": [each.as_dict() for each in self.changes]}


def show(result: SyncResult) -> None:
    """Print a table and some lines for each jurisdiction."""
    for each in result.changes:
        mine = [report for report in result.reports if report["jurisdiction"] == each.jurisdiction]
        output.table(f"{each.jurisdiction}: published", rows_of(mine))
        for line in (*remarks_of(mine), *lines_of(each, is_complete=all(report["complete"] for report in mine))):
            output.result_line(line)


def rows_of(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each count, with a column for each feed. Tiles are summed up."""
    feeds = {name: [each for each in reports if each["feed"] == name] for name in (PARCELS, ZONING)}
    feeds = {name: each for name, each in feeds.items() if any(report["complete"] for report in each)}
    if not feeds:
        return []
    return [
        {"rows": "tiles", **{name: _tiles(each) for name, each in feeds.items()}},
        *(
            {"rows": count, **{name: sum(report[count] for report in each) for name, each in feeds.items()}}
            for count in (*COUNTED, "requests")
        ),
    ]


def remarks_of(reports: Sequence[dict[str, Any]]) -> list[str]:
    """Return distinct remarks about the input: inexact transformations, and parts that were not read."""
    lines = [f"{each['feed']}: {each['remark']}" for each in reports if "remark" in each]
    lines += [f"{each['feed']}: left out: {', '.join(each['left_out'])}" for each in reports if "left_out" in each]
    return list(dict.fromkeys(lines))


def _tiles(reports: Sequence[dict[str, Any]]) -> int | str | None:
    """Return how many tiles were published, of how many; None: the feed has no tiles."""
    done, tiles = sum(each["complete"] for each in reports), len(reports)
    if done < tiles:
        return f"{done:,} of {tiles:,}"
    return tiles if reports[0]["tile"] else None


def lines_of(changes: SyncChanges, *, is_complete: bool) -> list[str]:
    """Describe the changes and the rejected rows, each with the command that shows them."""
    name = changes.jurisdiction
    lines = [f"{name}: {_changed(changes, is_complete=is_complete)}"]
    if changes.kinds:
        lines.append(f"  zoning changes --jurisdiction {name} --since {_iso_seconds(changes.since)}")
    if changes.held_back:
        lines.append(f"{name}: {changes.held_back:,} row{'s' * (changes.held_back != 1)} rejected")
        lines.append(f"  zoning rejections {name}")
    return lines


def _changed(changes: SyncChanges, *, is_complete: bool) -> str:
    if changes.kinds:
        return ", ".join(map(_counted, changes.kinds))
    if not is_complete:
        return "some partitions failed; changes are computed when every partition is published"
    return "the first harvest: there is nothing to compare it with" if changes.is_first else "nothing changed"


def _counted(kind: dict[str, Any]) -> str:
    name = kind["kind"].replace("_", " ")
    if kind["kind"] in _OF_PARCELS and kind["parcels"]:
        return f"{kind['parcels']:,} parcel{'s' * (kind['parcels'] != 1)} {name}"
    return f"{kind['changes']:,} {name}"


def _iso_seconds(time: datetime) -> str:
    """Format a time, rounded down to seconds, so that `--since` includes all later changes."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
