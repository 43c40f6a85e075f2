"""Edits of the parcels between two pages of one harvest."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import count
from random import Random

import numpy as np

from zoning_assets.simulation.chaos.exchange import FaultFactory, FaultyHandler, Handler, Reply, ServiceRequest
from zoning_assets.simulation.portal.polygon_arrays import Ints
from zoning_assets.simulation.portal.served_layer import ServedLayer

KINDS = ("inserted", "deleted", "changed", "swapped")
_LATER_MS = 60_000
_CACHED = 8  # edited layers


def between_pages(kind: str, *, stamped: bool) -> FaultFactory:
    """Edit the layer after one of the first pages. `stamped`: its metadata state the edit."""

    def create(rng: Random) -> FaultyHandler:
        start, pages = rng.randint(1, 3), count(1)
        done = False

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            nonlocal done
            reply = handler(
                replace(request, edit=lambda layer: edited(layer, kind, stamped=stamped)) if done else request
            )
            done = done or (request.is_harvest_page and next(pages) >= start)
            return reply

        return faulty

    return create


@lru_cache(maxsize=_CACHED)
def edited(layer: ServedLayer, kind: str, *, stamped: bool) -> ServedLayer:
    """The layer after an edit; always the same object.

    If the edit is not stamped, `changed` changes one row only: with several, a mixture of old and new rows could not be
    detected, although each row was correct at some time.
    """
    rows = _editable_rows(layer)
    after = _EDITS[kind](layer, rows if stamped else rows[:1])
    about = replace(layer.about, edited_ms=layer.about.edited_ms + _LATER_MS) if stamped else layer.about
    return ServedLayer(after.name, after.columns, after.shapes, about)


def _editable_rows(layer: ServedLayer) -> Ints:
    """Three rows, with ascending ids, that have one ring and a key that no other row has."""
    pins, how_often = np.unique([pin or "" for pin in layer.columns["PIN"]], return_counts=True)
    once = set(pins[how_often == 1].tolist())
    rows = [
        row for row in range(len(layer)) if layer.columns["PIN"][row] in once and len(layer.shapes.rings_of(row)) == 1
    ]
    return np.array([rows[len(rows) // 40], rows[len(rows) // 2], rows[-1]])


def _inserted(layer: ServedLayer, rows: Ints) -> ServedLayer:
    """A copy of each of the rows with a new key."""
    order, columns = np.append(np.arange(len(layer)), rows), dict(layer.columns)
    for name, values in columns.items():
        columns[name] = values[order].copy()
    last = layer.ids[-1]
    for i, row in enumerate(rows.tolist()):
        columns[layer.oid][len(layer) + i] = last + 1 + i
        columns["PIN"][len(layer) + i] = f"{layer.columns['PIN'][row]}-X"
    return ServedLayer(layer.name, columns, layer.shapes.taken(order), layer.about)


def _deleted(layer: ServedLayer, rows: Ints) -> ServedLayer:
    kept = np.setdiff1d(np.arange(len(layer)), rows)
    columns = {name: values[kept] for name, values in layer.columns.items()}
    return ServedLayer(layer.name, columns, layer.shapes.taken(kept), layer.about)


def _changed(layer: ServedLayer, rows: Ints) -> ServedLayer:
    """Another USE_CODE in the rows."""
    uses = layer.columns["USE_CODE"].copy()
    uses[rows] = "999"
    return ServedLayer(layer.name, {**layer.columns, "USE_CODE": uses}, layer.shapes, layer.about)


def _swapped(layer: ServedLayer, rows: Ints) -> ServedLayer:
    """As many rows inserted as deleted, so that the count does not change."""
    return _deleted(_inserted(layer, rows), rows)


_EDITS: Mapping[str, Callable[[ServedLayer, Ints], ServedLayer]] = {
    "inserted": _inserted,
    "deleted": _deleted,
    "changed": _changed,
    "swapped": _swapped,
}
