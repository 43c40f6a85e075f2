"""`zoning onboard --list` on many simulated portals, some of which are down, slow, silent, or answer something else.

The portals are one process, `python -m benchmarks.listed_portals KIND=NUMBER...`: it prints their addresses, and at the
end of its standard input the moments of all requests. The command and its database are as users have them.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web

from benchmarks.chaos import fresh_database
from benchmarks.footprint import Footprint
from benchmarks.processes import ROOT, environment
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal

#: The path of the service, and of its layer of parcels.
_SERVICE = "/arcgis/rest/services/County/FeatureServer"
_LAYER = f"{_SERVICE}/0"
_PARCELS, _SLOW_S, _SILENT_S = 300, 1.0, 3600.0
#: Of a hundred portals, how many are of each kind. The rest works.
_BAD = {"slow": 6, "down": 4, "silent": 4, "page": 2, "loop": 2, "error": 2}


def measure(server: str, portals: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run the command on a list of portals.

    Returns:
        `seconds` of the command; `in_turn_s`, the sum of the times of all addresses; `most_a_minute`, the most requests
        that one portal received in 60 seconds; `memory_mib`, the largest sum of its processes; and `kinds[]`.
    """
    numbers = {kind: number * portals // 100 for kind, number in _BAD.items()}
    kinds = {"good": portals - sum(numbers.values()), **numbers}
    tell(f"starting {portals} portals")
    with TemporaryDirectory(prefix="zoning-bench-") as folder, fresh_database(server) as url, _served(kinds) as served:
        addresses, finish = served
        listed = Path(folder) / "list.txt"
        listed.write_text("".join(f"{url} us-xx-{kind}-{n}\n" for n, (kind, url) in enumerate(addresses)))
        tell("asking them")
        command = [sys.executable, "-m", "zoning_assets.cli", "onboard", "--list", str(listed), "--write", "--json"]
        began = time.monotonic()
        with (
            subprocess.Popen(
                command, stdout=subprocess.PIPE, env=environment(Path(folder), url), cwd=ROOT, start_new_session=True
            ) as process,
            Footprint(process.pid) as footprint,
        ):
            document = json.loads(process.communicate()[0])
        seconds = time.monotonic() - began
        received = finish()
    rows = _kinds(document)
    return {
        "portals": portals,
        "seconds": round(seconds, 1),
        "in_turn_s": round(sum(each["seconds_sum"] for each in rows), 1),
        "requests": sum(map(len, received)),
        "most_a_minute": max((_most_within(times, 60.0) for times in received), default=0),
        "memory_mib": footprint.peaks.total >> 20,
        "load": os.getloadavg()[0],
        "kinds": rows,
    }


def _kinds(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Requests and seconds of the addresses of each kind, and what became of them."""
    found = defaultdict[str, list[Mapping[str, Any]]](list)
    for each in [*document["proposals"], *document["failed"]]:
        found[each["id"].split("-")[2]].append(each)
    return [
        {
            "kind": kind,
            "portals": len(mine),
            "proposed": sum("toml" in each for each in mine),
            "requests_most": max(each["requests"] for each in mine),
            "seconds_median": round(median(each["seconds"] for each in mine), 1),
            "seconds_sum": sum(each["seconds"] for each in mine),
            "why": next((each["why"] for each in mine if "why" in each), ""),
        }
        for kind, mine in sorted(found.items())
    ]


def _most_within(times: Sequence[float], seconds: float) -> int:
    return max((sum(start <= each < start + seconds for each in times) for start in times), default=0)


@contextmanager
def _served(kinds: Mapping[str, int]) -> Iterator[tuple[list[tuple[str, str]], Callable[[], list[list[float]]]]]:
    """Start the portals; yield their kinds and addresses, and a function that ends them and returns their requests."""
    command = [sys.executable, "-m", "benchmarks.listed_portals", *(f"{kind}={n}" for kind, n in kinds.items())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            addresses = [tuple(each) for each in json.loads(process.stdout.readline())]
            yield addresses, lambda: json.loads(process.communicate()[0])
        finally:
            process.kill()


async def _serve(kinds: Mapping[str, int]) -> None:
    releases, received, addresses = CountyReleases(_PARCELS, page_rows=1000), list[list[float]](), []
    async with AsyncExitStack() as stack:
        for kind, number in kinds.items():
            for each in range(number):
                received.append([])
                portal = county_portal(releases, fault=_fault(kind, received[-1]))
                at = _free_address() if kind == "down" else await stack.enter_async_context(portal.running())
                addresses.append((kind, f"{at}{_LAYER if each % 2 else _SERVICE}"))
        sys.stdout.write(json.dumps(addresses) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        sys.stdout.write(json.dumps(received))
        sys.stdout.flush()
        os._exit(0)  # silent portals would hold their connections


def _fault(kind: str, received: list[float]) -> Callable[[web.Request], Any]:
    """What a portal of a kind does with a request; None: it answers correctly."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        received.append(time.monotonic())
        await asyncio.sleep({"slow": _SLOW_S, "silent": _SILENT_S}.get(kind, 0.0))
        if kind == "page":
            return web.Response(text="<html><title>Firewall</title></html>", content_type="text/html")
        if kind == "loop":
            return web.Response(status=302, headers={"Location": request.path_qs})
        return web.Response(status=500) if kind == "error" else None

    return fault


def _free_address() -> str:
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


if __name__ == "__main__":
    asyncio.run(_serve({kind: int(number) for kind, _, number in (each.partition("=") for each in sys.argv[1:])}))
