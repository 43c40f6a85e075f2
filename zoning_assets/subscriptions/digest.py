"""Events in plain sentences, for e-mails and Atom feeds.

Texts of portals are cleaned: control characters and characters that change the direction of writing become spaces.
"""

from collections.abc import Sequence
from itertools import groupby

from zoning_assets.storage.postgis.records.delivery_records import SubscriptionEvent

#: Most parcels that a sentence names; most characters of a text of a portal; most sentences of a digest.
_MOST_NAMED, _MOST_CHARACTERS, _MOST_SENTENCES = 10, 200, 500
#: Kind of change -> what happened to its parcels. {old} and {new}: codes, or parcel ids.
_VERBS = {
    "rezoned": "rezoned from {old} to {new}",
    "partly_rezoned": "partly rezoned from {old} to {new}",
    "reverted": "rezoned back from {old} to {new}",
    "reinstated": "rezoned again from {old} to {new}",
    "zoned": "zoned {new} for the first time",
    "unzoned": "left without zoning (before: {old})",
    "recoded": "given the code {new} in place of {old}",
    "redrawn": "affected by a redrawn boundary of {new}",
    "renumbered": "renumbered from {old} to {new}",
    "split": "split: {old} became {new}",
    "merged": "merged: {old} became {new}",
    "replatted": "replatted: {old} became {new}",
    "adjusted": "changed by a boundary adjustment",
    "reshaped": "given another shape",
    "added": "added to the parcel layer",
    "retired": "removed from the parcel layer",
}
_FACETS = {"overlay": "overlay", "condition": "condition", "pud": "planned unit development"}
_ENDINGS = {
    "added": "given the {facet} {new}",
    "removed": "removed from the {facet} {old}",
    "changed": "given the {facet} {new} in place of {old}",
}


def plain(text: str) -> str:
    """One line of printable characters, at most 200."""
    shown = " ".join("".join(each if each.isprintable() else " " for each in text[: _MOST_CHARACTERS * 2]).split())
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[: _MOST_CHARACTERS - 3]}..."


def sentence(events: Sequence[SubscriptionEvent]) -> str:
    """One sentence about events that differ in their parcels only (see group_key)."""
    first = events[0]
    parcels = list(dict.fromkeys(plain(each) for event in events for each in event.parcel_ids))
    one = len(parcels) == 1
    subject = f"Parcel {parcels[0]}" if one else f"{len(parcels):,} parcels"
    if not parcels:
        subject, one = f"{len(events):,} area{'s' * (len(events) > 1)}", len(events) == 1
    text = f"{subject} {'was' if one else 'were'} {_verb(first)}"
    if first.action == "retracted":
        text = f"Retracted: it is no longer so that {_lower(text)}"
    if first.action == "restored":
        text = f"Restored after a retraction: {_lower(text)}"
    return f"{text}{_details(events, [] if one else parcels)}."


def digest(events: Sequence[SubscriptionEvent]) -> str:
    """A text of paragraphs, one a jurisdiction, with one sentence for all events that differ in their parcels only."""
    lines: list[str] = []
    for jurisdiction, own in groupby(sorted(events, key=group_key), lambda event: event.jurisdiction):
        found = list(own)
        lines += ["", f"{plain(jurisdiction)}: {len(found):,} change{'s' * (len(found) > 1)}."]
        lines += [f"- {sentence(list(same))}" for _, same in groupby(found, group_key)]
    more = [f"- And {len(lines) - _MOST_SENTENCES:,} more lines."] if len(lines) > _MOST_SENTENCES else []
    return "\n".join([*lines[1:_MOST_SENTENCES], *more, ""])


def group_key(event: SubscriptionEvent) -> tuple[str, str, str, str, str, str]:
    """What events have in common that one sentence describes."""
    codes = (event.old or "", event.new or "") if event.facet != "parcel" else (event.change_id, "")
    return (event.jurisdiction, event.action, event.facet, event.kind, *codes)


def _verb(event: SubscriptionEvent) -> str:
    facet, _, ending = event.kind.rpartition("_")
    verb = _VERBS.get(event.kind) or _ENDINGS.get(ending) or f"changed ({plain(event.kind)})"
    return verb.format(old=plain(event.old or "none"), new=plain(event.new or "none"), facet=_FACETS.get(facet, facet))


def _details(events: Sequence[SubscriptionEvent], parcels: Sequence[str]) -> str:
    area_m2 = sum(event.area_m2 or 0.0 for event in events)
    named = ", ".join(parcels[:_MOST_NAMED])
    more = f" and {len(parcels) - _MOST_NAMED:,} more" if len(parcels) > _MOST_NAMED else ""
    legal = sorted({event.effective.isoformat() for event in events if event.effective})
    ordinances = sorted({plain(each) for event in events for each in event.ordinances})
    parts = [
        f"{area_m2:,.0f} m2" if area_m2 else "",
        f"legal from {', '.join(legal[:3])}" if legal else "",
        f"ordinance {', '.join(ordinances[:3])}" if ordinances else "",
        f"parcels {named}{more}" if named else "",
    ]
    known = "; ".join(filter(None, parts))
    return f" ({known})" if known else ""


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
