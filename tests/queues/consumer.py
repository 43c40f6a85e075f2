"""A consumer as a process of its own, for tests that kill it; it handles messages as the sensor does, for ever."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from zoning_assets.errors import StoreError
from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.operations import amendment_consumer
from zoning_assets.queues import Message, Queue, open_queue

TOWN = Jurisdiction("us-xx-a", "town", (-71.2, 42.3, -71.0, 42.5), {"parcels": Feed("parcels", "arcgis", "")})


def find(id_: str) -> Jurisdiction:
    return replace(TOWN, id=id_)


class Counting(Queue):
    """Notes how many it took, and how many of these had been taken before."""

    def __init__(self, queue: Queue, tally: Path) -> None:
        self.__dict__ = queue.__dict__ | {"tally": tally}

    async def take(self, most: int = 100, wait_s: float = 0.0) -> list[Message]:
        taken = await super().take(most, wait_s)
        if taken:
            with self.tally.open("ab", buffering=0) as file:
                file.write(f"{len(taken)} {sum(each.deliveries > 1 for each in taken)}\n".encode())
        return taken


async def consume(url: str, name: str, database: str, tally: Path, lease_s: float, *, ever: bool) -> None:
    """Until nothing comes any more, or for ever."""
    while True:
        try:
            async with open_queue(url, name, lease_s=lease_s) as queue, open_queue(url, f"{name}-t") as tiles:
                counting = Counting(queue, tally)
                while (
                    await amendment_consumer.receive(counting, tiles, database, find, most=100, wait_s=2)
                ).taken or ever:
                    pass
                return
        except StoreError:
            await asyncio.sleep(0.2)


def main(url: str, name: str, database: str, tally: Path, lease_s: float, environ: dict[str, str]) -> None:
    os.environ |= environ
    asyncio.run(consume(url, name, database, tally, lease_s, ever=True))
