"""A download as a process of its own, for tests that kill it or run several: address, folder."""

import asyncio
import sys
from pathlib import Path

from tests.feeds.desk import request_for
from zoning_assets.feeds import download
from zoning_assets.http import Http
from zoning_assets.model import Place


class _Rows:
    """A draft that counts."""

    def __init__(self) -> None:
        self.rows = 0

    def add(self, _body: bytes, *, rows: int, **_: object) -> None:
        self.rows += rows


async def main(url: str, folder: Path) -> None:
    """Fetch the file, find its tiles, cut them out; print how many rows came of it."""
    async with Http() as http:
        source = await download.open_source(request_for(url, folder, http.for_work()))
        cover, rows = await source.cover(exact=True), _Rows()
        for tile in cover.tiles:
            await source.fetch(Place("us-xx-town", tile), cover, rows)  # type: ignore[arg-type]
    print(rows.rows, source.stamp["sha256"])  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
