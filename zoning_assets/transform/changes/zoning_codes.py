"""Zoning codes: local code as published -> canonical spelling -> facets and National Zoning Atlas type.

Two spellings are one code if they differ only in the separator between a letter and the digit after it, in the kind of
a separator, or in case: `R-1` = `R 1` = `r1`. Every other separator is kept, and only its kind is ignored (`MS C` =
`MS-C`):

- between digits it carries meaning: `M1-1` is not `M11`, `R-1-8` is not `R-18`;
- after a digit it may join a part of another kind: `C2-1VL` is a height, `C2-1-VL` an overlay; `C-1A` stays `C-1A`;
- between letters too: `MS-C` (main street, commercial) has the form of `R-HP` (with an overlay), and `MSC` may be
  another code.

In all real lists that we checked, no two codes become one by these rules. If the rules are too strict, a district seems
to be renamed: that is visible, and one line under `same` in the jurisdiction file corrects it. If they were too loose,
a rezoning would never be detected.

Two such spellings in one release are one code: a map amendment changes the district of a property, and a new name for a
district is no amendment. They are two codes only if the jurisdiction's list or renames, or an earlier release, have
both. Then they are not merged, and `collisions` reports them.
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

#: The version of the rules in this module. A new number makes a new version of every jurisdiction's mapping.
_GRAMMAR = 1
_LAYER = re.compile(r"overlay ([a-z0-9][a-z0-9-]*)(?:: (.*))?", re.DOTALL)
_MAX_LENGTH = 200  # characters; a longer text is no code and is not split
_JOINTS = " -/"
_LETTER_DIGIT = re.compile(r"(?<=[^\W\d_])[ -]+(?=\d)")
_BETWEEN = re.compile(r"(?<=\w)[ -]+(?=\w)")
_LONE = re.compile(r"[ -]+")
#: "O2017-4840", "2017-33", "Ord. 1234". A number alone may be a lot size: R-1(5000).
_ORDINANCE = re.compile(r"ORD(?:INANCE)?\b.*\d.*|[A-Z]{0,3}-?(?:19|20)\d\d-\w+", re.IGNORECASE)


@dataclass(frozen=True)
class Facet:
    """One property that a code states: its facet (base, overlay, condition, pud) and its code."""

    facet: str
    code: str


@dataclass(frozen=True)
class _CodeParts:
    """A code split into parts. `stem` replaces the base in the spelling where it is more specific; `tail` is in
    canonical spelling.
    """

    base: str
    stem: str | None = None
    tail: str = ""
    facets: tuple[Facet, ...] = ()


@lru_cache(maxsize=2048)
def fold(code: str) -> str:
    """The key by which spellings are compared: codes with equal keys are one code, unless a list has both."""
    kept = _BETWEEN.sub("-", _LETTER_DIGIT.sub("", _cleaned_code(code).casefold().upper()))
    lone = _LONE.sub(lambda run: "-" if "-" in run[0] else "", kept)
    return unicodedata.normalize("NFC", lone) or code


def spell(seen: Iterable[str], rules: CodeRules, known: Mapping[str, str]) -> dict[str, str]:
    """The canonical spelling of each local code. Local codes with the same canonical spelling are one code.

    Args:
        seen: the local codes of a release, in any order.
        rules: the jurisdiction's rules. Its renames come before its list, and both before `known`.
        known: local -> canonical, from earlier releases: these spellings stay.
    """
    seen = list(seen)
    of_layers = {code: _cleaned_code(code) for code in seen if layer_of(code)}
    parts = {code: _split(code, rules) for code in seen if code not in of_layers}
    known = {local: code for local, code in known.items() if not layer_of(local)}
    spellings = _spellings((each.base for each in parts.values()), rules, known)
    canonical = {_cleaned_code(each) for each in (*rules.listed, *rules.same.values())}
    renames = {_spelled(theirs, spellings): _spelled(ours, spellings) for theirs, ours in rules.same.items()}

    def name(text: str) -> str:
        spelled = _spelled(text, spellings)
        return renames.get(spelled, spelled)

    def spelling(code: str, each: _CodeParts) -> str:
        return code if _cleaned_code(code) in canonical else (each.stem or name(each.base)) + each.tail

    return {**{code: name(spelling(code, each)) for code, each in sorted(parts.items())}, **of_layers}


def collisions(seen: Iterable[str], rules: CodeRules, known: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Groups of spellings that have the same key and are known to be several codes; they are not merged.

    A further spelling with that key could mean any of them, and stays as it is.
    """
    bases = [_split(code, rules).base for code in seen if not layer_of(code)]
    known = {local: code for local, code in known.items() if not layer_of(local)}
    declared = [*rules.listed, *rules.same, *rules.same.values(), *(_split(c, rules).base for c in known.values())]
    equivalent = _classes([*bases, *declared])
    refused = {key for key, spelling in _spellings(bases, rules, known).items() if spelling is None}
    return tuple(sorted(tuple(sorted(equivalent[key])) for key in refused & {fold(base) for base in bases}))


def facets(canonical: str, rules: CodeRules) -> tuple[Facet, ...]:
    """The facets of a code: one base, first, then overlays, conditions and planned development as the rules declare
    them. A code of an overlay layer has only overlays: `overlay historic: Old Port`.
    """
    if layer := layer_of(canonical):
        return tuple(dict.fromkeys(Facet(OVERLAY, code) for code in _codes_in_layer(canonical, layer, rules)))
    parts = _split(canonical, rules)
    return (Facet(BASE, parts.base), *dict.fromkeys(parts.facets))


def layer_code(layer: str, code: str | None) -> str:
    """The code of a district of an overlay layer: the layer, and the layer's own code if it has one."""
    return f"overlay {layer}: {code}" if code else f"overlay {layer}"


def layer_of(code: str) -> str | None:
    """The overlay layer of a code; None: it is a code of the zoning map itself. It does not depend on the rules, so
    that a layer that is no longer harvested is not taken for base zoning."""
    found = _LAYER.fullmatch(code)
    return found[1] if found else None


def _codes_in_layer(code: str, layer: str, rules: CodeRules) -> Iterable[str]:
    found = _LAYER.fullmatch(code)
    own, separator = (found and found[2]) or "", rules.layers.get(layer, "")
    is_list = separator and len(code) <= _MAX_LENGTH
    parts = [part.strip() for part in own.split(separator)] if is_list else [own]
    return [layer_code(layer, part) for part in parts if part] or [layer_code(layer, None)]


def ordinance_in(code: str) -> str | None:
    """The ordinance number in brackets at the end of a local code (`O2017-4840`): evidence, not part of the code."""
    text = _cleaned_code(code)
    inside = text[text.rfind("(") + 1 : -1].strip()
    return inside if text.endswith(")") and "(" in text and _ORDINANCE.fullmatch(inside) else None


def zone_type(base: str, rules: CodeRules) -> str | None:
    """The National Zoning Atlas type of a base code; None if it is unknown. The parcel is then published without a
    type.
    """
    kinds = {kind for code, kind in rules.types.items() if fold(code) == fold(base)}
    return rules.types.get(base) or (kinds.pop() if len(kinds) == 1 else None)


def version(rules: CodeRules) -> str:
    """A hash of the whole mapping: it changes with every rule, stated version and grammar, but not with their order."""
    stated = {key: each for key, each in asdict(rules).items() if key != "layers" or each}
    values = {key: sorted(set(each)) if isinstance(each, tuple) else each for key, each in stated.items()}
    text = json.dumps({**values, "grammar": _GRAMMAR}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spellings(bases: Iterable[str], rules: CodeRules, known: Mapping[str, str]) -> dict[str, str | None]:
    """The spelling of each code by key; None if several codes share a key. The first source that has a key decides:
    list, renames, then known.
    """
    sources = [*rules.listed, *rules.same.values()], rules.same, (_split(code, rules).base for code in known.values())
    found: dict[str, str | None] = {}
    for source in sources:
        for key, spellings in _classes(source).items():
            found.setdefault(key, next(iter(spellings)) if len(spellings) == 1 else None)
    for key, spellings in _classes(bases).items():
        found.setdefault(key, max(spellings, key=_preference))
    return found


def _classes(codes: Iterable[str]) -> dict[str, set[str]]:
    classes: dict[str, set[str]] = {}
    for code in codes:
        classes.setdefault(fold(code), set()).add(_cleaned_code(code))
    return classes


def _preference(spelling: str) -> tuple[bool, int, int, str]:
    """Prefer capitals, then fewer spaces, then the longer spelling (with a hyphen), as ordinances print codes."""
    return spelling == spelling.upper(), -spelling.count(" "), len(spelling), spelling


def _spelled(text: str, spellings: Mapping[str, str | None]) -> str:
    return spellings.get(fold(text)) or _cleaned_code(text)


def _split(code: str, rules: CodeRules) -> _CodeParts:
    """Remove declared parts from the end, one by one. A listed code is split only if the rest is listed too."""
    listed = {fold(each) for each in rules.listed}
    base, tail, found = _cleaned_code(code), "", list[Facet]()
    while (
        len(code) <= _MAX_LENGTH and (cut := _cut(base, rules)) and (fold(base) not in listed or fold(cut[0]) in listed)
    ):
        base, tail, found = cut[0], cut[1] + tail, [cut[2], *found]
    plan = _plan(base, rules) if len(code) <= _MAX_LENGTH else None
    if plan and (fold(base) not in listed or fold(plan[0]) in listed):
        return _CodeParts(plan[0], plan[1], tail, (Facet(PUD, plan[1]), *found))
    return _CodeParts(base, None, tail, tuple(found))


def _cut(code: str, rules: CodeRules) -> tuple[str, str, Facet] | None:
    """Split off the last declared part: the rest, the part in canonical spelling, and its facet; None if there is no
    declared part.
    """
    declared = [(part, CONDITION) for part in rules.conditions] + [(part, OVERLAY) for part in rules.overlays]
    for part, facet in sorted(declared, key=lambda each: (-len(each[0]), each)):
        at = _part_start(code, part)
        base = code[:at].rstrip(_JOINTS)
        gap = code[len(base) : at]
        if at and base and (gap or facet == CONDITION or not part[0].isalnum()):
            joint = "/" if "/" in gap else "-" if gap and part[0].isalnum() else ""
            return base, joint + part, Facet(facet, part.strip("()[]{} -/"))
    return None


def _part_start(code: str, part: str) -> int:
    """The index where the part begins at the end of the code, in any spelling; 0 if it is not there or begins inside a
    word.
    """
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
def _cleaned_code(code: str) -> str:
    """The code in its own case, with one kind of dash and of space, without invisible characters."""
    plain = "".join(_visible(char) for raw in code for char in _normalized_char(raw))
    return unicodedata.normalize("NFC", re.sub("-+", "-", " ".join(plain.split()))) or code


def _normalized_char(char: str) -> str:
    """NFKC, except for superscripts and fractions, which are no digits of the code: `R-1²` is not `R-12`."""
    return char if unicodedata.category(char) == "No" else unicodedata.normalize("NFKC", char)


def _visible(char: str) -> str:
    kind = unicodedata.category(char)
    if char.isspace():
        return " "
    return "-" if kind == "Pd" or char == "\N{MINUS SIGN}" else "" if kind in ("Cc", "Cf") else char
