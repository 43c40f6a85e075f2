"""Rows that a server never shows, and what proves that it has none.

MapServer leaves rows without a shape out of all that it says: of pages, of its count, and of its answer about the one
row that is asked for by id (measured with 8.0, by WFS and by OGC API). Its count agrees with its pages and proves
nothing. What does: ids that are numbered from 1 on and leave out none.
"""

from typing import Any

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode.row_identity import Numbers


def check(request: Request, numbers: Numbers, rows: int, proof: dict[str, Any]) -> None:
    """Whether rows may be hidden, after a walk through the layer of a server that hides some.

    Args:
        request: its feed says whether that is accepted.
        numbers: of all ids.
        rows: how many came.
        proof: receives what was found.

    Raises:
        HarvestIncomplete: they may, and the jurisdiction file does not accept it.
    """
    left_out = numbers.left_out()
    if left_out == 0:
        proof["rows that the server hides"] = f"none: its ids are 1 to {rows:,} and leave out none"
        return
    which = "its ids are not numbered" if left_out is None else f"its ids leave out {left_out:,}"
    what = f"MapServer shows no row without a shape and does not count them: {rows:,} rows came, and {which}"
    if request.feed.hidden_rows != "accept":
        raise HarvestIncomplete(
            what,
            where=request.where,
            do='take the layer by another way (a file, another server), or set `hidden_rows = "accept"` in the file',
        )
    proof["rows that the server hides"] = f"accepted: {what}"
