"""f=pbf compared with f=json and f=geojson: the same pages of the same simulated layer, in one run.

The portal is a process of its own. Each page is requested in every format (with gzip), decoded and counted three times,
of which the fastest counts, and compared row by row with f=json. Seconds are CPU seconds of this process, without
garbage collection, as in the workers.
"""

import gc
import http.client
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import shapely

from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.decode.rows import Peek, Rows
from zoning_assets.transform.geometry import crs

PAGE = 2000
#: Format of a page -> parameter f, and the CRS of its geometries.
FORMS = {"esrijson": ("json", "EPSG:2249"), "pbf": ("pbf", "EPSG:2249"), "geojson": ("geojson", crs.DEGREES)}
RESOLUTION_FT, RESOLUTION_DEGREES = 1e-4, 1e-9
_TRIES = 3


@dataclass
class FormatCost:
    """The cost of one format.

    Attributes:
        form: the format.
        rows: rows that were read.
        bytes: before gzip.
        bytes_sent: after gzip.
        fetch_s, read_s, peek_s: seconds of fetching, decoding and counting.
        furthest: the largest distance of a corner from f=json, in feet; for geojson in degrees.
        rows_that_differ: in an attribute, or in having a geometry.
    """

    form: str
    rows: int = 0
    bytes: int = 0
    bytes_sent: int = 0
    fetch_s: float = 0.0
    read_s: float = 0.0
    peek_s: float = 0.0
    furthest: float = 0.0
    rows_that_differ: int = 0


def measure(parcels: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fetch, decode and compare a layer in each format.

    Args:
        parcels: rows of the layer.
        say: receives progress messages.
    """
    say(f"{parcels:,} parcels: starting the portal")
    with serving(parcels) as portal:
        costs = {form: FormatCost(form) for form in FORMS}
        say("requesting, decoding and comparing each page in each format")
        gc.collect()
        gc.disable()
        try:
            for offset in range(0, parcels, PAGE):
                _one_page(portal, offset, costs)
        finally:
            gc.enable()
    return _document(parcels, costs)


def _one_page(portal: str, offset: int, costs: dict[str, FormatCost]) -> None:
    rows: dict[str, Rows] = {}
    for form, cost in costs.items():
        body, sent, seconds = _fetched(portal, FORMS[form][0], offset)
        cost.bytes, cost.bytes_sent = cost.bytes + len(body), cost.bytes_sent + sent
        rows[form], read_s = _fastest(lambda form=form, body=body: page_readers.READERS[form](body, {"id": "OBJECTID"}))
        peek, peek_s = _fastest(lambda form=form, body=body: page_readers.PEEKERS[form](body, "OBJECTID"))
        cost.fetch_s, cost.read_s, cost.peek_s = (
            cost.fetch_s + seconds,
            cost.read_s + read_s,
            cost.peek_s + peek_s,
        )
        _compare(cost, rows[form], rows["esrijson"], peek)


def _fetched(portal: str, f: str, offset: int) -> tuple[bytes, int, float]:
    """A page's body, its size after gzip, and the seconds of the second request, for which the portal has cached it."""
    for _ in range(2):
        started = time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(portal).netloc, timeout=600)
        params = {"f": f, "where": "1=1", "outFields": "*", "resultOffset": offset, "resultRecordCount": PAGE}
        path = f"/arcgis/rest/services/County/FeatureServer/0/query?{urlencode(params)}"
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        sent = connection.getresponse().read()
        seconds = time.perf_counter() - started
        connection.close()
    return zlib.decompress(sent, wbits=47), len(sent), seconds


def _fastest(task: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a task, and the least CPU seconds of three tries."""
    best, value = np.inf, None
    for _ in range(_TRIES):
        started = time.process_time()
        value = task()
        best = min(best, time.process_time() - started)
    return value, best


def _compare(cost: FormatCost, rows: Rows, json: Rows, peek: Peek) -> None:
    cost.rows += len(rows)
    present = ~shapely.is_missing(json.geometry)
    differ = np.array(list(_differences(rows, json))) | (shapely.is_missing(rows.geometry) == present)
    cost.rows_that_differ += int(differ.sum()) + (peek.rows != len(json))
    source = FORMS[cost.form][1]
    expected = (
        crs.reproject(json.geometry[present], "EPSG:2249", source) if source == crs.DEGREES else json.geometry[present]
    )
    off = shapely.get_coordinates(rows.geometry[present]) - shapely.get_coordinates(expected)
    cost.furthest = max(cost.furthest, float(np.abs(off).max(initial=0)))


def _differences(rows: Rows, json: Rows) -> Iterator[bool]:
    for one, other in zip(rows.attributes, json.attributes, strict=True):
        yield list(one.items()) != list(other.items())


def _document(parcels: int, costs: dict[str, FormatCost]) -> dict[str, Any]:
    """The figures, with rates, and ratios to f=json."""
    json = costs["esrijson"]
    found = []
    for cost in costs.values():
        rates = {
            "rows_per_s": round(cost.rows / cost.read_s),
            "peeked_rows_per_s": round(cost.rows / cost.peek_s),
            "bytes_of_json": round(cost.bytes / json.bytes, 3),
            "bytes_sent_of_json": round(cost.bytes_sent / json.bytes_sent, 3),
            "read_s_of_json": round(cost.read_s / json.read_s, 3),
        }
        seconds = {name: round(getattr(cost, name), 3) for name in ("fetch_s", "read_s", "peek_s")}
        found.append({**asdict(cost), **seconds, **rates})
    return {
        "parcels": parcels,
        "cores": os.cpu_count(),
        "page_rows": PAGE,
        "resolution_ft": RESOLUTION_FT,
        "forms": found,
        "equal": _equal(costs),
    }


def _equal(costs: dict[str, FormatCost]) -> bool:
    """Whether all formats have the same rows with equal attributes, and each corner within the resolution."""
    within = costs["pbf"].furthest <= RESOLUTION_FT and costs["geojson"].furthest <= RESOLUTION_DEGREES
    return within and not any(cost.rows_that_differ for cost in costs.values())
