"""f=pbf beside f=json and f=geojson: the same pages of the same simulated layer, in one run.

The portal is a process of its own. Each page is asked for in every form, as a client would (gzip), read and peeked at
three times, of which the fastest counts, and compared row by row with what f=json says. Seconds are of this process's
processor, with the collector at rest, as in the workers.
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
#: form of a page -> f, and the CRS of its shapes.
FORMS = {"esrijson": ("json", "EPSG:2249"), "pbf": ("pbf", "EPSG:2249"), "geojson": ("geojson", crs.DEGREES)}
RESOLUTION_FT, RESOLUTION_DEGREES = 1e-4, 1e-9
_TRIES = 3


@dataclass
class Tally:
    """What one form has cost; bytes before and after gzip, seconds, and how far its corners lie from f=json's."""

    form: str
    rows: int = 0
    bytes: int = 0
    bytes_sent: int = 0
    fetch_s: float = 0.0
    read_s: float = 0.0
    peek_s: float = 0.0
    furthest: float = 0.0  # feet; for geojson degrees
    rows_that_differ: int = 0  # in an attribute, or in having a shape


def measure(parcels: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fetch, read and compare a layer of so many lots in each form.

    Args:
        parcels: how many.
        say: told what is going on.
    """
    say(f"{parcels:,} parcels: the portal draws them")
    with serving(parcels) as portal:
        tallies = {form: Tally(form) for form in FORMS}
        say("each form is asked for, read and compared, page by page")
        gc.collect()
        gc.disable()
        try:
            for offset in range(0, parcels, PAGE):
                _one_page(portal, offset, tallies)
        finally:
            gc.enable()
    return _document(parcels, tallies)


def _one_page(portal: str, offset: int, tallies: dict[str, Tally]) -> None:
    rows: dict[str, Rows] = {}
    for form, tally in tallies.items():
        body, sent, seconds = _fetched(portal, FORMS[form][0], offset)
        tally.bytes, tally.bytes_sent = tally.bytes + len(body), tally.bytes_sent + sent
        rows[form], read_s = _fastest(lambda form=form, body=body: page_readers.READERS[form](body, {"id": "OBJECTID"}))
        peek, peek_s = _fastest(lambda form=form, body=body: page_readers.PEEKERS[form](body, "OBJECTID"))
        tally.fetch_s, tally.read_s, tally.peek_s = (
            tally.fetch_s + seconds,
            tally.read_s + read_s,
            tally.peek_s + peek_s,
        )
        _compare(tally, rows[form], rows["esrijson"], peek)


def _fetched(portal: str, f: str, offset: int) -> tuple[bytes, int, float]:
    """A page's body, its bytes on the wire, and the seconds until it was here; asked twice, as the portal keeps it."""
    for _ in range(2):
        started = time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(portal).netloc, timeout=600)
        asked = {"f": f, "where": "1=1", "outFields": "*", "resultOffset": offset, "resultRecordCount": PAGE}
        path = f"/arcgis/rest/services/County/FeatureServer/0/query?{urlencode(asked)}"
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        sent = connection.getresponse().read()
        seconds = time.perf_counter() - started
        connection.close()
    return zlib.decompress(sent, wbits=47), len(sent), seconds


def _fastest(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its processor seconds at best."""
    best, value = np.inf, None
    for _ in range(_TRIES):
        started = time.process_time()
        value = work()
        best = min(best, time.process_time() - started)
    return value, best


def _compare(tally: Tally, rows: Rows, json: Rows, peek: Peek) -> None:
    tally.rows += len(rows)
    there = ~shapely.is_missing(json.geometry)
    differ = np.array(list(_differences(rows, json))) | (shapely.is_missing(rows.geometry) == there)
    tally.rows_that_differ += int(differ.sum()) + (peek.rows != len(json))
    source = FORMS[tally.form][1]
    expected = (
        crs.reproject(json.geometry[there], "EPSG:2249", source) if source == crs.DEGREES else json.geometry[there]
    )
    off = shapely.get_coordinates(rows.geometry[there]) - shapely.get_coordinates(expected)
    tally.furthest = max(tally.furthest, float(np.abs(off).max(initial=0)))


def _differences(rows: Rows, json: Rows) -> Iterator[bool]:
    for one, other in zip(rows.attributes, json.attributes, strict=True):
        yield list(one.items()) != list(other.items())


def _document(parcels: int, tallies: dict[str, Tally]) -> dict[str, Any]:
    """The figures, with rates, and ratios to f=json."""
    json = tallies["esrijson"]
    found = []
    for tally in tallies.values():
        rates = {
            "rows_per_s": round(tally.rows / tally.read_s),
            "peeked_rows_per_s": round(tally.rows / tally.peek_s),
            "bytes_of_json": round(tally.bytes / json.bytes, 3),
            "bytes_sent_of_json": round(tally.bytes_sent / json.bytes_sent, 3),
            "read_s_of_json": round(tally.read_s / json.read_s, 3),
        }
        seconds = {name: round(getattr(tally, name), 3) for name in ("fetch_s", "read_s", "peek_s")}
        found.append({**asdict(tally), **seconds, **rates})
    return {
        "parcels": parcels,
        "cores": os.cpu_count(),
        "page_rows": PAGE,
        "resolution_ft": RESOLUTION_FT,
        "forms": found,
        "equal": _equal(tallies),
    }


def _equal(tallies: dict[str, Tally]) -> bool:
    """Whether all rows came in all forms, the same in every attribute, and each corner within the resolution."""
    within = tallies["pbf"].furthest <= RESOLUTION_FT and tallies["geojson"].furthest <= RESOLUTION_DEGREES
    return within and not any(tally.rows_that_differ for tally in tallies.values())
