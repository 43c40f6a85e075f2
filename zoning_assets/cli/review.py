"""`zoning review`: decide about a change that waits for a person, as the map does."""

import getpass
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import NothingFound, SettingInvalid


def review(
    change: Annotated[str, typer.Argument(help="The id of the change, or its first characters.")],
    action: Annotated[str, typer.Argument(help="accept: it is an event; dismiss: it is retracted.")],
    reason: Annotated[str, typer.Option(help="Why; stored with your name.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Accept or dismiss a change that waits for a person: see `zoning changes --review`."""
    from zoning_assets.storage.postgis.records import change_records, review_records  # noqa: PLC0415

    if action not in review_records.ACTIONS:
        raise SettingInvalid(f"{action!r} is not a decision", where="zoning review", do="give accept or dismiss")
    if not change.isalnum():
        raise SettingInvalid(f"{change!r} is not the id of a change", where="zoning review", do="use a listed id")
    url = bootstrap.bring_up_database()
    found = change_records.find(url, id_=change, limit=2)
    if len(found) != 1:
        what = "several ids of changes start with this" if found else "no id of a change starts with this"
        raise NothingFound(what, where=repr(change), do="use a complete id from `zoning changes --review --json`")
    done = review_records.decide(url, found[0]["id"], action, getpass.getuser(), reason)
    if json:
        output.document(done)
    else:
        output.line(f"{done['id']} ({done['kind']} in {done['jurisdiction']}) is now: {done['state']}")
