"""`zoning verify`: the audit's chain, the harvests' bytes and the tables, held against one another, offline."""

from dataclasses import asdict
from typing import Annotated

import typer

from zoning_assets.cli import environment, show


def verify(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Whether everything is what it was; exit status 1 where something is not."""
    from zoning_assets import verifying  # noqa: PLC0415
    from zoning_assets.stores.objects import Objects  # noqa: PLC0415

    found = verifying.verify(environment.bring_up_database(), Objects(environment.settings().store_url))
    if not json:
        counted = f"{found.places:,} places, {found.pages:,} pages, {found.rows:,} rows"
        show.say(f"{counted}: {len(found.faults):,} faults")
    show.finish({"ok": not found.faults, **asdict(found)} if json else None, found.faults)
