"""`zoning verify`: check the audit chain, the stored pages and the tables, without requests to a portal."""

from dataclasses import asdict
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output


def verify(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check the integrity of all stored data; exit status 1 if there is a fault."""
    from zoning_assets.operations import integrity_check  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    found = integrity_check.verify(bootstrap.bring_up_database(), Objects(bootstrap.settings().store_url))
    if not json:
        counted = f"{found.places:,} places, {found.pages:,} pages, {found.rows:,} rows"
        output.result_line(f"{counted}: {len(found.faults):,} faults")
    output.finish({"ok": not found.faults, **asdict(found)} if json else None, found.faults)
