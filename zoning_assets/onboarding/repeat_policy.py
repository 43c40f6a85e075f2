"""Propose a policy for keys that occur in several rows: parts of one parcel, or placeholders for no key. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoning_assets.transform import normalize

#: Values that stand for a missing key: dashes, zeros, words for roads and water, words for an unknown key.
_PLACEHOLDER = re.compile(
    r"[\W_]*|[\W_0]+|9{4,}|x{2,}"
    r"|(n[./ ]?a\.?|none|null|nil|no ?(data|pin|apn|id|parcel( id)?|number)|unk(nown|n)?|unassigned|undefined)"
    r"|(tbd|misc|other|void)"
    r"|(r[./ ]?o[./ ]?w\.?|road(way)?|rd|str(eet)?s?|right[ -]?of[ -]?way|alley|highway|hwy|rail(road)?|rr|easement)"
    r"|(water|river|lake|creek|pond|canal|ocean|gap|sliver|common( area)?s?|open space|park|private|public|exempt)",
    re.IGNORECASE,
)
#: Parts of one parcel: at most so many rows share a key, and at least this share of their text columns agrees.
_MOST_PARTS, _SAME = 12, 0.5
#: The greatest share of rows with placeholders that may be rejected; above it each row becomes a parcel.
_FEW = 0.02


@dataclass(frozen=True)
class Policy:
    """The proposed value of `on_repeated_key`, and the reason."""

    choice: str
    why: str


def is_placeholder(key: str) -> bool:
    """Whether a key is a placeholder for a missing one."""
    return _PLACEHOLDER.fullmatch(key.strip()) is not None


def policy(rows: Sequence[Mapping[str, Any]], key: str, managed: Collection[str]) -> Policy:
    """Propose the policy for the repeated keys of some rows.

    `dissolve` is proposed only if the repeated keys look like parcels of several parts: few rows per key that agree in
    their other columns. Placeholders are never dissolved.

    Args:
        rows: some rows of the layer.
        key: the key column.
        managed: columns that the portal maintains itself; they are not compared.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if (text := normalize.key_of(row.get(key))) is not None:
            groups[text].append(row)
    repeated = {text: members for text, members in groups.items() if len(members) > 1}
    if not repeated:
        return Policy("reject", "no key repeats in the sampled rows")
    empty = Counter({text: len(members) for text, members in repeated.items() if is_placeholder(text)})
    if empty:
        shown = ", ".join(f"{text!r} in {number} rows" for text, number in empty.most_common(3))
        few = len(empty) == len(repeated) and empty.total() <= _FEW * len(rows)
        kept = "they are rejected" if few else "each row becomes a parcel of its own"
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
    """The share of (key, text column) pairs in which all rows of the key agree. Other columns, such as areas and dates,
    differ between the parts of a parcel and are not compared."""
    names = {name for group in groups for row in group for name in row if name not in beside}
    of_text = {name for group in groups for row in group for name in row if isinstance(row[name], str)}
    compared = [name for name in sorted(names & of_text) if not normalize.is_managed(name)]
    pairs = [len({normalize.key_of(row.get(name)) for row in group}) == 1 for group in groups for name in compared]
    return sum(pairs) / len(pairs) if pairs else 1.0
