"""`zoning accept` and `zoning discard`: a person's word on a release that a tripwire or an alarm holds back."""

import getpass
from contextlib import suppress
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import NothingWaits, SettingInvalid
from zoning_assets.model import PARCELS, ZONING

_Jurisdiction = Annotated[str, typer.Argument(metavar="JURISDICTION")]
_Feed = Annotated[str, typer.Option(help="Which feed: parcels or zoning.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def accept(
    jurisdiction: _Jurisdiction,
    reason: Annotated[str, typer.Option(help="Why it is right; kept with your name.")],
    feed: _Feed = PARCELS,
    *,
    json: _Json = False,
) -> None:
    """Say that what is held back is right: a release that tripped a tripwire, a map that raised an alarm, a layer that
    shrank; the next sync goes on with just that."""
    from zoning_assets.storage.postgis.records import change_records, release_profiles  # noqa: PLC0415

    id_, url = _known(jurisdiction, feed), bootstrap.bring_up_database()
    who = getpass.getuser()
    if why := _decided(url, id_, feed, release_profiles.ACCEPTED, reason):
        said, line = {"why": why}, f"is right, though {'; '.join(why)}: the next sync publishes it"
    elif alarms := change_records.accept(url, id_, who, reason) if feed == ZONING else []:
        said, line = {"alarms": alarms}, f"is right, though {'; '.join(alarms)}: the next sync tells its changes"
    else:
        said, line = _accepted_fall(url, id_, feed, reason)
    _tried_again(url, id_)
    _tell(id_, feed, said, line, json=json)


def discard(
    jurisdiction: _Jurisdiction,
    reason: Annotated[str, typer.Option(help="Why it is wrong; kept with your name.")],
    feed: _Feed = PARCELS,
    *,
    json: _Json = False,
) -> None:
    """Say that a release which tripped a tripwire is wrong: it is forgotten, and the next harvest is judged anew."""
    from zoning_assets.storage.postgis.records import release_profiles  # noqa: PLC0415

    id_, url = _known(jurisdiction, feed), bootstrap.bring_up_database()
    why = _decided(url, id_, feed, release_profiles.DISCARDED, reason)
    said, line = {"why": why}, "is forgotten; the next harvest is judged anew"
    if not why:
        said, line = _discarded_fall(url, id_, feed, reason)
    _tried_again(url, id_)
    _tell(id_, feed, said, line, json=json)


def _tried_again(url: str, jurisdiction: str) -> None:
    """What failed for want of a person's word is asked for again by itself."""
    from zoning_assets.storage.postgis.records import failure_records  # noqa: PLC0415

    with suppress(NothingWaits):
        failure_records.request_retry(url, jurisdiction=jurisdiction)


def _known(jurisdiction: str, feed: str) -> str:
    known = bootstrap.jurisdiction(jurisdiction)
    if feed not in known.feeds:
        raise SettingInvalid(f"{feed!r} is no feed of {known.id}", where="--feed", do="; ".join(known.feeds))
    return known.id


def _decided(url: str, jurisdiction: str, feed: str, state: str, reason: str) -> list[str]:
    """What spoke against the release that is held; nothing where none is."""
    from zoning_assets.storage.postgis.records import release_profiles  # noqa: PLC0415

    try:
        return release_profiles.decide(url, jurisdiction, feed, state, actor=getpass.getuser(), reason=reason)
    except NothingWaits:
        return []


def _accepted_fall(url: str, jurisdiction: str, feed: str, reason: str) -> tuple[dict[str, Any], str]:
    from zoning_assets.storage.object_store import feed_baselines  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import hold_records  # noqa: PLC0415

    objects, who = Objects(bootstrap.settings().store_url), getpass.getuser()
    before, now = feed_baselines.accept(objects, jurisdiction, feed, who, reason)
    said = {"before": before, "rows": now}
    hold_records.record_action(url, who, "accept", {"jurisdiction": jurisdiction, "feed": feed, **said}, reason)
    return said, f"has rightly {now:,} rows: the next sync publishes them"


def _discarded_fall(url: str, jurisdiction: str, feed: str, reason: str) -> tuple[dict[str, Any], str]:
    from zoning_assets.storage.object_store import feed_baselines  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import hold_records  # noqa: PLC0415

    rows = feed_baselines.discard(Objects(bootstrap.settings().store_url), jurisdiction, feed)
    subject = {"jurisdiction": jurisdiction, "feed": feed, "rows": rows}
    hold_records.record_action(url, getpass.getuser(), "discard", subject, reason)
    return {"rows": rows}, f"is not believed to have {rows:,} rows; the next harvest is judged anew"


def _tell(jurisdiction: str, feed: str, said: dict[str, Any], line: str, *, json: bool) -> None:
    if json:
        output.document({"jurisdiction": jurisdiction, "feed": feed, **said})
    else:
        output.line(f"{jurisdiction} {feed} {line}")
