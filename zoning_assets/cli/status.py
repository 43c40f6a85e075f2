"""`zoning status`: one look at everything. A part is a name in the document and a function that finds its rows."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from zoning_assets import jurisdictions
from zoning_assets.cli import environment, show
from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.http import budget
from zoning_assets.http.budget import Budget

Rows = list[dict[str, Any]]


def status(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what is published and how the portals take it: asked, refused, what is left, who rests until when."""
    url = environment.bring_up_database()
    found = {name: find(url) for name, find in PARTS.items()}
    if json:
        show.document(found)
        return
    for name, rows in found.items():
        if name == "database":
            for each in rows:
                show.line(f"zoning: {each['warning']}") if each["warning"] else None
            continue
        show.table(name.capitalize(), [{key.replace("_", " "): _shown(row[key]) for key in row} for row in rows])
    if not any(found[name] for name in found if name != "database"):
        show.line("Nothing yet: `zoning sync JURISDICTION` makes the beginning.")


def _shown(value: Any) -> Any:
    """For people: empty where there is nothing, times in seconds."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else value


def _jurisdictions(url: str) -> Rows:
    """Those published, and those of the user's and the packaged files that could be."""
    from zoning_assets.stores.status import Published, published  # noqa: PLC0415

    done, files = published(url), jurisdictions.files(environment.settings().jurisdictions)
    nothing = Published([], None, 0)
    return [_jurisdiction(each, done.get(each, nothing), files.get(each)) for each in sorted({*done, *files})]


def _jurisdiction(name: str, done: Any, file: Any) -> dict[str, Any]:
    from zoning_assets.feeds import FEED_TYPES  # noqa: PLC0415

    feeds, fault = done.feeds, None
    try:
        feeds = sorted(jurisdictions.read(file, FEED_TYPES).feeds) if file else feeds
    except JurisdictionInvalid as error:
        fault = error.what
    return {"id": name, "feeds": feeds, "last_batch": done.last_batch, "parcels": done.parcels, "fault": fault}


def _hosts(url: str) -> Rows:
    from zoning_assets.stores.ledger import read_budgets  # noqa: PLC0415

    return [{"host": host, **_host(*known)} for host, known in read_budgets(url).items()]


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


def _holds(url: str) -> Rows:
    from zoning_assets.stores import holds  # noqa: PLC0415

    return [{"what": hold.what, **asdict(hold)} for hold in holds.active(url)]


def _database(url: str) -> Rows:
    from zoning_assets.stores import database  # noqa: PLC0415

    rights = database.rights(url)
    return [{"address": database.address(url), "schema": database.HEAD, **asdict(rights), "warning": rights.line}]


def _none(_: str) -> Rows:
    return []


#: The document, part by part, in its order.
PARTS: Mapping[str, Callable[[str], Rows]] = {
    "jurisdictions": _jurisdictions,
    "hosts": _hosts,
    "holds": _holds,
    "queues": _none,
    "database": _database,
}
