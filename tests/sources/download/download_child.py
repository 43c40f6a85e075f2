"""A download as a process of its own, for tests that kill it or run several: address, folder."""

import asyncio
import sys
from pathlib import Path

from tests.sources.desk import request_for
from tests.sources.portals import count_of
from zoning_assets.http import Http
from zoning_assets.sources.download import download_source


async def main(url: str, folder: Path) -> None:
    """Fetch the file and read its pages; print how many rows came of it."""
    async with Http() as http:
        source = await download_source.open_source(request_for(url, folder, http.for_work()))
        rows = await count_of(source)
    print(rows, source.stamp["sha256"])  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
