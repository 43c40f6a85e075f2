"""What tells a row from the others, where a portal does not always say."""

import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely

from zoning_assets.transform.decode.rows import Rows

#: Columns in which servers number rows; in the order in which they are preferred.
_NUMBERED = ("objectid", "fid", "ogc_fid", "gid", "id", "globalid", "feature_id", "featureid")
_LAST_NUMBER = re.compile(r"(.*\D)?(\d{1,18})", re.DOTALL | re.ASCII)


def column(names: Iterable[str]) -> str | None:
    """The column that numbers the rows, by its name; None where none is called so."""
    by_name = {name.lower(): name for name in names}
    return next((by_name[name] for name in _NUMBERED if name in by_name), None)


def ids(own: Sequence[Any], rows: Rows, numbered: str | None) -> list[str]:
    """A text a row: its own id, else what stands in the column that numbers rows, else all that it says.

    Equal rows then count once: as many different rows as the portal counts are all of them.
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


class Numbers:
    """The whole numbers that ids end in, as long as all are of one form; 8 bytes a row.

    `parcels.1` and `parcels.3` are of one form, and leave out one.
    """

    def __init__(self) -> None:
        self._numbers = array("q")
        self._form: str | None = None

    def add(self, texts: Iterable[str]) -> None:
        """Note the ids of a page."""
        for text in texts:
            found = _LAST_NUMBER.fullmatch(text)
            form, number = (found[1] or "", int(found[2])) if found else (None, -1)
            self._form = form if self._form is None and not self._numbers else self._form
            self._numbers.append(number if form is not None and form == self._form else -1)

    def left_out(self) -> int | None:
        """How many numbers between 1 and the largest do not occur; None where the ids are not numbered so."""
        numbers = np.unique(np.frombuffer(self._numbers, dtype=np.int64))
        if len(numbers) == 0 or len(numbers) < len(self._numbers) or numbers[0] < 0:
            return None
        return int(numbers[-1]) - int(np.count_nonzero(numbers > 0))
