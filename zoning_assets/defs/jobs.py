"""Jobs with config, for what a person does in the UI in an emergency: the same words as on the command line."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import one_line
from zoning_assets.settings import moment
from zoning_assets.storage.postgis.records import hold_records

if TYPE_CHECKING:
    from zoning_assets.operations.history_rollback import Undone

_WHY = "Why; kept in the audit."
_WHERE = "The id of a jurisdiction."
_HOST = "Or a portal's host, as `zoning status` spells it."
_ALL = "Or everything."


class Pause(dg.Config):
    """What to pause: one of jurisdiction, host, everything."""

    reason: str = Field(description=_WHY)
    jurisdiction: str = Field("", description=_WHERE)
    host: str = Field("", description=_HOST)
    everything: bool = Field(default=False, description=_ALL)
    until: str = Field("", description="ISO 8601 with zone, 2026-11-25T06:00Z; empty: until it is resumed.")


class Resume(dg.Config):
    """What to resume: one of jurisdiction, host, everything."""

    reason: str = Field("over", description=_WHY)
    jurisdiction: str = Field("", description=_WHERE)
    host: str = Field("", description=_HOST)
    everything: bool = Field(default=False, description=_ALL)


class Rollback(dg.Config):
    """Back to a moment, or without one batch."""

    jurisdiction: str = Field(description=_WHERE)
    reason: str = Field(description=_WHY)
    to: str = Field("", description="Back to this moment: ISO 8601 with zone, 2026-11-24T18:00Z.")
    batch: int = Field(0, description="Or without this batch; `parcels` and `districts` show its number.")
    in_earnest: bool = Field(default=False, description="Do it; else the run's log says what would be done.")


@dg.op(description="Nothing new is asked, nothing is published; runs wait.")
def place_hold(context: dg.OpExecutionContext, config: Pause, zoning: Zoning) -> None:
    """`zoning pause`."""
    with one_line():
        until = moment(config.until, "until") if config.until else None
        hold = hold_records.pause(
            zoning.database(), **_what(config), reason=config.reason, actor=_actor(context), until=until
        )
    context.log.info(f"{hold.what} is paused")


@dg.op(description="What waited goes on by itself.")
def lift_hold(context: dg.OpExecutionContext, config: Resume, zoning: Zoning) -> None:
    """`zoning resume`."""
    with one_line():
        lifted = hold_records.resume(zoning.database(), **_what(config), reason=config.reason, actor=_actor(context))
    context.log.info(f"{lifted[0].what} goes on")


@dg.op(description="The inverse of what was published, as a batch; then a pause.")
def undo(context: dg.OpExecutionContext, config: Rollback, zoning: Zoning) -> None:
    """`zoning rollback`."""
    from zoning_assets.operations import history_rollback  # noqa: PLC0415 - see defs/__init__
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    if bool(config.to) == bool(config.batch):
        raise dg.Failure(description="give `to` or `batch`", allow_retries=False)
    with one_line():
        jurisdiction = zoning.jurisdictions([config.jurisdiction])[config.jurisdiction]
        done = history_rollback.undo(
            zoning.database(),
            Objects(zoning.settings.store_url),
            jurisdiction,
            to=config.batch or moment(config.to, "to"),
            actor=_actor(context),
            reason=config.reason,
            in_earnest=config.in_earnest,
        )
    context.log.info(_told(config, done))


@dg.job
def pause() -> None:
    """Emergency pause."""
    place_hold()


@dg.job
def resume() -> None:
    """End of a pause."""
    lift_hold()


@dg.job
def rollback() -> None:
    """Emergency rollback; look at it first with `in_earnest: false`."""
    undo()


JOBS = (pause, resume, rollback)


def _told(config: Rollback, done: "Undone") -> str:
    feeds = "; ".join(
        f"{feed}: {done.ended[feed]} rows end, {done.begun[feed]} are there again"
        + (f", as batch {batch}" if batch else "")
        for feed, batch in done.batches.items()
    )
    changes = f"{done.parcels_rezoned} parcels have other shares, {done.retracted} changes are retracted"
    after = "it is paused until the job `resume`" if config.in_earnest else "nothing was done: set `in_earnest: true`"
    return f"{config.jurisdiction}: {feeds}; {changes}, {done.restored} told again; {after}"


def _what(config: Pause | Resume) -> dict[str, str | None]:
    if sum((bool(config.jurisdiction), bool(config.host), config.everything)) != 1:
        raise dg.Failure(description="give one of jurisdiction, host, everything", allow_retries=False)
    return {"jurisdiction": config.jurisdiction or None, "host": config.host or None}


def _actor(context: dg.OpExecutionContext) -> str:
    return f"dagster run {context.run_id[:8]}"
