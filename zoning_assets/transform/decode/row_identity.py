"""Identify rows of portals that do not always have an id column."""

import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely

from zoning_assets.transform.decode.rows import Rows

#: Names of columns with row ids, the preferred ones first.
_ID_COLUMNS = ("objectid", "fid", "ogc_fid", "gid", "id", "globalid", "feature_id", "featureid")
_LAST_NUMBER = re.compile(r"(.*\D)?(\d{1,18})", re.DOTALL | re.ASCII)


def id_column(names: Iterable[str]) -> str | None:
    """Return the column with row ids, chosen by its name; None if there is none."""
    by_name = {name.lower(): name for name in names}
    return next((by_name[name] for name in _ID_COLUMNS if name in by_name), None)


def row_ids(own: Sequence[Any], rows: Rows, numbered: str | None) -> list[str]:
    """Return one id per row: the feature's own id, else the value of the id column, else a hash of the row.

    Equal rows get equal hashes and count once. So a layer is complete if its number of different ids equals the number
    of rows that the portal states.

    Args:
        own: the ids of the features; may be empty.
        rows: the rows, in the same order.
        numbered: the id column, see `id_column`.
    """
    if own and all(_is_id(each) for each in own):
        return [str(each) for each in own]
    if numbered and all(_is_id(row.get(numbered)) for row in rows.attributes):
        return [str(row[numbered]) for row in rows.attributes]
    wkbs = shapely.to_wkb(rows.geometry, output_dimension=2).tolist()
    return [_hash(row, wkb) for row, wkb in zip(rows.attributes, wkbs, strict=True)]


def _is_id(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value != "")


def _hash(row: Any, wkb: bytes | None) -> str:
    text = json.dumps(row, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "replace") + b"\0" + (wkb or b""), digest_size=16).hexdigest()


class IdNumbers:
    """Collect the integers at the end of ids, to find gaps; 8 bytes per row.

    All ids must have the same prefix. Example: in `parcels.1` and `parcels.3` one number is missing.
    """

    def __init__(self) -> None:
        self._numbers = array("q")
        self._prefix: str | None = None

    def add(self, texts: Iterable[str]) -> None:
        """Add the ids of a page."""
        for text in texts:
            found = _LAST_NUMBER.fullmatch(text)
            prefix, number = (found[1] or "", int(found[2])) if found else (None, -1)
            self._prefix = prefix if self._prefix is None and not self._numbers else self._prefix
            self._numbers.append(number if prefix is not None and prefix == self._prefix else -1)

    def missing(self) -> int | None:
        """Count the numbers between 1 and the largest that do not occur; None if the ids are not distinct numbers."""
        numbers = np.unique(np.frombuffer(self._numbers, dtype=np.int64))
        if len(numbers) == 0 or len(numbers) < len(self._numbers) or numbers[0] < 0:
            return None
        return int(numbers[-1]) - int(np.count_nonzero(numbers > 0))
