"""The portals of a simulated nation: hosts, sizes, releases and outages. Nothing here has a real name.

Hosts: how many of 200 counties share a host was counted in the first source of each of the 200 files of OpenAddresses'
`sources/us` that lie in ../shared/data/openaddresses_us (layer `parcels`, else `addresses`). 104 of the 200 share one.
A host that is shared there serves proportionally more counties of a larger nation; a county with a host of its own
keeps it.

Sizes: 160 million parcels over 3,200 counties are 50,000 a county. Counties are spread around that log-normally; the
spread and the release cadence are assumptions, which `measure` repeats in its document.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Counties of each shared host, of 200; the other 96 have a host of their own.
SHARED_HOSTS = (24, 13, 12, 9, 6, 5, 5, 4, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2)
SAMPLE = 200
#: Assumption: share of the counties by days between two releases of their parcels; of their zoning maps.
PARCEL_CADENCE: Mapping[int, float] = {1: 0.05, 7: 0.15, 30: 0.30, 91: 0.25, 365: 0.25}
ZONING_CADENCE: Mapping[int, float] = {30: 0.1, 91: 0.4, 365: 0.5}
MEAN_PARCELS, SPREAD = 50_000, 1.0
#: Rows of a tile on average (72 tiles of 198,650 parcels), rows of a page, and requests of a harvest besides its pages
#: (docs/explanation/nation.md).
TILE_ROWS, PAGE_ROWS, MORE_REQUESTS = 2_760, 2_000, 5
#: Assumption: of 100 portals and days, so many have an outage of hours, push-back for hours; so many never respond.
_AWAY, _STORM, _DEAD, _MAINTENANCE = 0.02, 0.02, 0.01, 0.05
_DAY_S = 86400.0
_STRIDE = 73  # has no common divisor with SAMPLE
_REST = "02:00-05:00 UTC"


@dataclass(frozen=True)
class County:
    """A county. Times are seconds since the start of the simulation."""

    id: str
    host: str
    parcels: int
    releases: Mapping[str, tuple[float, ...]]  # feed -> times
    away: tuple[float, float] | None  # no response
    storm: tuple[float, float] | None  # 503 to every second request
    maintenance: str | None
    probe_hours: int = 24

    @property
    def tiles(self) -> tuple[str, ...]:
        """Names of its tiles, as long as H3 cells."""
        return tuple(f"87{number:010x}fff" for number in range(max(1, round(self.parcels / TILE_ROWS))))

    def requests(self, feed: str) -> int:
        """Requests of a harvest."""
        return math.ceil((self.parcels if feed == "parcels" else 1) / PAGE_ROWS) + MORE_REQUESTS

    def answers(self, seconds: float) -> bool:
        """Whether the portal responds at this time."""
        return not (self.away and self.away[0] <= seconds < self.away[1])

    def is_busy(self, seconds: float) -> bool:
        """Whether the portal pushes back at this time."""
        return bool(self.storm and self.storm[0] <= seconds < self.storm[1])

    def toml(self) -> str:
        """Its jurisdiction file, with the default limits."""
        rest = f'[portal]\nmaintenance = ["{self.maintenance}"]\n' if self.maintenance else ""
        service = f"https://{self.host}/arcgis/rest/services/{self.id}/FeatureServer"
        return f"""\
id = "{self.id}"
name = "Simulated county"
bounds = [-71.8, 42.15, -71.4, 42.45]
target_crs = "EPSG:4326"

[feeds.parcels]
type = "arcgis"
probe_hours = {self.probe_hours}
url = "{service}/0"
key = "PIN"
full_refresh_days = 30
  [feeds.parcels.fields]
  address = "SITE_ADDR"
  land_use = "USE_CODE"

[feeds.zoning]
type = "arcgis"
probe_hours = {self.probe_hours}
url = "{service}/1"
  [feeds.zoning.fields]
  code = "ZONE_CODE"

{rest}"""


def counties(number: int, days: float, seed: int = 17) -> list[County]:
    """Return the counties of a nation, with releases since a day before the start. Equal arguments give equal ones."""
    return [_county(index, days, random.Random(f"{seed} {index}")) for index in range(number)]


def write_files(nation: list[County], folder: Path) -> None:
    """Write the jurisdiction files."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in nation:
        (folder / f"{each.id}.toml").write_text(each.toml())


def _county(index: int, days: float, rng: random.Random) -> County:
    end, parcels = days * _DAY_S, MEAN_PARCELS * math.exp(rng.gauss(-(SPREAD**2) / 2, SPREAD))
    dead = rng.random() < _DEAD
    return County(
        id=f"us-xx-{index:05d}",
        host=_host(index),
        parcels=max(500, round(parcels)),
        releases={
            "parcels": tuple(_releases(PARCEL_CADENCE, end, rng)),
            "zoning": tuple(_releases(ZONING_CADENCE, end, rng)),
        },
        away=(0.0, math.inf) if dead else _trouble(_AWAY, days, rng),
        storm=_trouble(_STORM, days, rng),
        maintenance=_REST if rng.random() < _MAINTENANCE else None,
    )


def _host(index: int) -> str:
    """The host of a county. Neighbouring counties are on different hosts."""
    place = index * _STRIDE % SAMPLE
    for number, count in enumerate(SHARED_HOSTS):
        if place < count:
            return f"shared-{number}.example.org"
        place -= count
    return f"county-{index}.example.org"


def _releases(cadence: Mapping[int, float], end: float, rng: random.Random) -> Iterator[float]:
    every = rng.choices(list(cadence), list(cadence.values()))[0] * _DAY_S
    at = rng.random() * every - _DAY_S
    while at < end:
        yield at
        at += every * rng.uniform(0.8, 1.2)


def _trouble(share: float, days: float, rng: random.Random) -> tuple[float, float] | None:
    """A time of trouble, 1 to 30 hours long. In a long simulation a portal has one at most."""
    if rng.random() >= min(1.0, share * days):
        return None
    start = rng.random() * days * _DAY_S
    return start, start + rng.uniform(1, 30) * 3600
