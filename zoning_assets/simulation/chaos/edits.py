"""Edits of the parcels between two pages of one harvest: what the layer is afterwards, and when."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import count
from random import Random

import numpy as np

from zoning_assets.simulation.chaos.said import Asked, Inner, Make, Reply, Spoil
from zoning_assets.simulation.portal.polygon_arrays import Ints
from zoning_assets.simulation.portal.served_layer import Layer

KINDS = ("inserted", "deleted", "changed", "swapped")
_LATER_MS = 60_000
_KEPT = 8  # edited layers


def between_pages(kind: str, *, stamped: bool) -> Make:
    """After one of the first pages the layer is another. `stamped`: its metadata tell."""

    def make(rng: Random) -> Spoil:
        start, pages = rng.randint(1, 3), count(1)
        done = False

        def spoil(asked: Asked, inner: Inner) -> Reply:
            nonlocal done
            reply = inner(replace(asked, edit=lambda layer: edited(layer, kind, stamped=stamped)) if done else asked)
            done = done or (asked.whole_rows and next(pages) >= start)
            return reply

        return spoil

    return make


@lru_cache(maxsize=_KEPT)
def edited(layer: Layer, kind: str, *, stamped: bool) -> Layer:
    """The layer after an edit; the same one each time.

    Where the layer does not tell of the edit, `changed` changes one row only: rows of before beside rows of after would
    be seen by nobody, and each of them was true.
    """
    plain = _plain(layer)
    made = _EDITS[kind](layer, plain if stamped else plain[:1])
    about = replace(layer.about, edited_ms=layer.about.edited_ms + _LATER_MS) if stamped else layer.about
    return Layer(made.name, made.columns, made.shapes, about)


def _plain(layer: Layer) -> Ints:
    """Rows with one simple ring and a key of their own, from low to high ids, three of them."""
    pins, how_often = np.unique([pin or "" for pin in layer.columns["PIN"]], return_counts=True)
    once = set(pins[how_often == 1].tolist())
    rows = [
        row for row in range(len(layer)) if layer.columns["PIN"][row] in once and len(layer.shapes.rings_of(row)) == 1
    ]
    return np.array([rows[len(rows) // 40], rows[len(rows) // 2], rows[-1]])


def _inserted(layer: Layer, plain: Ints) -> Layer:
    """A new row beside each: the same shape under another key."""
    rows, columns = np.append(np.arange(len(layer)), plain), dict(layer.columns)
    for name, values in columns.items():
        columns[name] = values[rows].copy()
    last = layer.ids[-1]
    for i, row in enumerate(plain.tolist()):
        columns[layer.oid][len(layer) + i] = last + 1 + i
        columns["PIN"][len(layer) + i] = f"{layer.columns['PIN'][row]}-X"
    return Layer(layer.name, columns, layer.shapes.taken(rows), layer.about)


def _deleted(layer: Layer, plain: Ints) -> Layer:
    kept = np.setdiff1d(np.arange(len(layer)), plain)
    columns = {name: values[kept] for name, values in layer.columns.items()}
    return Layer(layer.name, columns, layer.shapes.taken(kept), layer.about)


def _changed(layer: Layer, plain: Ints) -> Layer:
    """Another use."""
    uses = layer.columns["USE_CODE"].copy()
    uses[plain] = "999"
    return Layer(layer.name, {**layer.columns, "USE_CODE": uses}, layer.shapes, layer.about)


def _swapped(layer: Layer, plain: Ints) -> Layer:
    """As many new rows as old ones go: the count stays."""
    return _deleted(_inserted(layer, plain), plain)


_EDITS: Mapping[str, Callable[[Layer, Ints], Layer]] = {
    "inserted": _inserted,
    "deleted": _deleted,
    "changed": _changed,
    "swapped": _swapped,
}
