"""`zoning remove`: show a preview, or with --yes remove a jurisdiction. A rollback restores the rows."""

import getpass
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from zoning_assets import jurisdictions
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import JurisdictionInvalid, NothingFound, SettingInvalid
from zoning_assets.jurisdictions.locations import Location, Locations


def remove(
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id; its file may be missing.")],
    reason: Annotated[str, typer.Option(help="The reason; stored in the audit with your name.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; default: only show a preview.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Remove a jurisdiction: its rows become history; its failures, pauses, messages and limits are deleted."""
    from zoning_assets.defs import partitions  # noqa: PLC0415
    from zoning_assets.operations import remove_jurisdiction  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    if not reason.strip():
        raise SettingInvalid("no reason is given", where="--reason", do="state why it is removed")
    bootstrap.check_store()
    location = Locations.of(bootstrap.settings().locations).find(jurisdiction)  # an invalid file stops here
    url, objects = bootstrap.bring_up_database(), Objects(bootstrap.settings().store_url)
    done = remove_jurisdiction.remove(
        url,
        objects,
        jurisdiction,
        hosts=_own_hosts(jurisdiction),
        actor=getpass.getuser(),
        reason=reason,
        dry_run=not yes,
    )
    with bootstrap.dagster_instance() as instance:
        tiles = (partitions.unregister if yes else _count_partitions)(instance, jurisdiction, location)
    found: dict[str, int] = {**done.found, "partitions": tiles}
    if not any(found.values()):
        raise NothingFound(
            "there is no data of this jurisdiction", where=repr(jurisdiction), do="check its id in `zoning status`"
        )
    batches = dict(done.removed.batches) if done.removed else {}
    undo = _undo_command(jurisdiction, done.removed.before) if done.removed and done.removed.before else None
    if json:
        document: dict[str, Any] = {"jurisdiction": jurisdiction, **found}
        output.document({"result": {**document, "batches": batches, "undo": undo}} if yes else {"preview": document})
    else:
        _show(jurisdiction, found, undo, yes=yes)


def _count_partitions(instance: Any, jurisdiction: str, location: Location) -> int:
    from zoning_assets.defs import partitions  # noqa: PLC0415

    return len(partitions.keys_of(instance, jurisdiction, location))


def _own_hosts(jurisdiction: str) -> set[str]:
    """Return the hosts that only this jurisdiction uses; an empty set if its file is missing or invalid."""
    from zoning_assets.pipeline.holds import hosts_of  # noqa: PLC0415
    from zoning_assets.sources import FEED_TYPES  # noqa: PLC0415

    own, others = set[str](), set[str]()
    for name, path in jurisdictions.files(bootstrap.settings().jurisdictions).items():
        try:
            hosts = hosts_of(jurisdictions.read(path, FEED_TYPES))
        except JurisdictionInvalid:
            continue
        (own if name == jurisdiction else others).update(hosts)
    return own - others


def _undo_command(jurisdiction: str, before: Any) -> str:
    return f"zoning rollback {jurisdiction} --to {before.isoformat()} --reason ..."


def _show(jurisdiction: str, found: Mapping[str, int], undo: str | None, *, yes: bool) -> None:
    rows = [{"what": name.replace("_", " "), "how many": count} for name, count in found.items() if count]
    output.table(f"{jurisdiction} {'was' if yes else 'would be'} removed", rows)
    if not yes:
        output.line("nothing was removed: --yes removes it; history, raw pages and the audit are kept")
    elif undo:
        output.line(f"to undo: `{undo}` (it needs the jurisdiction's file)")
