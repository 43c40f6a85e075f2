"""How long the map's tiles take: `python -m benchmarks.map_tiles http://127.0.0.1:8484 [TILES]`.

Random tiles with parcels of the first jurisdiction, at each zoom level at which the page asks for them; each tile is
asked for twice, and the second answer counts (PostGIS is warm). Prints JSON: milliseconds and bytes.
"""

import json
import math
import random
import sys
import time
import urllib.request
from typing import Any

LEVELS = {
    "zoning.zoned_parcel": (14, 15, 16, 17, 18),
    "zoning.zoned_district": (10, 12, 14),
    "zoning.change_feature": (10, 12, 14),
}
COLUMNS = {"zoning.zoned_parcel": "?properties=jurisdiction,parcel_id,zoning_code,zone_type"}


def fetch(address: str) -> tuple[bytes, float]:
    """A body, and milliseconds."""
    started = time.perf_counter()
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310
        body = answer.read()
    return body, (time.perf_counter() - started) * 1000


def tile_of(lon: float, lat: float, zoom: int) -> tuple[int, int]:
    """Column and row of the tile of a place."""
    n = 2**zoom
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * n), int(y * n)


def measure(base: str, collection: str, bounds: list[float], zoom: int, tiles: int) -> dict[str, Any]:
    """The times of random tiles of a collection that are not empty."""
    west, south, east, north = bounds
    chosen = {tile_of(random.uniform(west, east), random.uniform(south, north), zoom) for _ in range(tiles * 3)}
    taken: list[float] = []
    sizes: list[int] = []
    for x, y in list(chosen)[:tiles]:
        address = f"{base}/collections/{collection}/tiles/WebMercatorQuad/{zoom}/{x}/{y}{COLUMNS.get(collection, '')}"
        if not fetch(address)[0]:
            continue
        body, took = fetch(address)
        taken.append(took)
        sizes.append(len(body))
    taken.sort()
    if not taken:
        return {"tiles": 0}
    return {
        "tiles": len(taken),
        "median_ms": round(taken[len(taken) // 2], 1),
        "p95_ms": round(taken[min(int(len(taken) * 0.95), len(taken) - 1)], 1),
        "largest_kb": max(sizes) // 1024,
    }


def main() -> None:
    """Measure and print."""
    base, tiles = sys.argv[1].rstrip("/"), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    random.seed(1)
    place = json.loads(fetch(f"{base}/api/jurisdictions")[0])["jurisdictions"][0]
    found = {
        f"{collection} z{zoom}": measure(base, collection, place["bounds"], zoom, tiles)
        for collection, levels in LEVELS.items()
        for zoom in levels
    }
    print(json.dumps({"jurisdiction": place["id"], "parcels": place["parcels"], "tiles": found}, indent=2))


if __name__ == "__main__":
    main()
