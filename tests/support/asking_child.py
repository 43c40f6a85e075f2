"""A process that asks a host over the shared ledger, for tests of many: `python -m tests.support.asking_child JSON`.

Prints a line when it is ready, begins when it reads one, and prints what became of its questions."""

import asyncio
import json
import sys
from collections import Counter

import orjson

from zoning_assets.errors import ZoningError
from zoning_assets.http import Http
from zoning_assets.model import Portal
from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(task: dict) -> dict[str, int]:
    """As many questions as the task says, some at a time."""
    portal, slots, found = Portal(**task["portal"]), asyncio.Semaphore(task.get("at_once", 16)), Counter()
    async with Http(ledger=PostgresLedger(task["database"])) as http:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)

        async def one() -> None:
            async with slots:
                try:
                    await http.for_work().query(portal, task["url"], {}, read=orjson.loads)
                except ZoningError as error:
                    found[type(error).__name__] += 1
                else:
                    found["answered"] += 1

        await asyncio.gather(*(one() for _ in range(task["questions"])))
    return dict(found)


if __name__ == "__main__":
    say(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
