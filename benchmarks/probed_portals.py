"""Portals of the feed types without a simulated portal in the package: those of the tests, in a process of their own.

As a program it prints one JSON line, feed type -> address of the layer, and ends at the end of standard input.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager

from benchmarks.processes import ROOT
from tests.sources.ckan.fake_ckan import TABLE, FakeCkan
from tests.sources.ogc_api_features.fake_ogc import FakeOgc
from tests.sources.ogc_api_features.ogc_request import lots
from tests.sources.opendatasoft.fake_opendatasoft import ID as DATASET
from tests.sources.opendatasoft.fake_opendatasoft import FakeOpendatasoft
from tests.sources.socrata.fake_socrata import ID as VIEW
from tests.sources.socrata.fake_socrata import FakeSocrata, row
from tests.sources.wfs.fake_wfs import FakeWfs
from tests.support.http_desk import Answers, served

LOTS = 500
#: Feed type -> path of the layer, and the further keys of its feed.
LAYERS: Mapping[str, tuple[str, str]] = {
    "ckan": (f"/dataset/cambridge/resource/{TABLE}", 'key = "ml"\ncrs = "EPSG:4326"'),
    "ogc-features": ("/api/collections/lots", 'key = "pin"'),
    "opendatasoft": (f"/explore/dataset/{DATASET}/", 'key = "ml"'),
    "socrata": (f"/Property/Parcels/{VIEW}", 'key = "pin"'),
    "wfs": ("/wfs", 'key = "pin"\nlayer = "lots"'),
}


def _portals() -> dict[str, Answers]:
    numbered = lots(LOTS)
    return {
        "ckan": FakeCkan([{"ml": key, "the_geom": shape.wkt if shape else None} for _, key, shape in numbered]),
        "ogc-features": FakeOgc(numbered),
        "opendatasoft": FakeOpendatasoft([(key, shape) for _, key, shape in numbered]),
        "socrata": FakeSocrata([row(number, key, shape) for number, key, shape in numbered]),
        "wfs": FakeWfs(numbered),
    }


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Start the portals; yield the address of each layer, by feed type.

    Raises:
        RuntimeError: they did not start.
    """
    command = [sys.executable, "-m", "benchmarks.probed_portals"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                message = "the portals did not start; see their messages above"
                raise RuntimeError(message)
            yield json.loads(line)
        finally:
            process.terminate()


async def _serve() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with AsyncExitStack() as stack:
        portals = _portals()
        urls = {name: await stack.enter_async_context(served(each)) for name, each in portals.items()}
        sys.stdout.write(json.dumps({name: url.removesuffix("/layer") + LAYERS[name][0] for name, url in urls.items()}))
        sys.stdout.write("\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
