"""Jobs with config for emergencies in the UI: pause, resume and rollback, with the same options as the commands."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import one_line
from zoning_assets.settings import parse_time
from zoning_assets.storage.postgis.records import hold_records

if TYPE_CHECKING:
    from zoning_assets.operations.history_rollback import RollbackResult

_WHY = "The reason; recorded in the audit log."
_WHERE = "The id of a jurisdiction."
_HOST = "Alternatively, a portal's host as `zoning status` shows it."
_ALL = "Alternatively, everything."


class Pause(dg.Config):
    """What to pause. Set one of: jurisdiction, host, everything."""

    reason: str = Field(description=_WHY)
    jurisdiction: str = Field("", description=_WHERE)
    host: str = Field("", description=_HOST)
    everything: bool = Field(default=False, description=_ALL)
    until: str = Field(
        "", description="End of the pause: ISO 8601 with zone, such as 2026-11-25T06:00Z. Empty: until it is resumed."
    )


class Resume(dg.Config):
    """What to resume. Set one of: jurisdiction, host, everything."""

    reason: str = Field("over", description=_WHY)
    jurisdiction: str = Field("", description=_WHERE)
    host: str = Field("", description=_HOST)
    everything: bool = Field(default=False, description=_ALL)


class Rollback(dg.Config):
    """What to roll back: everything after a time, or one batch."""

    jurisdiction: str = Field(description=_WHERE)
    reason: str = Field(description=_WHY)
    to: str = Field("", description="Roll back to this time: ISO 8601 with zone, such as 2026-11-24T18:00Z.")
    batch: int = Field(
        0,
        description="Alternatively, undo only this batch. The metadata of `parcels` and `districts` shows its number.",
    )
    dry_run: bool = Field(
        default=True, description="Change nothing: the run's log shows a preview. Set it to false to roll back."
    )
    in_earnest: bool | None = Field(
        default=None, description="Deprecated: the old name of `dry_run`, with the opposite value."
    )


@dg.op(description="Stops new requests and publishing. Runs wait until the pause ends.")
def place_hold(context: dg.OpExecutionContext, config: Pause, zoning: Zoning) -> None:
    """Do the same as `zoning pause`."""
    with one_line():
        until = parse_time(config.until, "until") if config.until else None
        hold = hold_records.pause(
            zoning.database(), **_what(config), reason=config.reason, actor=_actor(context), until=until
        )
    context.log.info(f"{hold.what} is paused")


@dg.op(description="Ends a pause. Waiting runs continue automatically.")
def lift_hold(context: dg.OpExecutionContext, config: Resume, zoning: Zoning) -> None:
    """Do the same as `zoning resume`."""
    with one_line():
        lifted = hold_records.resume(zoning.database(), **_what(config), reason=config.reason, actor=_actor(context))
    context.log.info(f"{lifted[0].what} is resumed")


@dg.op(description="Publishes the inverse of earlier batches as a new batch, then pauses the jurisdiction.")
def undo(context: dg.OpExecutionContext, config: Rollback, zoning: Zoning) -> None:
    """Do the same as `zoning rollback`."""
    from zoning_assets.operations import history_rollback  # noqa: PLC0415 - see defs/__init__
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    if bool(config.to) == bool(config.batch):
        raise dg.Failure(description="give `to` or `batch`", allow_retries=False)
    dry_run = config.dry_run
    if config.in_earnest is not None:
        dry_run = not config.in_earnest
        context.log.warning("`in_earnest` is deprecated: use `dry_run`, with the opposite value")
    with one_line():
        jurisdiction = zoning.jurisdictions([config.jurisdiction])[config.jurisdiction]
        done = history_rollback.roll_back(
            zoning.database(),
            Objects(zoning.settings.store_url),
            jurisdiction,
            to=config.batch or parse_time(config.to, "to"),
            actor=_actor(context),
            reason=config.reason,
            dry_run=dry_run,
        )
    context.log.info(_summary(config.jurisdiction, done, dry_run=dry_run))


@dg.job
def pause() -> None:
    """Pause a jurisdiction, a host or everything."""
    place_hold()


@dg.job
def resume() -> None:
    """End a pause."""
    lift_hold()


@dg.job
def rollback() -> None:
    """Roll back a jurisdiction. Run it first with `dry_run: true` to see a preview."""
    undo()


JOBS = (pause, resume, rollback)


def _summary(jurisdiction: str, done: "RollbackResult", *, dry_run: bool) -> str:
    feeds = "; ".join(
        f"{feed}: {done.ended[feed]} rows ended, {done.begun[feed]} restored" + (f", as batch {batch}" if batch else "")
        for feed, batch in done.batches.items()
    )
    changes = f"{done.parcels_rezoned} parcels have other zoning, {done.retracted} changes retracted"
    after = "nothing was changed: set `dry_run: false`" if dry_run else "it is paused until the job `resume`"
    return f"{jurisdiction}: {feeds}; {changes}, {done.restored} restored; {after}"


def _what(config: Pause | Resume) -> dict[str, str | None]:
    if sum((bool(config.jurisdiction), bool(config.host), config.everything)) != 1:
        raise dg.Failure(description="give one of jurisdiction, host, everything", allow_retries=False)
    return {"jurisdiction": config.jurisdiction or None, "host": config.host or None}


def _actor(context: dg.OpExecutionContext) -> str:
    return f"dagster run {context.run_id[:8]}"
