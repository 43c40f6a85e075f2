"""Build an amendment from the mentions of one item."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from zoning_assets.ordinances.amendment_status import DECISIVE, UNSURE
from zoning_assets.ordinances.confidence import Evidence, score
from zoning_assets.ordinances.district_changes import Statement
from zoning_assets.ordinances.findings import (
    CASE,
    DATE,
    ORDINANCE,
    PARCEL,
    REFERENCE,
    STATUS,
    CodeChange,
    FoundAmendment,
    Mention,
)

_REZONING = re.compile(
    r"\b(?:rezon(?:e|ed|ing)\b|zoning\samendment|zone\schange|change\sof\szon(?:e|ing)|"
    r"(?:zoning\s)?map\samendment|amend\w{0,4}\s(?:the\s)?(?:official\s)?zoning\s(?:district\s)?map|"
    r"zoning\smap|reclassif\w{1,10})",
    re.IGNORECASE,
)
_TEXT = re.compile(
    r"\b(?:(?:zoning\s)?text\samendment|amend\w{0,4}\s(?:to\s)?(?:the\s)?text|Z[TR]A\b|"
    r"zoning\s(?:ordinance|code|resolution)\samendment|"
    r"amend\w{0,5}\s(?:to\s)?(?:the\s)?(?:city[’']?s?\s|town\s|county\s)?zoning\s(?:ordinance|code|"
    r"resolution|bylaw|by-law)|zoning\spetition)|\b[CN]?\s?\d{6}\sZR[MKQXRY]\b|"
    r"amend\w{0,4}\s(?:chapter|article|section|title)\s[^.;]{0,120}\bzoning\b",
    re.IGNORECASE,
)
_TEXT_OF = re.compile(r"(?:§+\s?|\b(?:sections?|articles?|chapter|title)\s)[\dIVXA-Z][\w.()-]{0,14}", re.IGNORECASE)
_OTHER = re.compile(
    r"\b(?:varianc\w{1,2}|special\s(?:use|exception|permit)|conditional\suse|use\spermit|site\splan|"
    r"(?:final|preliminary)\splat|plat\b|subdivision|"
    r"street\svacation|vacat\w{1,3}\s(?:of\s)?(?:an?\s|the\s)?(?:alley|street)|"
    r"approval\sof\s(?:the\s)?minutes|sign\spermit|certificate\sof\sappropriateness)",
    re.IGNORECASE,
)
_ANNEX = re.compile(r"\bannex", re.IGNORECASE)
_CONDITIONAL = re.compile(
    r"\bconditional\s(?:re)?zon(?:e|ing)|\bconditional\sdistrict|\bproffer\w{0,4}|\bzoning\swith\sconditions",
    re.IGNORECASE,
)
_OVERLAY = re.compile(
    r"\boverlay\s(?:district|zone|zoning)|\boverlay\b[^.;]{0,60}\b(?:add|establish|remov|appl)", re.IGNORECASE
)
_PUD_CODE = re.compile(r"(?:PUD|PD|PDD|PMD|PAD|PRD)(?:\b|[-\d ].*)")
_PLACE = re.compile(
    r"\b(?:commonly\s(?:known|identified)\sas|generally\sknown\sas|propert(?:y|ies)\sknown\sas|known\sas|"
    r"bounded\sby|located\s(?:at|on|along|in)|"
    r"propert(?:y|ies)\sat|address:?|location:?)\s(?P<place>[^\n;|](?:[^\n;|]|\n(?!\n)){3,300}?)"
    r"(?=(?<!\bSt)(?<!\bAve)(?<!\bRd)(?<!\bBlvd)(?<!\b[NSEW])(?<!\bNo)(?<!\bDr)[.](?:\s|$)|;|\s\||\n\n|"
    r",?\s(?:from|to\sbe\srezoned|is\shereby)\s|$)",
    re.IGNORECASE,
)
#: Steps of which only one can be true for one item.
_EXCLUSIVE = (
    ({"adopted", "enacted", "effective"}, {"denied", "withdrawn", "tabled"}),
    ({"denied"}, {"recommended"}),
    ({"withdrawn"}, {"denied", "tabled"}),
)
_TERMINAL = ("annulled", "repealed")
_IN_FORCE = ("adopted", "enacted", "effective")


def build_amendment(
    text: str, piece: str, own: Sequence[Mention], stated: Sequence[Statement], meeting: Sequence[Mention]
) -> FoundAmendment | None:
    """Build the amendment of an item; None if the item is not an amendment of the zoning.

    Args:
        text: the complete document.
        piece: the text of the item.
        own: the mentions in the item.
        stated: the statements of change in the item.
        meeting: dates of the meeting, from the head of the document.
    """
    changes = _changes(text, stated)
    steps = [each for each in own if each.kind == STATUS]
    kind = _kind(piece, changes, steps)
    if not kind:
        return None
    own = [*meeting, *(_with_commission_role(each, steps) for each in own)]
    found = FoundAmendment(
        kind=kind,
        status=_final_status(steps),
        case_numbers=_values(own, CASE, kind == "annulment"),
        ordinance_numbers=_values(own, ORDINANCE, kind == "annulment"),
        dates=_dates(own),
        parcels=_values(own, PARCEL, True),
        changes=changes,
        place=_place(piece),
        mentions=tuple(own),
    )
    confidence, reasons = score(_evidence(found, steps, piece))
    return replace(found, confidence=confidence, reasons=reasons)


def _evidence(found: FoundAmendment, steps: Sequence[Mention], piece: str) -> Evidence:
    """Collect the facts for and against a finding."""
    changes = found.changes
    unsure = any(each.role == UNSURE and each.value == found.status for each in steps)
    return Evidence(
        has_codes=_states_change(found, piece),
        has_status=found.status != "unknown",
        has_number=bool(found.case_numbers or found.ordinance_numbers),
        has_date=bool(found.dates.keys() - {"other"}),
        has_place=bool(found.parcels or found.place),
        conflict=_conflict(steps),
        bad_dates=[" ".join(each.text.split()) for each in found.mentions if each.kind == DATE and each.value is None],
        is_body_unsure=unsure and not _is_ordinance(piece),
        same_codes=[old for each in changes for old, new in zip(each.old, each.new, strict=False) if old == new],
        is_several=len(found.case_numbers) > 1 and len(changes) > 1,
        is_unpaired=any(each.kind == "rezoning" and len(each.old) != len(each.new) for each in changes),
        is_kind_unknown=found.kind == "unknown",
    )


def _states_change(found: FoundAmendment, piece: str) -> bool:
    """Whether the item has old and new codes, or names the amended text, or the annulled ordinance."""
    if found.changes:
        return all((each.old and each.new) or each.kind != "rezoning" for each in found.changes)
    if found.kind == "annulment":
        return bool(found.ordinance_numbers)
    return found.kind == "text" and _TEXT_OF.search(piece) is not None


def _changes(text: str, stated: Iterable[Statement]) -> tuple[CodeChange, ...]:
    """Return each change once; a change without old or new codes is dropped if a complete change has its codes."""
    every = dict.fromkeys(each.change(text) for each in stated)
    full = [each for each in every if each.old and each.new]
    covered = {code for each in full for code in (*each.old, *each.new)}
    return tuple(
        each
        for each in every
        if (each.old and each.new) or each.kind == "overlay" or not {*each.old, *each.new} <= covered
    )


def _kind(piece: str, changes: Sequence[CodeChange], steps: Sequence[Mention]) -> str:
    """Return the kind of amendment; empty if the item is not an amendment."""
    heading = piece.strip()[:700]
    if any(each.value in _TERMINAL for each in steps) and (_REZONING.search(piece) or changes):
        return "annulment"
    if changes:
        return _kind_of_map_change(piece, changes)
    if _OTHER.search(piece[:400]) and not (_REZONING.search(heading[:160]) or _TEXT.search(heading[:300])):
        return ""
    if _TEXT.search(heading) and not re.search(r"\b(?:rezon(?:e|ed|ing)|map\samendment)\b", heading, re.IGNORECASE):
        return "text"
    has_number = any(each.isdigit() for each in heading) and (_REZONING.search(heading) is not None)
    if not (has_number and steps):
        return ""
    return "overlay" if _OVERLAY.search(heading) else "unknown"


def _kind_of_map_change(piece: str, changes: Sequence[CodeChange]) -> str:
    new = [code for each in changes for code in each.new]
    if _ANNEX.search(piece) or any(each.kind == "initial" for each in changes):
        return "annexation"
    if all(each.kind == "overlay" for each in changes):
        return "overlay"
    if _CONDITIONAL.search(piece):
        return "conditional"
    if any(_PUD_CODE.fullmatch(code) for code in new):
        return "pud"
    return "overlay" if _OVERLAY.search(piece) and not any(each.old for each in changes) else "rezoning"


def _final_status(steps: Sequence[Mention]) -> str:
    """Return the status after the last step. An annulment or a repeal is always final; a hearing decides nothing."""
    values = [str(each.value) for each in steps]
    for final in _TERMINAL:
        if final in values:
            return final
    decisive = [value for value in values if value in DECISIVE]
    late = [value for value in decisive if value in _IN_FORCE]
    if late and decisive[-1] in {*_IN_FORCE, "recommended"}:
        return max(late, key=_IN_FORCE.index)
    if decisive:
        return decisive[-1]
    return "hearing" if "hearing" in values else "filed" if "filed" in values else "unknown"


def _conflict(steps: Sequence[Mention]) -> str:
    """Describe two steps that exclude each other; empty if there are none. After `tabled` a decision may follow."""
    values = [str(each.value) for each in steps if each.value in DECISIVE]
    for one, other in _EXCLUSIVE:
        both = [next((value for value in values if value in side), "") for side in (one, other)]
        is_later = "tabled" in both and values and values[-1] not in {"tabled"}
        if all(both) and not is_later and not {*_TERMINAL} & {*values}:
            return " and ".join(both)
    return ""


def _with_commission_role(mention: Mention, steps: Sequence[Mention]) -> Mention:
    """Change the role of a date from adopted to recommended if only a commission approved."""
    values = {each.value for each in steps}
    if mention.kind == DATE and mention.role == "adopted" and "recommended" in values and not values & {*_IN_FORCE}:
        return replace(mention, role="recommended")
    return mention


def _values(own: Iterable[Mention], kind: str, with_references: bool) -> tuple[str, ...]:
    every = [each for each in own if each.kind == kind and (with_references or each.role != REFERENCE)]
    return tuple(dict.fromkeys(str(each.value) for each in every))


def _dates(own: Iterable[Mention]) -> dict[str, tuple[date, ...]]:
    by_role: dict[str, dict[date, None]] = {}
    for each in own:
        if each.kind == DATE and each.value:
            by_role.setdefault(each.role, {})[date.fromisoformat(each.value)] = None
    return {role: tuple(days) for role, days in by_role.items()}


def _place(piece: str) -> str:
    found = _PLACE.search(piece)
    return " ".join(found["place"].split()).rstrip(" ,") if found else ""


def _is_ordinance(piece: str) -> bool:
    """Whether the item is the text of an ordinance: then the body that approved is known."""
    return re.search(r"\bAN ORDINANCE\b|\bbe it ordained\b", piece[:1500], re.IGNORECASE) is not None
