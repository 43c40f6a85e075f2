"""`zoning status`: show the state of everything. Each part of the document has a name and a function for its rows."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.http import rate_limit
from zoning_assets.http.rate_limit import HostBudget
from zoning_assets.model import PARCELS, ZONING

if TYPE_CHECKING:
    from zoning_assets.cli.health import SystemStatus

Rows = list[dict[str, Any]]


def status(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show the state of everything; exit status 1 if something needs a person: see the last lines."""
    from zoning_assets.cli.health import read_status  # noqa: PLC0415
    from zoning_assets.storage.postgis.sessions import close_idle  # noqa: PLC0415

    system = read_status(bootstrap.bring_up_database(), bootstrap.settings(), datetime.now(UTC))
    found = {name: rows_of(system) for name, rows_of in PARTS.items()}
    close_idle()
    if not json:
        _show(found, system)
    output.finish(found if json else None, _needs_summary(found["needs"]))


def _show(found: Mapping[str, Rows], system: "SystemStatus") -> None:
    mine = {*system.mine, *system.done}
    jurisdictions = [each for each in found["jurisdictions"] if each["id"] in mine]
    output.table("Jurisdictions", list(map(_jurisdiction, jurisdictions)))
    _show_failures(found["failures"])
    for name, columns in _SHOWN.items():
        rows = [{_HEADERS.get(key, key.replace("_", " ")): row[key] for key in columns} for row in found[name]]
        output.table(name.capitalize(), rows)
    for each in found["database"]:
        output.line(f"zoning: {each['warning']}") if each["warning"] else None
    if (replica := system.replica) and not replica.fault:
        behind = "unknown" if replica.behind_s is None else f"{replica.behind_s:,.1f} s"
        output.result_line(f"Replica {replica.address}: behind the primary by {behind}.")
    if others := sorted({each["id"] for each in found["jurisdictions"]} - mine):
        output.result_line(f"Packaged examples for `zoning sync`: {', '.join(others)}")
    if not jurisdictions:
        output.result_line("Nothing is published yet: start with `zoning sync JURISDICTION`.")
    for each in found["needs"]:
        output.result_line(f"{each['where']}: {each['what']}")
        output.result_line(f"    -> {each['do']}")


def _jurisdiction(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "parcels": row["parcels"],
        "current": row["current"],
        "fresh": row["fresh"],
        "rejected": row["rejections"].get("open", 0),
        "waiting": row["waiting"],
        "dead": row["dead"],
        "next probe": row["next_probe"],
        "feeds": [feed for feed in row["feeds"] if feed in (PARCELS, ZONING)],
        "freshness (h)": row["freshness_hours"],
    }


def _show_failures(rows: Rows) -> None:
    """Show the failures, and below them each distinct message with the ids of its failures."""
    names = ("id", "jurisdiction", "tile", "feed", "state", "tries", "next", "last")
    more = f": showing {_MOST_ROWS:,} of {len(rows):,}" if len(rows) > _MOST_ROWS else ""
    output.table(f"Failures{more}", [{name: row[name] for name in names} for row in rows[:_MOST_ROWS]])
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["message"], []).append(str(row["id"]))
    for message, ids in reasons.items():
        more = f" and {len(ids) - _MOST_IDS:,} more" if len(ids) > _MOST_IDS else ""
        output.result_line(f"{', '.join(ids[:_MOST_IDS])}{more}: {message}")
    if rows:
        output.result_line("")


def _needs_summary(needs: Rows) -> list[str]:
    """Summarize the problems in one line; an empty list: there is none."""
    first = next((f"{each['where']}: {each['what']}; {each['do']}" for each in needs), None)
    if first is None:
        return []
    return [first if len(needs) == 1 else f"{len(needs):,} problems need a person; the first: {first}"]


def _hosts(system: "SystemStatus") -> Rows:
    from zoning_assets.storage.postgis.records.rate_limits import read_budgets  # noqa: PLC0415

    return [{"host": host, **_host(*known)} for host, known in read_budgets(system.url).items()]


def _host(known: HostBudget, now: float) -> dict[str, Any]:
    """Convert the budget of a host to a row. `now`: the time of the ledger, seconds since 1970."""
    stated = known.stated_left is not None and known.stated_until > now
    breaker_until = max(known.open_until, known.probe_until) if known.opened else 0.0
    return {
        "asked": known.asked,
        "refused": known.refused,
        "failed": known.failed,
        "budget_per_minute": known.ceiling,
        "pace_per_minute": round(rate_limit.pace(known, now), 1),
        "connections": known.connections,
        "left": known.stated_left if stated else None,
        "left_until": _time(known.stated_until, now) if stated else None,
        "rests_until": _time(known.rests_until, now),
        "breaker": ("open" if known.open_until > now else "half-open") if known.opened else "closed",
        "breaker_until": _time(breaker_until, now),
    }


def _time(at: float, now: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at > now else None


def _holds(system: "SystemStatus") -> Rows:
    """Return the pauses, and the releases that wait for a decision."""
    paused = [{"what": hold.what, **asdict(hold)} for hold in system.holds]
    return paused + [_held_release(each) for each in system.held]


def _held_release(held: dict[str, Any]) -> dict[str, Any]:
    return {
        "what": f"{held['jurisdiction']} {held['feed']}",
        "id": None,
        "jurisdiction": held["jurisdiction"],
        "host": None,
        "reason": "; ".join(held["why"]),
        "actor": "tripwires",
        "since": held["judged"],
        "until": None,
    }


def _database(system: "SystemStatus") -> Rows:
    from zoning_assets.storage.postgis import database  # noqa: PLC0415

    rights = database.rights(system.url)
    about = {"address": database.address(system.url), "schema": database.HEAD}
    replica = asdict(system.replica) if system.replica else None
    return [{**about, **asdict(rights), "warning": rights.line, "replica": replica}]


#: Columns of the other tables; the JSON document has all.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "hosts": (
        "host", "asked", "refused", "failed", "pace_per_minute", "breaker", "rests_until", "breaker_until",
        "budget_per_minute", "connections", "left", "left_until",
    ),
    "holds": ("what", "reason", "actor", "since", "until"),
    "queues": ("name", "ready", "leased", "dead", "oldest_s", "fault"),
}  # fmt: skip
_HEADERS = {"pace_per_minute": "pace/min", "budget_per_minute": "budget/min"}
_MOST_IDS, _MOST_ROWS = 8, 40

#: The parts of the document, in order.
PARTS: Mapping[str, Callable[["SystemStatus"], Rows]] = {
    "jurisdictions": lambda system: system.jurisdictions(),
    "failures": lambda system: system.failures(),
    "hosts": _hosts,
    "holds": _holds,
    "queues": lambda system: system.queues,
    "database": _database,
    "needs": lambda system: system.needs(),
}
