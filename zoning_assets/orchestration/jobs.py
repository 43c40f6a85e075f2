"""Jobs with config, for what a person does in the UI in an emergency: the same words as on the command line."""

import dagster as dg

from zoning_assets import undoing
from zoning_assets.orchestration.assets import one_line
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.orchestration.syncing import Sync
from zoning_assets.settings import moment
from zoning_assets.stores import holds
from zoning_assets.stores.objects import Objects


class Pause(dg.Config):
    """What to pause: one of jurisdiction, host, everything; `until` in ISO 8601, empty: until it is resumed."""

    reason: str
    jurisdiction: str = ""
    host: str = ""
    everything: bool = False
    until: str = ""


class Resume(dg.Config):
    """What to resume: one of jurisdiction, host, everything."""

    reason: str = "over"
    jurisdiction: str = ""
    host: str = ""
    everything: bool = False


class Rollback(dg.Config):
    """Back to a moment (ISO 8601) or without one batch; not in earnest it is only shown, in the run's log."""

    jurisdiction: str
    reason: str
    to: str = ""
    batch: int = 0
    in_earnest: bool = False


@dg.op(description="Nothing new is asked, nothing is published; runs wait.")
def place_hold(context: dg.OpExecutionContext, config: Pause, zoning: Zoning) -> None:
    """`zoning pause`."""
    with one_line():
        until = moment(config.until, "until") if config.until else None
        hold = holds.pause(zoning.database(), **_what(config), reason=config.reason, actor=_actor(context), until=until)
    context.log.info(f"{hold.what} is paused")


@dg.op(description="What waited goes on by itself.")
def lift_hold(context: dg.OpExecutionContext, config: Resume, zoning: Zoning) -> None:
    """`zoning resume`."""
    with one_line():
        lifted = holds.resume(zoning.database(), **_what(config), reason=config.reason, actor=_actor(context))
    context.log.info(f"{lifted[0].what} goes on")


@dg.op(description="The inverse of what was published, as a batch; then a pause.")
def undo(context: dg.OpExecutionContext, config: Rollback, zoning: Zoning) -> None:
    """`zoning rollback`."""
    if bool(config.to) == bool(config.batch):
        raise dg.Failure(description="give `to` or `batch`", allow_retries=False)
    with one_line():
        jurisdiction = zoning.jurisdictions([config.jurisdiction])[config.jurisdiction]
        done = undoing.undo(
            zoning.database(),
            Objects(zoning.settings.store_url),
            jurisdiction,
            to=config.batch or moment(config.to, "to"),
            actor=_actor(context),
            reason=config.reason,
            in_earnest=config.in_earnest,
        )
    context.log.info(f"{'rolled back' if config.in_earnest else 'would be rolled back'}: {done}")


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


class Harvest(dg.Config):
    """Which jurisdiction is brought up to date, which of its feeds, and which tiles of its parcels; empty: all."""

    jurisdiction: str
    feed: str = ""
    tiles: list[str] = []  # noqa: RUF012 - Pydantic copies it


def harvest_job(assets: dg.Definitions) -> dg.JobDefinition:
    """What `zoning sync` does, as a job: its runs stand in the list beside it."""

    @dg.op(description="Tiles, their parcels, districts, shares and changes of one jurisdiction.")
    def harvest_feed(context: dg.OpExecutionContext, config: Harvest, zoning: Zoning) -> None:
        with one_line():
            jurisdiction = zoning.jurisdictions([config.jurisdiction])[config.jurisdiction]
            reports = Sync(assets, context.instance, jurisdiction).all(config.tiles, config.feed or None)
        failed = [str(report["error"]) for report in reports if not report["complete"]]
        if failed:
            raise dg.Failure(description="\n".join(failed[:50]), allow_retries=False)

    @dg.job(name="harvest", description="Bring a jurisdiction up to date, as `zoning sync` does.")
    def harvest() -> None:
        harvest_feed()

    return harvest


def _what(config: Pause | Resume) -> dict[str, str | None]:
    if sum((bool(config.jurisdiction), bool(config.host), config.everything)) != 1:
        raise dg.Failure(description="give one of jurisdiction, host, everything", allow_retries=False)
    return {"jurisdiction": config.jurisdiction or None, "host": config.host or None}


def _actor(context: dg.OpExecutionContext) -> str:
    return f"dagster run {context.run_id[:8]}"
