"""Rows of an overlay layer in the columns of the zoning map that they are published with."""

from collections.abc import Mapping, Sequence
from typing import Any

from zoning_assets.model import Feed
from zoning_assets.transform import normalize
from zoning_assets.transform.changes import zoning_codes
from zoning_assets.transform.geometry import content_hash

#: The attribute with the name of the overlay layer.
LAYER = "overlay"


def as_base_rows(
    rows: Sequence[Mapping[str, Any]], name: str, feed: Feed, base: Feed, layer: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Attributes of an overlay's rows with the names of the map's own columns.

    Args:
        rows: as the overlay's portal sent them.
        name: of the overlay layer.
        feed: the overlay; `fields` gives its columns.
        base: the zoning map; `fields` gives the columns to fill, `key` the column of the key.
        layer: see normalize.normalize.

    Returns:
        Rows with the map's columns for the code (zoning_codes.layer_code), the type and the date, and its key
            `NAME/KEY`; with the other columns, of which those that the map's own columns would hide get `_overlay`
            appended; and with LAYER.
    """
    names = sorted(set[str]().union(*rows))
    kept = [each for each in names if not (each in layer.get("managed", ()) or normalize.is_managed(each))]
    kept = sorted({*kept, *(each for each in feed.fields.values() if each in names)})
    dates = layer.get("dates", ())
    cleaned = {each: normalize.cleaned_values([row.get(each) for row in rows], is_date=each in dates) for each in kept}
    decoded, _ = normalize.decoded_values(rows, cleaned, feed.fields.values(), layer)
    taken = {*base.fields.values(), base.key, LAYER}
    mine = {ours: feed.fields[ours] for ours in feed.fields if ours in base.fields}
    rest = [each for each in kept if each not in mine.values() and each != feed.key]
    return [
        {
            **{f"{each}_overlay" if each in taken else each: cleaned[each][at] for each in rest},
            **{base.fields[ours]: decoded[column][at] for ours, column in mine.items() if column in decoded},
            base.fields["code"]: zoning_codes.layer_code(name, _text(decoded.get(feed.fields.get("code", "")), at)),
            **({base.key: _key(name, row.get(feed.key or ""))} if base.key else {}),
            LAYER: name,
        }
        for at, row in enumerate(rows)
    ]


def _text(column: Sequence[Any] | None, at: int) -> str | None:
    return None if column is None or column[at] is None else str(column[at])


def _key(name: str, raw: Any) -> str | None:
    key = content_hash.key(raw)
    return None if key is None else f"{name}/{key}"
