"""`zoning probe`: check whether portals changed."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid, ZoningError
from zoning_assets.model import Jurisdiction


def probe(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[JURISDICTION...]", help="The jurisdictions; default: all of yours.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Probe the portals for changes: at most three requests per feed, and no rows."""
    folder = bootstrap.settings().jurisdictions
    chosen = ids or sorted(path.stem for path in folder.glob("*.toml"))
    if not chosen:
        raise SettingInvalid(
            "you have no jurisdiction file", where=str(folder), do="name a jurisdiction, or write its file there"
        )
    wanted = [bootstrap.jurisdiction(each) for each in dict.fromkeys(chosen)]
    found = [_probe(each, feed) for each in wanted for feed in each.feeds]
    if not json:
        output.table("Probed", list(map(_row, found)))
    output.finish({"feeds": found} if json else None, [row["error"] for row in found if row["error"]])


def _row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("jurisdiction", "feed", "changed", "requests", "seconds")
    return {**{name: row[name] for name in names}, "why": row["why"] or "it cannot be probed"}


def _probe(jurisdiction: Jurisdiction, feed: str) -> dict[str, Any]:
    from zoning_assets.defs.resources import Zoning  # noqa: PLC0415

    row: dict[str, Any] = {"jurisdiction": jurisdiction.id, "feed": feed, "changed": None, "why": None, "requests": 0}
    started = time.monotonic()
    try:
        with Zoning().pipeline() as pipeline:
            started = time.monotonic()
            result = graceful_stop.run(pipeline.probe(jurisdiction, feed, datetime.now(UTC)))
    except ZoningError as error:
        return {**row, "seconds": _since(started), "error": str(error)}
    found = {"changed": result.why is not None, "requests": result.requests, "seconds": _since(started)}
    why = result.why or "nothing that the portal states about itself has changed"
    return {**row, **found, "why": why, "error": None}


def _since(started: float) -> float:
    """Seconds, without those that the program took to start."""
    return round(time.monotonic() - started, 4)
