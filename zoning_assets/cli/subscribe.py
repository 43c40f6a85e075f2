"""`zoning subscribe`: send what changed to webhooks, e-mail addresses, Atom feeds, files, and other databases."""

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import CHANGE_KINDS

if TYPE_CHECKING:
    from zoning_assets.storage.postgis.records.subscription_records import Subscription

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_MOST_BYTES = 16 << 20
_Name = Annotated[str, typer.Argument(help="The name of the subscription.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
#: Fields of a subscription that narrow it.
_FILTER = ("jurisdiction", "kinds", "code_pattern", "min_area_m2", "parcels", "daily", "consumer_table")


@app.command("add")
def add(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Argument(help="A name of your choice: a-z, 0-9 and -.")],
    sink: Annotated[str, typer.Argument(help="webhook, email, atom, delta (files), or postgis (a table).")],
    target: Annotated[
        str,
        typer.Argument(
            help="URL of the webhook; e-mail address; folder or object-store URL; postgresql:// URL. `-`: read it from"
            " standard input, so that a password is in no list of processes."
        ),
    ],
    jurisdiction: Annotated[str | None, typer.Option(help="Only this jurisdiction.")] = None,
    bbox: Annotated[
        str | None, typer.Option(help="Only in this area: west,south,east,north in degrees.", metavar="W,S,E,N")
    ] = None,
    area: Annotated[Path | None, typer.Option(help="Only in the polygons of this GeoJSON file.")] = None,
    parcel: Annotated[
        list[str] | None, typer.Option(help="Only this parcel and its successors; repeat it for more parcels.")
    ] = None,
    parcels: Annotated[Path | None, typer.Option(help="The same for a file with one parcel id per line.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only changes of this kind; repeat it for more.")] = None,
    code: Annotated[
        str | None, typer.Option(help="Only if the code before or after matches; * and ? are wildcards: 'R-*'.")
    ] = None,
    min_area: Annotated[float | None, typer.Option(min=0, help="Only changes of at least this area, in m2.")] = None,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(help="A private network that the webhook may be in, such as 10.1.0.0/16; repeat it for more."),
    ] = None,
    table: Annotated[str | None, typer.Option(help="The table of a postgis sink; default: zoned_parcel.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="A file with the signing key (whsec_...); default: a new key is printed.")
    ] = None,
    *,
    daily: Annotated[bool, typer.Option("--daily", help="Deliver at most once a day (UTC).")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with all known changes; default: with the next one.")
    ] = False,
    json: _Json = False,
) -> None:
    """Add a subscription. `zoning up` delivers to it, or `zoning subscribe deliver`."""
    from zoning_assets.storage.postgis.records import subscription_records  # noqa: PLC0415
    from zoning_assets.subscriptions import targets  # noqa: PLC0415

    full, shown = targets.check_target(sink, _text("-", "TARGET").strip() if target == "-" else target)
    targets.check_host(sink, full, targets.check_networks(allow_network or ()))
    chosen = [*(parcel or ()), *(_lines(parcels) if parcels else ())]
    _check_filter(sink, kind, chosen, jurisdiction, has_two_areas=bool(bbox and area))
    draft = subscription_records.SubscriptionDraft(
        name=targets.check_name(name),
        sink=sink,
        target=full,
        shown_target=shown,
        signing_key=targets.signing_key(sink, _text(str(key_file), "--key-file").strip() if key_file else None),
        consumer_table=targets.check_table(sink, table),
        allowed_networks=targets.check_networks(allow_network or ()),
        daily=daily,
        jurisdiction=jurisdiction,
        area=_area(bbox, area),
        kinds=kind or None,
        code_pattern=targets.like_pattern(code) if code else None,
        min_area_m2=min_area,
        parcels=chosen,
        from_start=from_start,
    )
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "--jurisdiction")
    added = subscription_records.add(url, draft, getpass.getuser())
    if json:
        output.document({"subscription": _document(added), "signing_key": draft.signing_key})
        return
    output.line(f"{name} is added; `zoning up` delivers to it, or `zoning subscribe deliver`")
    if draft.signing_key and not key_file:
        output.result_line(f"signing key, shown only now: {draft.signing_key}")


@app.command("list")
def list_(*, json: _Json = False) -> None:
    """List the subscriptions: what each is sent, how far it is, and its last error."""
    from zoning_assets.storage.postgis.records import subscription_records  # noqa: PLC0415

    found = subscription_records.subscriptions(bootstrap.bring_up_database())
    if json:
        output.document({"subscriptions": [_document(each) for each in found]})
        return
    output.table("Subscriptions", [_row(each) for each in found])
    if not found:
        output.line("there is no subscription; `zoning subscribe add` makes one")


@app.command("remove")
def remove(name: _Name, *, json: _Json = False) -> None:
    """Remove a subscription with its secrets and dead letters."""
    from zoning_assets.storage.postgis.records import subscription_records  # noqa: PLC0415

    subscription_records.remove(bootstrap.bring_up_database(), name, getpass.getuser())
    _done({"removed": name}, f"{name} is removed", json=json)


@app.command("pause")
def pause(name: _Name, *, json: _Json = False) -> None:
    """Pause a subscription; what changes meanwhile is delivered after `resume`."""
    _pause(name, paused=True)
    _done({"paused": name}, f"{name} is paused", json=json)


@app.command("resume")
def resume(name: _Name, *, json: _Json = False) -> None:
    """Resume a subscription; its next attempt is made at once."""
    _pause(name, paused=False)
    _done({"resumed": name}, f"{name} is resumed", json=json)


@app.command("deliver")
def deliver(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this subscription.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="Repeat failed deliveries for so long; 0: one attempt each.")
    ] = 0,
    *,
    json: _Json = False,
) -> None:
    """Deliver now, also what waits for its next attempt or its day; exit status 1 if a delivery failed."""
    from zoning_assets import graceful_stop  # noqa: PLC0415
    from zoning_assets.subscriptions import delivery  # noqa: PLC0415

    url = bootstrap.bring_up_database()
    work = delivery.deliver(url, bootstrap.settings(), name=name, is_forced=True, seconds=seconds)
    results = graceful_stop.run(work)
    if not json:
        output.table("Deliveries", [asdict(each) for each in results])
    document = {"deliveries": [asdict(each) for each in results]} if json else None
    output.finish(document, delivery.errors(results))


@app.command("dead-letters")
def dead_letters(name: _Name, *, json: _Json = False) -> None:
    """List the events that a webhook did not accept, in the order of delivery."""
    from zoning_assets.storage.postgis.records import subscription_records  # noqa: PLC0415

    found = subscription_records.dead_letters(bootstrap.bring_up_database(), name)
    if json:
        output.document({"subscription": name, "dead_letters": [_letter(each) for each in found]})
        return
    rows = [{**_letter(each), "id": [each["id"].partition("/")[2]]} for each in found]
    output.table(f"Dead letters of {name}", [{key: row[key] for key in ("id", "sent", "tries", "why")} for row in rows])
    output.line(f"`zoning subscribe replay {name}` sends them again" if found else f"{name} has no dead letter")


@app.command("replay")
def replay(
    name: _Name,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of events.")] = 10_000,
    *,
    json: _Json = False,
) -> None:
    """Send dead letters again with the next delivery, the oldest first."""
    from zoning_assets.storage.postgis.records import subscription_records  # noqa: PLC0415

    ids = subscription_records.replay(bootstrap.bring_up_database(), name, limit)
    _done({"subscription": name, "replayed": len(ids)}, f"{len(ids)} will be sent again", json=json)


def _check_filter(
    sink: str, kinds: list[str] | None, parcels: list[str], jurisdiction: str | None, *, has_two_areas: bool
) -> None:
    for each in kinds or ():
        if each not in CHANGE_KINDS:
            do = f"choose one of: {', '.join(CHANGE_KINDS)}"
            raise SettingInvalid(f"{each!r} is not a kind of change", where="--kind", do=do)
    if kinds and sink == "postgis":
        raise SettingInvalid("a table has parcels, not changes", where="--kind", do="leave it out")
    if parcels and not jurisdiction:
        raise SettingInvalid("parcel ids are of one jurisdiction", where="--parcel", do="give --jurisdiction too")
    if has_two_areas:
        raise SettingInvalid("--bbox and --area exclude each other", where="zoning subscribe add", do="give only one")


def _area(bbox: str | None, area: Path | None) -> str | None:
    from zoning_assets.subscriptions import targets  # noqa: PLC0415

    if bbox:
        return targets.area_of_bbox(bbox)
    if area:
        return targets.area_of_file(bootstrap.read(area, _MOST_BYTES, "give a smaller file"), str(area))
    return None


def _text(file: str, where: str) -> str:
    try:
        return bootstrap.read(Path(file), _MOST_BYTES, "give a smaller file").decode()
    except UnicodeDecodeError:
        raise SettingInvalid("it is not UTF-8 text", where=where, do="correct it") from None


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in _text(str(file), "--parcels").splitlines() if line.strip()]


def _pause(name: str, *, paused: bool) -> None:
    from zoning_assets.storage.postgis.records import subscription_records  # noqa: PLC0415

    subscription_records.pause(bootstrap.bring_up_database(), name, getpass.getuser(), paused=paused)


def _document(subscription: "Subscription") -> dict[str, Any]:
    area = subscription.area
    return {**asdict(subscription), "area": None if area is None else orjson.Fragment(area)}


def _row(subscription: "Subscription") -> dict[str, Any]:
    values = asdict(subscription)
    narrowed = [f"{key.replace('_', ' ')} {values[key]}" for key in _FILTER if values[key]]
    return {
        "name": subscription.name,
        "sink": subscription.sink,
        "target": subscription.target,
        "behind": subscription.behind,
        "dead": subscription.dead,
        "delivered": subscription.delivered,
        "last": subscription.last_delivered,
        "state": "paused" if subscription.paused else subscription.error or "well",
        "only": "; ".join([*narrowed, *(["area"] if subscription.area else [])]) or None,
    }


def _letter(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "body": orjson.Fragment(row["body"])}


def _done(document: dict[str, Any], text: str, *, json: bool) -> None:
    if json:
        output.document(document)
    else:
        output.line(text)
