"""What is to become of keys that stand in several rows: one parcel of several parts, or no parcel at all. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoning_assets.transform import normalize

#: What stands for a key where a row has none: dashes, zeros, words for roads and for not knowing.
_PLACEHOLDER = re.compile(
    r"[\W_]*|[\W_0]+|9{4,}|x{2,}"
    r"|(n[./ ]?a\.?|none|null|nil|no ?(data|pin|apn|id|parcel( id)?|number)|unk(nown|n)?|unassigned|undefined)"
    r"|(tbd|misc|other|void)"
    r"|(r[./ ]?o[./ ]?w\.?|road(way)?|rd|str(eet)?s?|right[ -]?of[ -]?way|alley|highway|hwy|rail(road)?|rr|easement)"
    r"|(water|river|lake|creek|pond|canal|ocean|gap|sliver|common( area)?s?|open space|park|private|public|exempt)",
    re.IGNORECASE,
)
#: Of rows that share a key at most so many are parts of one parcel, and so many of their columns of text agree.
_MOST_PARTS, _SAME = 12, 0.5
#: More held back than that, and each row becomes a parcel of its own.
_FEW = 0.02


@dataclass(frozen=True)
class Policy:
    """What to write for `on_repeated_key`, and why."""

    choice: str
    why: str


def is_placeholder(key: str) -> bool:
    """Whether a key stands for none."""
    return _PLACEHOLDER.fullmatch(key.strip()) is not None


def policy(rows: Sequence[Mapping[str, Any]], key: str, managed: Collection[str]) -> Policy:
    """The policy for the repeated keys of some rows.

    `dissolve` only where repeated keys look like parcels of several parts: few rows a key, which agree in what else
    they say. What stands for no key at all is never made one parcel.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if (text := normalize.key_of(row.get(key))) is not None:
            groups[text].append(row)
    repeated = {text: members for text, members in groups.items() if len(members) > 1}
    if not repeated:
        return Policy("reject", "no key repeats in the rows looked at")
    empty = Counter({text: len(members) for text, members in repeated.items() if is_placeholder(text)})
    if empty:
        shown = ", ".join(f"{text!r} in {number} rows" for text, number in empty.most_common(3))
        few = len(empty) == len(repeated) and empty.total() <= _FEW * len(rows)
        kept = "they are held back" if few else "each row becomes a parcel of its own"
        return Policy(
            "reject" if few else "suffix", f"{shown}: a placeholder, not a key, so these rows are not merged; {kept}"
        )
    largest = max(map(len, repeated.values()))
    if largest <= _MOST_PARTS and _agreement(list(repeated.values()), {key, *managed}) >= _SAME:
        return Policy("dissolve", f"{len(repeated)} keys repeat in rows that agree: parts of one parcel")
    return Policy(
        "suffix",
        f"{len(repeated)} keys repeat in up to {largest} rows that differ: each row becomes a parcel of its own",
    )


def _agreement(groups: Sequence[Sequence[Mapping[str, Any]]], beside: Collection[str]) -> float:
    """The share of columns of text in which the rows of a key say the same, over all keys; areas and dates are each
    part's own."""
    names = {name for group in groups for row in group for name in row if name not in beside}
    of_text = {name for group in groups for row in group for name in row if isinstance(row[name], str)}
    told = [name for name in sorted(names & of_text) if not normalize.is_managed(name)]
    pairs = [len({normalize.key_of(row.get(name)) for row in group}) == 1 for group in groups for name in told]
    return sum(pairs) / len(pairs) if pairs else 1.0
