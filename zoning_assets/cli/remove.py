"""`zoning remove`: first what would go, then, with --yes, it goes; a rollback brings the rows back."""

import getpass
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from zoning_assets import jurisdictions
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import JurisdictionInvalid, NothingFound, SettingInvalid


def remove(
    jurisdiction: Annotated[str, typer.Argument(help="Which; its file may be gone already.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit with your name.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only shown.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Take a jurisdiction out: its rows become history, and what waits or is remembered of it goes."""
    from zoning_assets.defs import partitions  # noqa: PLC0415
    from zoning_assets.operations import remove_jurisdiction  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    if not reason.strip():
        raise SettingInvalid("no reason is given", where="--reason", do="say why it is taken out")
    bootstrap.check_store()
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
        tiles = (partitions.unregister if yes else _registered)(instance, jurisdiction)
    found: dict[str, int] = {**done.found, "partitions": tiles}
    if not any(found.values()):
        raise NothingFound("nothing is known of it", where=repr(jurisdiction), do="look at `zoning status`")
    batches = dict(done.removed.batches) if done.removed else {}
    back = _way_back(jurisdiction, done.removed.before) if done.removed and done.removed.before else None
    if json:
        about: dict[str, Any] = {"jurisdiction": jurisdiction, **found}
        output.document({"result": {**about, "batches": batches, "undo": back}} if yes else {"preview": about})
    else:
        _show(jurisdiction, found, back, yes=yes)


def _registered(instance: Any, jurisdiction: str) -> int:
    from zoning_assets.defs import partitions  # noqa: PLC0415

    return len(partitions.keys_of(instance, jurisdiction))


def _own_hosts(jurisdiction: str) -> set[str]:
    """The hosts of its feeds that no other file names; none where it has no file that can be read."""
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


def _way_back(jurisdiction: str, before: Any) -> str:
    return f"zoning rollback {jurisdiction} --to {before.isoformat()} --reason ..."


def _show(jurisdiction: str, found: Mapping[str, int], back: str | None, *, yes: bool) -> None:
    rows = [{"what": name.replace("_", " "), "how many": count} for name, count in found.items() if count]
    output.table(f"{jurisdiction} {'was' if yes else 'would be'} removed", rows)
    if not yes:
        output.line("nothing was removed yet: --yes removes it; history, raw pages and the audit stay")
    elif back:
        output.line(f"to undo: `{back}` (it needs the jurisdiction's file)")
