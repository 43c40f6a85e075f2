"""What a sync ends with: the rows of each feed, what changed, what is held back, and the commands that show it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from zoning_assets.cli.display import output
from zoning_assets.model import COUNTED, PARCELS, ZONING

#: Kinds that are counted in parcels; the others are counted in changes, as each has several parcels or none.
_OF_PARCELS = ("rezoned", "partly_rezoned", "reverted", "reinstated", "reshaped", "adjusted", "added", "retired")


@dataclass(frozen=True)
class SyncChanges:
    """What a sync changed in a jurisdiction. `is_first`: nothing was published of it before."""

    jurisdiction: str
    since: datetime
    is_first: bool
    kinds: Sequence[dict[str, Any]]  # kind, changes, parcels
    held_back: int  # rows, open today

    def as_dict(self) -> dict[str, Any]:
        """As `zoning sync --json` has it."""
        kinds = {each["kind"]: each["changes"] for each in self.kinds}
        return {**asdict(self), "since": _exact(self.since), "kinds": kinds}


@dataclass(frozen=True)
class SyncResult:
    """A sync's end: a report for each partition, and news of each jurisdiction."""

    reports: list[dict[str, Any]]
    news: list[SyncChanges]

    @property
    def errors(self) -> list[str]:
        """Why partitions failed."""
        return [report["error"] for report in self.reports if not report["complete"]]

    def as_dict(self) -> dict[str, Any]:
        """As `zoning sync --json` has it."""
        return {"harvests": self.reports, "changes": [each.as_dict() for each in self.news]}


def tell(done: SyncResult) -> None:
    """A table and some lines for each jurisdiction."""
    for each in done.news:
        mine = [report for report in done.reports if report["jurisdiction"] == each.jurisdiction]
        output.table(f"{each.jurisdiction}: published", rows_of(mine))
        for line in (*remarks_of(mine), *lines_of(each, is_whole=all(report["complete"] for report in mine))):
            output.say(line)


def rows_of(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each count, a column for each feed: as narrow for three hundred tiles as for one."""
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
    """What a person should know of the input: inexact transformations, and what was not read; each line once."""
    lines = [f"{each['feed']}: {each['remark']}" for each in reports if "remark" in each]
    lines += [f"{each['feed']}: left out: {', '.join(each['left_out'])}" for each in reports if "left_out" in each]
    return list(dict.fromkeys(lines))


def _tiles(reports: Sequence[dict[str, Any]]) -> int | str | None:
    """How many tiles were published, of how many; None where the feed has none."""
    done, tiles = sum(each["complete"] for each in reports), len(reports)
    if done < tiles:
        return f"{done:,} of {tiles:,}"
    return tiles if reports[0]["tile"] else None


def lines_of(news: SyncChanges, *, is_whole: bool) -> list[str]:
    """What changed and what is held back, each with the command that shows it."""
    name = news.jurisdiction
    lines = [f"{name}: {_changed(news, is_whole=is_whole)}"]
    if news.kinds:
        lines.append(f"  zoning changes --jurisdiction {name} --since {_exact(news.since)}")
    if news.held_back:
        lines.append(f"{name}: {news.held_back:,} row{'s' * (news.held_back != 1)} held back")
        lines.append(f"  zoning rejections {name}")
    return lines


def _changed(news: SyncChanges, *, is_whole: bool) -> str:
    if news.kinds:
        return ", ".join(map(_counted, news.kinds))
    if not is_whole:
        return "some places failed; changes are computed when every place is published"
    return "the first harvest: there is nothing to compare it with" if news.is_first else "nothing changed"


def _counted(kind: dict[str, Any]) -> str:
    name = kind["kind"].replace("_", " ")
    if kind["kind"] in _OF_PARCELS and kind["parcels"]:
        return f"{kind['parcels']:,} parcel{'s' * (kind['parcels'] != 1)} {name}"
    return f"{kind['changes']:,} {name}"


def _exact(time: datetime) -> str:
    """Whole seconds, rounded down, so that `--since` finds all that came after."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
