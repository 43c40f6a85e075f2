"""`zoning status`: one look at everything. A part is a name in the document and a function that finds its rows."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoning_assets.cli import environment, show
from zoning_assets.http import budget
from zoning_assets.http.budget import Budget

if TYPE_CHECKING:
    from zoning_assets.cli.standing import Standing

Rows = list[dict[str, Any]]


def status(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show how everything stands; exit status 1 where something needs a person, which is said in the last lines."""
    from zoning_assets.cli.standing import look  # noqa: PLC0415

    standing = look(environment.bring_up_database(), environment.settings(), datetime.now(UTC))
    found = {name: find(standing) for name, find in PARTS.items()}
    if json:
        show.document(found)
    else:
        _tell(found)
    if found["needs"]:
        raise typer.Exit(1)


def _tell(found: Mapping[str, Rows]) -> None:
    for name, rows in found.items():
        if name == "database":
            for each in rows:
                show.line(f"zoning: {each['warning']}") if each["warning"] else None
            continue
        columns = _SHOWN.get(name)
        shown = [{key.replace("_", " "): _shown(row[key]) for key in columns or row} for row in rows]
        show.table(name.capitalize(), shown)
    if not found["jurisdictions"] and not found["hosts"]:
        show.line("Nothing yet: `zoning sync JURISDICTION` makes the beginning.")


def _shown(value: Any) -> Any:
    """For people: empty where there is nothing, times in seconds."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items())
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else value


def _hosts(standing: "Standing") -> Rows:
    from zoning_assets.stores.ledger import read_budgets  # noqa: PLC0415

    return [{"host": host, **_host(*known)} for host, known in read_budgets(standing.url).items()]


def _host(known: Budget, now: float) -> dict[str, Any]:
    """A host's budget for a look, at the ledger's time."""
    stated = known.stated_left is not None and known.stated_until > now
    breaker_until = max(known.open_until, known.probe_until) if known.opened else 0.0
    return {
        "asked": known.asked,
        "refused": known.refused,
        "failed": known.failed,
        "budget_per_minute": known.ceiling,
        "pace_per_minute": round(budget.pace(known, now), 1),
        "connections": known.connections,
        "left": known.stated_left if stated else None,
        "left_until": _time(known.stated_until, now) if stated else None,
        "rests_until": _time(known.rests_until, now),
        "breaker": ("open" if known.open_until > now else "half-open") if known.opened else "closed",
        "breaker_until": _time(breaker_until, now),
    }


def _time(at: float, now: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at > now else None


def _holds(standing: "Standing") -> Rows:
    """Pauses, and the releases that wait for a person's word."""
    paused = [{"what": hold.what, **asdict(hold)} for hold in standing.holds]
    return paused + [_waiting(each) for each in standing.held]


def _waiting(held: dict[str, Any]) -> dict[str, Any]:
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


def _database(standing: "Standing") -> Rows:
    from zoning_assets.stores import database  # noqa: PLC0415

    rights = database.rights(standing.url)
    about = {"address": database.address(standing.url), "schema": database.HEAD}
    return [{**about, **asdict(rights), "warning": rights.line}]


#: What people see of the longer parts; the document has all.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "jurisdictions": (
        "id", "feeds", "parcels", "current", "promise_hours", "fresh", "next_probe", "rejections", "waiting", "dead",
        "fault",
    ),
    "failures": ("id", "jurisdiction", "tile", "feed", "kind", "tries", "last", "state", "next"),
}  # fmt: skip

#: The document, part by part, in its order.
PARTS: Mapping[str, Callable[["Standing"], Rows]] = {
    "jurisdictions": lambda standing: standing.jurisdictions(),
    "failures": lambda standing: standing.failures(),
    "hosts": _hosts,
    "holds": _holds,
    "queues": lambda standing: standing.queues,
    "database": _database,
    "needs": lambda standing: standing.needs(),
}
