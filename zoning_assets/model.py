"""The words, as values. Standard library only; everything else may import this, and this imports only the errors.

What belongs here: frozen descriptions of things that docs/glossary.md names. What does not: behaviour, files, SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from zoning_assets.errors import ZoningError
from zoning_assets.harvest import Harvest

PARCELS, ZONING = "parcels", "zoning"
#: What is made of both feeds; as a feed it stands for shares and changes alone.
CHANGES = "changes"

#: What a district allows, as the National Zoning Atlas (NZA) sorts districts.
ZONE_TYPES = (
    "Primarily Residential",
    "Mixed with Residential",
    "Nonresidential",
    "Overlay Not Affecting Use",
)

#: What a release is looked at for before it is published (release_checks.py).
TRIPWIRES = (
    "completeness",
    "count_drop",
    "mass_rezoning",
    "shifted",
    "columns_changed",
    "code_entropy",
    "unknown_codes",
    "key_turnover",
    "bad_keys",
    "crs_bounds",
    "rejected",
    "invalid",
    "schema",
    "freshness",
)

#: The stages of a tile's rows, in order; each is an asset. The last is the table in PostGIS.
RAW, NORMALIZED, VALIDATED, PUBLISHED = "raw_feed", "normalized", "validated", "published"

#: Feed types whose portals name the order of the axes; a jurisdiction file must not.
OWN_AXES = ("arcgis", "ogc-features", "wfs")

#: Bounding box: west, south, east, north; degrees, EPSG:4326, longitude first.
Bounds = tuple[float, float, float, float]


#: The order of the two numbers of a position: x first, as everywhere here, or y first.
LON_LAT, LAT_LON = "lon-lat", "lat-lon"


@dataclass(frozen=True)
class Feed:
    """One layer of a portal, as its jurisdiction file describes it."""

    name: str  # parcels | zoning
    type: str  # a key of feeds.FEED_TYPES
    url: str
    crs: str | None = None  # only where the portal does not say, or says it wrong
    key: str | None = None  # the natural key's column; zoning may do without
    on_null_key: str = "reject"
    on_repeated_key: str = "reject"  # reject | dissolve | suffix
    hidden_rows: str = "refuse"  # refuse | accept: a portal that may have rows that it never shows
    full_refresh_days: int = 30
    probe_hours: int = 24  # how often the portal is asked whether anything changed
    probe: str | None = None  # the same as a time; see cron.py. Then probe_hours says nothing
    page_size: int | None = None  # rows asked for at a time; None: what the portal offers
    layer: str | None = None  # which layer of a file that holds several
    fields: Mapping[str, str] = field(default_factory=dict)  # ours = theirs
    strategy: str = "auto"  # how an arcgis layer is walked through: auto | offset | ranges | ids | area
    format: str = "auto"  # in which form an arcgis layer's rows are asked for: auto | json | geojson | pbf
    may_shrink: float = 0.1  # share of the rows that may vanish without a person's word
    geometry: str | None = None  # the column with the shapes, of a table where that is not plain
    axes: str = LON_LAT  # which comes first in the shapes of a file or a table, whatever its CRS says
    shift_accuracy_m: float = 1.0  # metres by which a datum shift may be off at most


@dataclass(frozen=True)
class Portal:
    """How politely a portal is asked."""

    requests_per_minute: float = 30
    connections: int = 2
    maintenance: tuple[str, ...] = ()  # "Sun 02:00-06:00 America/New_York"; see time_windows.py
    quiet_hours: tuple[str, ...] = ()  # the same; ours to choose, where maintenance is the portal's


@dataclass(frozen=True)
class CodeRules:
    """How a jurisdiction spells its zoning codes and what they mean; see zoning_codes.py. What is not declared is no
    rule: the code stays whole."""

    version: str = ""  # as the file states it: of which ordinance or list
    listed: tuple[str, ...] = ()  # the jurisdiction's own list: canonical spellings, each a code of its own
    conditions: tuple[str, ...] = ()  # "(PD)": endings that put a condition on a base code
    overlays: tuple[str, ...] = ()  # parts after "/" or "-" that lie over a base code
    pud: tuple[str, ...] = ()  # codes that a number follows: PD-1234 is one plan, of base PD
    same: Mapping[str, str] = field(default_factory=dict)  # theirs = canonical
    types: Mapping[str, str] = field(default_factory=dict)  # code -> one of ZONE_TYPES


@dataclass(frozen=True)
class Jurisdiction:
    """A city or county: one TOML file."""

    id: str
    name: str
    bounds: Bounds
    feeds: Mapping[str, Feed]
    target_crs: str = "EPSG:4326"
    tile_resolution: int | None = None  # an H3 resolution; None: auto
    portal: Portal = Portal()
    codes: CodeRules = CodeRules()
    #: What stands was so at the portal within so many hours; None: twice the way between probes.
    fresh_hours: int | None = None
    tripwires: Mapping[str, float] = field(default_factory=dict)  # name -> limit; what is not named follows the usual
    file: str = ""  # where it was read from; for messages, and for paths beside it

    @property
    def srid(self) -> int:
        """The target CRS as PostGIS knows it."""
        return int(self.target_crs.removeprefix("EPSG:"))


@dataclass(frozen=True)
class Place:
    """What one partition covers: a tile of a jurisdiction, or (tile None) the whole of it."""

    jurisdiction: str
    tile: str | None = None

    def __str__(self) -> str:
        return f"{self.jurisdiction} tile {self.tile}" if self.tile else self.jurisdiction


#: What is counted of the rows of a published partition, in the order in which it is shown.
COUNTED = ("fetched", "accepted", "rejected", "repaired", "dissolved", "added", "changed", "unchanged", "retired")


@dataclass(frozen=True)
class Counts:
    """What happened to the rows of one feed in one place. fetched = accepted + rejected, always."""

    received: int = 0  # rows the portal sent
    fetched: int = 0  # of those, owned by this place
    accepted: int = 0
    repaired: int = 0
    rejected: int = 0
    dissolved: int = 0  # accepted rows that became part of another row's parcel
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    retired: int = 0
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, Any]:
        """The counts by name, for metadata and JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """What became of one feed at one place. `error`: where and why it ended early."""

    place: Place
    feed: str
    stages: tuple[str, ...] = ()  # those that were completed
    counts: Counts = Counts()
    harvest: Harvest | None = None
    content_hash: str = ""  # of the validated rows, whatever their order
    rejections: Any = None  # table of page, row, reason, detail
    picture: bytes = b""  # PNG
    batch: int | None = None  # None: nothing was published, or it had been published already
    error: ZoningError | None = None

    @property
    def remark(self) -> str | None:
        """A warning about limited accuracy, such as an inexact datum shift."""
        return self.harvest.layer.get("shift") if self.harvest else None

    @property
    def left_out(self) -> Sequence[str]:
        """What the input holds that is not of this layer: other files, layers and members."""
        return self.harvest.proof.get("left out", ()) if self.harvest else ()

    def as_dict(self) -> dict[str, Any]:
        """As `zoning sync --json` reports it."""
        return {
            "jurisdiction": self.place.jurisdiction,
            "tile": self.place.tile,
            "feed": self.feed,
            **self.counts.as_dict(),
            "content_hash": self.content_hash,
            "complete": self.error is None,
            **({"left_out": list(self.left_out)} if self.left_out else {}),
            **({"remark": self.remark} if self.remark else {}),
            **({"error": str(self.error)} if self.error else {}),
        }


@dataclass(frozen=True)
class Amendment:
    """That an ordinance or a case exists, from a document, a message or a person. Dates in ISO 8601."""

    jurisdiction: str
    case_numbers: tuple[str, ...] = ()
    ordinance_numbers: tuple[str, ...] = ()
    kind: str = "unknown"
    status: str = "unknown"  # see STATUSES
    dates: Mapping[str, str] = field(default_factory=dict)  # role, as the statuses are called, -> day
    parcel_ids: tuple[str, ...] = ()
    place: str = ""
    old_codes: tuple[str, ...] = ()
    new_codes: tuple[str, ...] = ()
    geometry: bytes | None = None  # WKB, target CRS
    source: str = ""  # URL or file
    source_hash: str = ""
    confidence: float = 1.0
    questions: tuple[str, ...] = ()  # what a person must answer, such as a date that is none
    evidence: Mapping[str, Any] = field(default_factory=dict)


#: An amendment's life cycle; `ADOPTED` are those after which the map should say so.
STATUSES = (
    "unknown", "filed", "hearing", "recommended", "tabled", "withdrawn", "denied", "adopted", "enacted", "effective",
    "annulled", "repealed", "reinstated",
)  # fmt: skip
ADOPTED = ("adopted", "enacted", "effective", "reinstated")
UNDONE = ("annulled", "repealed")

#: What a change may be: of zoning, of a facet of zoning, of parcels.
CHANGE_KINDS = (
    "rezoned", "partly_rezoned", "reverted", "reinstated", "zoned", "unzoned", "recoded", "redrawn",
    "overlay_added", "overlay_removed", "overlay_changed", "condition_added", "condition_removed", "condition_changed",
    "pud_added", "pud_removed", "pud_changed",
    "renumbered", "split", "merged", "replatted", "adjusted", "reshaped", "added", "retired",
)  # fmt: skip
