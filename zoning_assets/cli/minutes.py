"""`zoning minutes`: poll the minutes of a legislative body for amendments of the zoning."""

from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.settings import parse_time


def minutes(
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id; its file has a table [minutes].")],
    since: Annotated[
        str | None, typer.Option(help="Read what was edited since this time (ISO 8601); default: the last poll.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Poll the legislative body's site for matters that amend the zoning, and match them with the changes."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.operations import minutes_poll  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    start = parse_time(since, "--since") if since else None
    known, now = bootstrap.jurisdiction(jurisdiction), datetime.now(UTC)
    url = bootstrap.bring_up_database()
    start = start or minutes_poll.start_of_poll(url, known, now)

    def http() -> Http:
        return Http(ledger=PostgresLedger(url))

    done = graceful_stop.run(minutes_poll.poll(url, known, http, start, now))
    rows = list(map(partial(_row, done.stored), done.amendments))
    if json:
        counts = {name: value for name, value in asdict(done).items() if name not in ("amendments", "stored")}
        output.document({"jurisdiction": jurisdiction, **counts, "amendments": rows})
        return
    output.table("Amendments", rows)
    for each in dict.fromkeys(done.refused):
        output.line(f"zoning: {each}")
    read = f"{done.matters:,} matters and {done.events:,} meetings edited since {start.isoformat(timespec='seconds')}"
    output.result_line(f"{read}: {len(rows):,} amendments, {sum(done.stored.values()):,} new or changed")


def _row(stored: dict[str, bool], amendment: Any) -> dict[str, Any]:
    from zoning_assets.transform.changes.amendment_matching import name_of  # noqa: PLC0415

    name = name_of(amendment)
    return {
        "id": name,
        "status": amendment.status,
        "cases": ", ".join(amendment.case_numbers),
        "ordinances": ", ".join(amendment.ordinance_numbers),
        "from": ", ".join(amendment.old_codes),
        "to": ", ".join(amendment.new_codes),
        "new": "yes" if stored[name] else "no",
        "source": amendment.source,
    }
