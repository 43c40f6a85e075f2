"""`zoning retry`: a person's word that what failed is worth another try."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid


def retry(
    what: Annotated[
        str | None, typer.Argument(metavar="[JURISDICTION|ID]", help="What failed: all of a jurisdiction, or one id.")
    ] = None,
    *,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that is not asked for any more.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Let what failed be asked for again at once, with all its tries; `zoning up` does, or `zoning sync` here."""
    from zoning_assets.storage.postgis.records import failure_records  # noqa: PLC0415

    if (what is None) != all_dead:
        raise SettingInvalid("say what: one of the two", where="zoning retry", do="JURISDICTION or ID, or --all-dead")
    words: dict[str, Any] = {"dead": True} if what is None else {"jurisdiction": what}
    if what and what.isdecimal():
        words = {"id_": int(what)}
    again = failure_records.request_retry(bootstrap.bring_up_database(), **words)
    if json:
        names = ("id", "jurisdiction", "tile", "feed", "kind", "message", "state")
        output.document({"failures": [{name: getattr(each, name) for name in names} for each in again]})
        return
    for each in again:
        output.line(f"{each.id}: {each.where} is asked for again ({each.kind})")
