"""Rows that a server never returns, and the proof that it has none.

MapServer leaves rows without a shape out of everything: pages, counts, and the response to a request for one id
(measured with version 8.0, over WFS and OGC API). Its count then agrees with its pages and proves nothing. The proof
is: the ids are numbers from 1 on, without a gap.
"""

from typing import Any

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode.row_identity import IdNumbers


def check(request: Request, numbers: IdNumbers, rows: int, proof: dict[str, Any]) -> None:
    """Check whether rows may be hidden, after all rows of a layer of MapServer were fetched.

    Args:
        request: its feed states whether hidden rows are accepted.
        numbers: the numbers in all ids.
        rows: how many rows were fetched.
        proof: receives the finding.

    Raises:
        HarvestIncomplete: rows may be hidden, and the jurisdiction file does not accept it.
    """
    missing = numbers.missing()
    if missing == 0:
        proof["rows that the server hides"] = f"none: its ids are 1 to {rows:,} without a gap"
        return
    which = "its ids are not numbers" if missing is None else f"its ids have gaps ({missing:,} in all)"
    what = f"MapServer hides rows without a shape and does not count them: {rows:,} rows came, and {which}"
    if request.feed.hidden_rows != "accept":
        raise HarvestIncomplete(
            what,
            where=request.where,
            do='use another feed of this layer (a file, another server), or set `hidden_rows = "accept"` in the file',
        )
    proof["rows that the server hides"] = f"accepted: {what}"
