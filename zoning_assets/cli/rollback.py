"""`zoning rollback`: show a preview, or with --yes publish the inverse as a batch and pause the jurisdiction."""

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid
from zoning_assets.settings import parse_time

if TYPE_CHECKING:
    from zoning_assets.operations.history_rollback import RollbackResult


def rollback(  # noqa: PLR0913 - one parameter per option
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id.")],
    reason: Annotated[str, typer.Option(help="The reason; stored with your name.")],
    to: Annotated[str | None, typer.Option(help="Roll back to this time (ISO 8601 with zone).")] = None,
    batch: Annotated[int | None, typer.Option(help="Alternatively, undo only this batch.")] = None,
    tile: Annotated[str | None, typer.Option(help="The tile of that batch, as a check.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Roll back; default: only show a preview.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Undo published batches with a new batch, which can be undone too; then pause the jurisdiction."""
    from zoning_assets.operations import history_rollback  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    settings = bootstrap.settings()
    known = bootstrap.jurisdiction(jurisdiction)
    if (to is None) == (batch is None) or (tile and batch is None):
        raise SettingInvalid(
            "exactly one of the two is needed", where="--to, --batch", do="give --to TIME, or --batch B [--tile T]"
        )
    target = batch if batch is not None else parse_time(to or "", "--to")
    url, objects = bootstrap.bring_up_database(), Objects(settings.store_url)
    done = history_rollback.roll_back(
        url, objects, known, to=target, tile=tile, actor=getpass.getuser(), reason=reason, dry_run=not yes
    )
    if json:
        output.document({"result" if yes else "preview": asdict(done)})
        return
    rows = [_row(done, feed) for feed in done.batches]
    output.table(f"{known.id}: {'rolled back' if yes else 'would be rolled back'}", rows)
    output.result_line(f"batches undone: {', '.join(map(str, done.undone))}")
    changes = f"{done.retracted:,} changes retracted, {done.restored:,} restored"
    output.result_line(f"{done.parcels_rezoned:,} parcels have other zoning; {changes}")
    output.line(
        f"{known.id} is paused; `zoning resume {known.id}` lets harvests continue"
        if yes
        else "nothing was changed: --yes rolls back"
    )


def _row(done: "RollbackResult", feed: str) -> dict[str, object]:
    """One row of the table. The number of the new batch is not known in a preview."""
    batch = done.batches[feed]
    row = {"feed": feed, "rows ended": done.ended[feed], "rows again": done.begun[feed]}
    return row if batch is None else {**row, "as batch": batch}
