"""`zoning retry`: request failed partitions again."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid


def retry(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[JURISDICTION|ID]", help="All failures of a jurisdiction, or the id of one failure."),
    ] = None,
    *,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All failures without attempts left.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Request failed partitions again at once, with all attempts. `zoning up` or `zoning sync` runs them."""
    from zoning_assets.storage.postgis.records import failure_records  # noqa: PLC0415

    if (what is None) != all_dead:
        raise SettingInvalid("give one of the two", where="zoning retry", do="JURISDICTION or ID, or --all-dead")
    selection: dict[str, Any] = {"dead": True} if what is None else {"jurisdiction": what}
    if what and what.isdecimal():
        selection = {"id_": int(what)}
    requested = failure_records.request_retry(bootstrap.bring_up_database(), **selection)
    if json:
        names = ("id", "jurisdiction", "tile", "feed", "kind", "message", "state")
        output.document({"failures": [{name: getattr(each, name) for name in names} for each in requested]})
        return
    for each in requested:
        output.line(f"{each.id}: {each.where} is requested again ({each.kind})")
