"""Zoning codes: verbatim local code -> canonical spelling -> facets and National Zoning Atlas type. By distinct code.

Two spellings are one code where only the separator between a letter and the digit after it, the kind of a separator or
the case differ: `R-1` = `R 1` = `r1`. Every other separator is kept, and only its kind is free (`MS C` = `MS-C`):

- between digits it carries meaning: `M1-1` is not `M11`, `R-1-8` not `R-18`;
- after a digit it may join a part of another kind: `C2-1VL` is a height, `C2-1-VL` an overlay; `C-1A` stays `C-1A`;
- between letters too: `MS-C` (main street, commercial) is built as `R-HP` (an overlay) is, `MSC` could be a new code.

No real list at hand has two codes that are then one. Where the rule is too strict a district seems renamed, which is
seen, and one line under `same` mends it; where it were too loose, a rezoning would be hidden for ever.

Two such spellings in one release are one code: a map amendment changes the district that applies, and renaming is
none. That they are two is proven only by who says so: the jurisdiction's list, a rename, or what an earlier release
was given. Then nothing is folded there, and `collisions` tells.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

from zoning_assets.model import CodeRules

BASE, OVERLAY, CONDITION, PUD = "base", "overlay", "condition", "pud"

#: Of the rules written here: another number makes another version of every jurisdiction's mapping.
_GRAMMAR = 1
_LONGEST = 200  # characters; what is longer is no code, and is not taken apart
_JOINTS = " -/"
_LETTER_DIGIT = re.compile(r"(?<=[^\W\d_])[ -]+(?=\d)")
_BETWEEN = re.compile(r"(?<=\w)[ -]+(?=\w)")
_LONE = re.compile(r"[ -]+")
#: "O2017-4840", "2017-33", "Ord. 1234"; a number alone may be a lot's size: R-1(5000).
_ORDINANCE = re.compile(r"ORD(?:INANCE)?\b.*\d.*|[A-Z]{0,3}-?(?:19|20)\d\d-\w+", re.IGNORECASE)


@dataclass(frozen=True)
class Facet:
    """One thing that a code says of a place: what it is (base, overlay, condition, pud) and its code."""

    facet: str
    code: str


@dataclass(frozen=True)
class _Parts:
    """A code taken apart: `stem` stands for the base where it says more; `tail` as it is written canonically."""

    base: str
    stem: str | None = None
    tail: str = ""
    facets: tuple[Facet, ...] = ()


@lru_cache(maxsize=2048)
def fold(code: str) -> str:
    """The key by which two spellings are compared; equal keys, one code (unless a list says otherwise)."""
    kept = _BETWEEN.sub("-", _LETTER_DIGIT.sub("", _tidy(code).casefold().upper()))
    lone = _LONE.sub(lambda run: "-" if "-" in run[0] else "", kept)
    return unicodedata.normalize("NFC", lone) or code


def spell(seen: Iterable[str], rules: CodeRules, known: Mapping[str, str]) -> dict[str, str]:
    """The canonical spelling of each local code. Two locals with one canonical are one code.

    Args:
        seen: the local codes of a release, in any order.
        rules: the jurisdiction's; a rename goes before its list, and both before what is known.
        known: what earlier releases were given, local -> canonical: these spellings stay.
    """
    parts = {code: _apart(code, rules) for code in seen}
    spellings = _spellings((each.base for each in parts.values()), rules, known)
    canonical = {_tidy(each) for each in (*rules.listed, *rules.same.values())}
    renames = {_spelled(theirs, spellings): _spelled(ours, spellings) for theirs, ours in rules.same.items()}

    def name(text: str) -> str:
        spelled = _spelled(text, spellings)
        return renames.get(spelled, spelled)

    def whole(code: str, each: _Parts) -> str:
        return code if _tidy(code) in canonical else (each.stem or name(each.base)) + each.tail

    return {code: name(whole(code, each)) for code, each in sorted(parts.items())}


def collisions(seen: Iterable[str], rules: CodeRules, known: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The groups of spellings that look alike and were not made one, because they are known to be several codes.

    Whoever spells one of them in yet another way means none of them for certain: it stays as it is.
    """
    bases = [_apart(code, rules).base for code in seen]
    declared = [*rules.listed, *rules.same, *rules.same.values(), *(_apart(c, rules).base for c in known.values())]
    alike = _classes([*bases, *declared])
    refused = {key for key, spelling in _spellings(bases, rules, known).items() if spelling is None}
    return tuple(sorted(tuple(sorted(alike[key])) for key in refused & {fold(base) for base in bases}))


def facets(canonical: str, rules: CodeRules) -> tuple[Facet, ...]:
    """What a code says: one base, first, and the overlays, conditions and plan that the rules declare."""
    parts = _apart(canonical, rules)
    return (Facet(BASE, parts.base), *dict.fromkeys(parts.facets))


def ordinance_in(code: str) -> str | None:
    """The ordinance in brackets at the end of a local code, `O2017-4840`: evidence, no part of the code."""
    text = _tidy(code)
    inside = text[text.rfind("(") + 1 : -1].strip()
    return inside if text.endswith(")") and "(" in text and _ORDINANCE.fullmatch(inside) else None


def zone_type(base: str, rules: CodeRules) -> str | None:
    """The National Zoning Atlas type of a base code; None: unknown, which holds back the type and not the parcel."""
    alike = {kind for code, kind in rules.types.items() if fold(code) == fold(base)}
    return rules.types.get(base) or (alike.pop() if len(alike) == 1 else None)


def version(rules: CodeRules) -> str:
    """A name for the whole mapping: any other rule, stated version or grammar gives another; their order does not."""
    said = {key: sorted(set(each)) if isinstance(each, tuple) else each for key, each in asdict(rules).items()}
    text = json.dumps({**said, "grammar": _GRAMMAR}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spellings(bases: Iterable[str], rules: CodeRules, known: Mapping[str, str]) -> dict[str, str | None]:
    """By fold: the spelling of a code; None where several codes are alike. Who speaks first is believed."""
    said = [*rules.listed, *rules.same.values()], rules.same, (_apart(code, rules).base for code in known.values())
    found: dict[str, str | None] = {}
    for voice in said:
        for key, spellings in _classes(voice).items():
            found.setdefault(key, next(iter(spellings)) if len(spellings) == 1 else None)
    for key, spellings in _classes(bases).items():
        found.setdefault(key, max(spellings, key=_preference))
    return found


def _classes(codes: Iterable[str]) -> dict[str, set[str]]:
    classes: dict[str, set[str]] = {}
    for code in codes:
        classes.setdefault(fold(code), set()).add(_tidy(code))
    return classes


def _preference(spelling: str) -> tuple[bool, int, int, str]:
    """Ordinances write capitals, and a hyphen rather than nothing or a space."""
    return spelling == spelling.upper(), -spelling.count(" "), len(spelling), spelling


def _spelled(text: str, spellings: Mapping[str, str | None]) -> str:
    return spellings.get(fold(text)) or _tidy(text)


def _apart(code: str, rules: CodeRules) -> _Parts:
    """Take declared parts off the end, as long as any is there; a listed code, only if what remains is listed too."""
    listed = {fold(each) for each in rules.listed}
    base, tail, found = _tidy(code), "", list[Facet]()
    while len(code) <= _LONGEST and (cut := _cut(base, rules)) and (fold(base) not in listed or fold(cut[0]) in listed):
        base, tail, found = cut[0], cut[1] + tail, [cut[2], *found]
    plan = _plan(base, rules) if len(code) <= _LONGEST else None
    if plan and (fold(base) not in listed or fold(plan[0]) in listed):
        return _Parts(plan[0], plan[1], tail, (Facet(PUD, plan[1]), *found))
    return _Parts(base, None, tail, tuple(found))


def _cut(code: str, rules: CodeRules) -> tuple[str, str, Facet] | None:
    """What stands before the last part, the part as it is written, and its facet; None: nothing declared is there."""
    declared = [(part, CONDITION) for part in rules.conditions] + [(part, OVERLAY) for part in rules.overlays]
    for part, facet in sorted(declared, key=lambda each: (-len(each[0]), each)):
        at = _begin(code, part)
        base = code[:at].rstrip(_JOINTS)
        gap = code[len(base) : at]
        if at and base and (gap or facet == CONDITION or not part[0].isalnum()):
            joint = "/" if "/" in gap else "-" if gap and part[0].isalnum() else ""
            return base, joint + part, Facet(facet, part.strip("()[]{} -/"))
    return None


def _begin(code: str, part: str) -> int:
    """Where the part begins at the code's end, however it is spelled; 0: it is not there, or in the midst of a word."""
    for at in range(len(code) - 1, max(0, len(code) - 2 * len(part) - 2), -1):
        if code[at].casefold() == part[0].casefold() and fold(code[at:]) == fold(part):
            return 0 if code[at].isalpha() and code[at - 1].isalpha() else at
    return 0


def _plan(code: str, rules: CodeRules) -> tuple[str, str] | None:
    """The base and the name of one planned development: `PD 1234 (O2017-4840)` is PD and PD-1234."""
    text = fold(code[: code.rindex("(")] if ordinance_in(code) else code)
    for base in rules.pud:
        number = text.removeprefix(fold(base)).lstrip("-#")
        if text.startswith(fold(base)) and number[:1].isdigit():
            return base, f"{base}-{number}"
    return None


@lru_cache(maxsize=2048)
def _tidy(code: str) -> str:
    """The code in its own case, with one kind of dash and of space, and nothing that has no ink."""
    plain = "".join(_inked(char) for raw in code for char in _compatible(raw))
    return unicodedata.normalize("NFC", re.sub("-+", "-", " ".join(plain.split()))) or code


def _compatible(char: str) -> str:
    """NFKC; but a footnote or a half is no digit of the code: `R-1²` is not `R-12`."""
    return char if unicodedata.category(char) == "No" else unicodedata.normalize("NFKC", char)


def _inked(char: str) -> str:
    kind = unicodedata.category(char)
    if char.isspace():
        return " "
    return "-" if kind == "Pd" or char == "\N{MINUS SIGN}" else "" if kind in ("Cc", "Cf") else char
