"""One item's mentions to one amendment, or to none."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from zoning_assets.ordinances.amendment_status import DECISIVE, UNSURE
from zoning_assets.ordinances.confidence import Evidence, judged
from zoning_assets.ordinances.district_changes import Statement
from zoning_assets.ordinances.findings import CASE, DATE, ORDINANCE, PARCEL, REFERENCE, STATUS, Change, Found, Mention

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
#: Steps that cannot both be the truth of one item.
_EXCLUSIVE = (
    ({"adopted", "enacted", "effective"}, {"denied", "withdrawn", "tabled"}),
    ({"denied"}, {"recommended"}),
    ({"withdrawn"}, {"denied", "tabled"}),
)
_FINAL = ("annulled", "repealed")
_LATE = ("adopted", "enacted", "effective")


def amendment(
    text: str, piece: str, own: Sequence[Mention], stated: Sequence[Statement], meeting: Sequence[Mention]
) -> Found | None:
    """What an item says was done to the zoning; None where it is about something else.

    Args:
        text: the whole document.
        piece: the item's own text.
        own: the item's mentions.
        stated: its statements of change.
        meeting: dates of the meeting, from the document's head.
    """
    changes = _changes(text, stated)
    steps = [each for each in own if each.kind == STATUS]
    kind = _kind(piece, changes, steps)
    if not kind:
        return None
    own = [*meeting, *(_by_commission(each, steps) for each in own)]
    found = Found(
        kind=kind,
        status=_last(steps),
        case_numbers=_values(own, CASE, kind == "annulment"),
        ordinance_numbers=_values(own, ORDINANCE, kind == "annulment"),
        dates=_dates(own),
        parcels=_values(own, PARCEL, True),
        changes=changes,
        place=_place(piece),
        mentions=tuple(own),
    )
    confidence, reasons = judged(_evidence(found, steps, piece))
    return replace(found, confidence=confidence, reasons=reasons)


def _evidence(found: Found, steps: Sequence[Mention], piece: str) -> Evidence:
    """What speaks for a finding and what against it."""
    changes = found.changes
    unsure = any(each.role == UNSURE and each.value == found.status for each in steps)
    return Evidence(
        has_codes=_says_what(found, piece),
        has_status=found.status != "unknown",
        has_number=bool(found.case_numbers or found.ordinance_numbers),
        has_date=bool(found.dates.keys() - {"other"}),
        has_place=bool(found.parcels or found.place),
        conflict=_conflict(steps),
        bad_dates=[" ".join(each.text.split()) for each in found.mentions if each.kind == DATE and each.value is None],
        is_body_unsure=unsure and not _is_ordinance(piece),
        same_codes=[old for each in changes for old, new in zip(each.old, each.new, strict=False) if old == new],
        is_several=len(found.case_numbers) > 1 and len(changes) > 1,
        is_unpaired=any(each.way == "rezoning" and len(each.old) != len(each.new) for each in changes),
        is_kind_unknown=found.kind == "unknown",
    )


def _says_what(found: Found, piece: str) -> bool:
    """Whether both codes are told, or the text that is amended, or the ordinance that ends."""
    if found.changes:
        return all((each.old and each.new) or each.way != "rezoning" for each in found.changes)
    if found.kind == "annulment":
        return bool(found.ordinance_numbers)
    return found.kind == "text" and _TEXT_OF.search(piece) is not None


def _changes(text: str, stated: Iterable[Statement]) -> tuple[Change, ...]:
    """Each change once; one without old codes goes where another tells them."""
    every = dict.fromkeys(each.change(text) for each in stated)
    full = [each for each in every if each.old and each.new]
    told = {code for each in full for code in (*each.old, *each.new)}
    return tuple(
        each for each in every if (each.old and each.new) or each.way == "overlay" or not {*each.old, *each.new} <= told
    )


def _kind(piece: str, changes: Sequence[Change], steps: Sequence[Mention]) -> str:
    """The kind of amendment; empty where the item is none."""
    heading = piece.strip()[:700]
    if any(each.value in _FINAL for each in steps) and (_REZONING.search(piece) or changes):
        return "annulment"
    if changes:
        return _kind_of_map(piece, changes)
    if _OTHER.search(piece[:400]) and not (_REZONING.search(heading[:160]) or _TEXT.search(heading[:300])):
        return ""
    if _TEXT.search(heading) and not re.search(r"\b(?:rezon(?:e|ed|ing)|map\samendment)\b", heading, re.IGNORECASE):
        return "text"
    has_number = any(each.isdigit() for each in heading) and (_REZONING.search(heading) is not None)
    if not (has_number and steps):
        return ""
    return "overlay" if _OVERLAY.search(heading) else "unknown"


def _kind_of_map(piece: str, changes: Sequence[Change]) -> str:
    new = [code for each in changes for code in each.new]
    if _ANNEX.search(piece) or any(each.way == "initial" for each in changes):
        return "annexation"
    if all(each.way == "overlay" for each in changes):
        return "overlay"
    if _CONDITIONAL.search(piece):
        return "conditional"
    if any(_PUD_CODE.fullmatch(code) for code in new):
        return "pud"
    return "overlay" if _OVERLAY.search(piece) and not any(each.old for each in changes) else "rezoning"


def _last(steps: Sequence[Mention]) -> str:
    """The last step told; nothing undoes that a court or a repeal ended it, and talk of a hearing ends nothing."""
    values = [str(each.value) for each in steps]
    for final in _FINAL:
        if final in values:
            return final
    decisive = [value for value in values if value in DECISIVE]
    late = [value for value in decisive if value in _LATE]
    if late and decisive[-1] in {*_LATE, "recommended"}:
        return max(late, key=_LATE.index)
    if decisive:
        return decisive[-1]
    return "hearing" if "hearing" in values else "filed" if "filed" in values else "unknown"


def _conflict(steps: Sequence[Mention]) -> str:
    """Steps that exclude each other, in words; what was only put off may well be decided later."""
    values = [str(each.value) for each in steps if each.value in DECISIVE]
    for one, other in _EXCLUSIVE:
        both = [next((value for value in values if value in side), "") for side in (one, other)]
        is_later = "tabled" in both and values and values[-1] not in {"tabled"}
        if all(both) and not is_later and not {*_FINAL} & {*values}:
            return " and ".join(both)
    return ""


def _by_commission(mention: Mention, steps: Sequence[Mention]) -> Mention:
    """The day on which a commission, and nobody else, `adopted` is that of its recommendation."""
    values = {each.value for each in steps}
    if mention.kind == DATE and mention.role == "adopted" and "recommended" in values and not values & {*_LATE}:
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
    """An ordinance's own text: who passes it is plain."""
    return re.search(r"\bAN ORDINANCE\b|\bbe it ordained\b", piece[:1500], re.IGNORECASE) is not None
