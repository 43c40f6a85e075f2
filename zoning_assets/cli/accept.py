"""`zoning accept` and `zoning discard`: decide about a release that a tripwire or an alarm holds back."""

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
    reason: Annotated[str, typer.Option(help="Why it is right; stored with your name.")],
    feed: _Feed = PARCELS,
    *,
    json: _Json = False,
) -> None:
    """Accept a held release, a map with an alarm, or a layer that shrank. The next sync publishes exactly that."""
    from zoning_assets.storage.postgis.records import change_records, release_profiles  # noqa: PLC0415

    id_, url = _checked_feed(jurisdiction, feed), bootstrap.bring_up_database()
    who = getpass.getuser()
    if why := _decide(url, id_, feed, release_profiles.ACCEPTED, reason):
        fields, line = {"why": why}, f"is accepted ({'; '.join(why)}): the next sync publishes it"
    elif alarms := change_records.accept(url, id_, who, reason) if feed == ZONING else []:
        fields, line = {"alarms": alarms}, f"is accepted ({'; '.join(alarms)}): the next sync publishes its changes"
    else:
        fields, line = _accept_row_count(url, id_, feed, reason)
    _retry_failures(url, id_)
    _report(id_, feed, fields, line, json=json)


def discard(
    jurisdiction: _Jurisdiction,
    reason: Annotated[str, typer.Option(help="Why it is wrong; stored with your name.")],
    feed: _Feed = PARCELS,
    *,
    json: _Json = False,
) -> None:
    """Discard a held release. The next harvest is checked as usual."""
    from zoning_assets.storage.postgis.records import release_profiles  # noqa: PLC0415

    id_, url = _checked_feed(jurisdiction, feed), bootstrap.bring_up_database()
    why = _decide(url, id_, feed, release_profiles.DISCARDED, reason)
    fields, line = {"why": why}, "is discarded; the next harvest is checked as usual"
    if not why:
        fields, line = _discard_row_count(url, id_, feed, reason)
    _retry_failures(url, id_)
    _report(id_, feed, fields, line, json=json)


def _retry_failures(url: str, jurisdiction: str) -> None:
    """Request the failed partitions again: they failed because the release was held."""
    from zoning_assets.storage.postgis.records import failure_records  # noqa: PLC0415

    with suppress(NothingWaits):
        failure_records.request_retry(url, jurisdiction=jurisdiction)


def _checked_feed(jurisdiction: str, feed: str) -> str:
    known = bootstrap.jurisdiction(jurisdiction)
    if feed not in known.feeds:
        raise SettingInvalid(f"{feed!r} is not a feed of {known.id}", where="--feed", do="; ".join(known.feeds))
    return known.id


def _decide(url: str, jurisdiction: str, feed: str, state: str, reason: str) -> list[str]:
    """Record the decision about a held release. Return why it was held; an empty list: no release is held."""
    from zoning_assets.storage.postgis.records import release_profiles  # noqa: PLC0415

    try:
        return release_profiles.decide(url, jurisdiction, feed, state, actor=getpass.getuser(), reason=reason)
    except NothingWaits:
        return []


def _accept_row_count(url: str, jurisdiction: str, feed: str, reason: str) -> tuple[dict[str, Any], str]:
    from zoning_assets.storage.object_store import feed_baselines  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import audit_records  # noqa: PLC0415

    objects, who = Objects(bootstrap.settings().store_url), getpass.getuser()
    before, now = feed_baselines.accept(objects, jurisdiction, feed, who, reason)
    fields = {"before": before, "rows": now}
    audit_records.record_action(url, who, "accept", {"jurisdiction": jurisdiction, "feed": feed, **fields}, reason)
    return fields, f"is accepted with {now:,} rows: the next sync publishes them"


def _discard_row_count(url: str, jurisdiction: str, feed: str, reason: str) -> tuple[dict[str, Any], str]:
    from zoning_assets.storage.object_store import feed_baselines  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import audit_records  # noqa: PLC0415

    rows = feed_baselines.discard(Objects(bootstrap.settings().store_url), jurisdiction, feed)
    subject = {"jurisdiction": jurisdiction, "feed": feed, "rows": rows}
    audit_records.record_action(url, getpass.getuser(), "discard", subject, reason)
    return {"rows": rows}, f"with {rows:,} rows is discarded; the next harvest is checked as usual"


def _report(jurisdiction: str, feed: str, fields: dict[str, Any], line: str, *, json: bool) -> None:
    if json:
        output.document({"jurisdiction": jurisdiction, "feed": feed, **fields})
    else:
        output.line(f"{jurisdiction} {feed} {line}")
