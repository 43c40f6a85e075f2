"""Value classes for the terms of docs/glossary.md.

Standard library only. Every other module may import this one; this one imports only errors.py and harvest.py.
What belongs here: frozen descriptions. What does not: behaviour, files, SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from zoning_assets.errors import ZoningError
from zoning_assets.harvest import Harvest

PARCELS, ZONING = "parcels", "zoning"
#: The name of the table that is joined to the parcels, for its harvests and messages.
PARCELS_JOIN = "parcels-join"
#: The third feed name: parcel zoning and changes, which are computed from the two feeds.
CHANGES = "changes"

#: Zone types of the National Zoning Atlas (NZA).
ZONE_TYPES = (
    "Primarily Residential",
    "Mixed with Residential",
    "Nonresidential",
    "Overlay Not Affecting Use",
)

#: The checks of a release before it is published (release_checks.py).
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

#: The stages of a tile's rows, in order. Each is an asset; the last one is the table in PostGIS.
RAW, NORMALIZED, VALIDATED, PUBLISHED = "raw_feed", "normalized", "validated", "published"

#: Feed types whose protocol defines the axis order. Their feeds may not set `axes` in the jurisdiction file.
OWN_AXES = ("arcgis", "ogc-features", "wfs")

#: Bounding box: west, south, east, north; degrees, EPSG:4326, longitude first.
Bounds = tuple[float, float, float, float]

#: Axis order of coordinates: x first, as everywhere in this package, or y first.
LON_LAT, LAT_LON = "lon-lat", "lat-lon"


@dataclass(frozen=True)
class Feed:
    """One layer of a portal, as its jurisdiction file describes it."""

    name: str  # parcels | zoning
    type: str  # a key of sources.FEED_TYPES
    url: str
    crs: str | None = None  # only if the portal states none, or a wrong one
    key: str | None = None  # column of the natural key; optional for zoning
    on_null_key: str = "reject"
    on_repeated_key: str = "reject"  # reject | dissolve | suffix
    hidden_rows: str = "refuse"  # refuse | accept: the server hides rows without a shape
    full_refresh_days: int = 30
    probe_hours: int = 24  # time between two probes of the portal
    probe: str | None = None  # times of the probes as cron (cron.py); replaces probe_hours
    page_size: int | None = None  # rows per page; None: the maximum of the portal
    layer: str | None = None  # the layer, if a file or service has several
    where: str | None = None  # only the rows that meet it; in the portal's own language
    fields: Mapping[str, str] = field(default_factory=dict)  # our field -> column of the portal
    strategy: str = "auto"  # how an arcgis layer is read: auto | offset | ranges | ids | area
    format: str = "auto"  # format of arcgis pages: auto | json | geojson | pbf
    may_shrink: float = 0.1  # share of the rows that a release may lose without acceptance by a person
    geometry: str | None = None  # the column with the shapes, if a table has several
    axes: str = LON_LAT  # axis order of a file or a table; overrides that of its CRS
    shift_accuracy_m: float = 1.0  # largest accepted error of a datum shift, metres
    join: "Feed | None" = None  # a table whose columns are added to the rows by key; its `fields` are these columns
    overlays: "Mapping[str, Feed]" = field(default_factory=dict)  # of zoning: overlay layers of the map, by name
    separator: str = ""  # of an overlay: between several overlays in one code


@dataclass(frozen=True)
class Portal:
    """The limits for requests to a portal."""

    requests_per_minute: float = 30
    connections: int = 2
    maintenance: tuple[str, ...] = ()  # "Sun 02:00-06:00 America/New_York"; see time_windows.py
    quiet_hours: tuple[str, ...] = ()  # the same format; chosen by us, not by the portal


@dataclass(frozen=True)
class CodeRules:
    """How a jurisdiction spells its zoning codes and what they mean; see zoning_codes.py. Without a matching rule a
    code is not split."""

    version: str = ""  # of the ordinance or list, as the file states it
    listed: tuple[str, ...] = ()  # canonical spellings from the jurisdiction's own list
    conditions: tuple[str, ...] = ()  # endings that add a condition to a base code: "(CD)"
    overlays: tuple[str, ...] = ()  # parts after "/" or "-" that are overlays
    pud: tuple[str, ...] = ()  # base codes of numbered plans: PD-1234 has the base PD
    same: Mapping[str, str] = field(default_factory=dict)  # code of the portal -> canonical code
    types: Mapping[str, str] = field(default_factory=dict)  # code -> one of ZONE_TYPES
    layers: Mapping[str, str] = field(default_factory=dict)  # overlay layer -> the separator in its codes


@dataclass(frozen=True)
class Minutes:
    """Where the legislative body publishes its matters and meetings."""

    type: str  # legistar
    url: str  # "https://webapi.legistar.com/v1/CLIENT"; may have a query with a token
    first_days: int = 365  # the first poll asks for what was edited in so many days


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
    minutes: Minutes | None = None
    #: The freshness limit: within so many hours the published data must be confirmed at the portal. None: twice the
    #: time between two probes.
    fresh_hours: int | None = None
    tripwires: Mapping[str, float] = field(
        default_factory=dict
    )  # name -> limit; the others follow from earlier releases
    file: str = ""  # path of the file; for messages and relative paths
    licence: str | None = None  # of the portal's data, as exports state it

    @property
    def srid(self) -> int:
        """The SRID of the target CRS in PostGIS."""
        return int(self.target_crs.removeprefix("EPSG:"))


@dataclass(frozen=True)
class Place:
    """What one partition covers: a tile of a jurisdiction, or (tile None) the complete jurisdiction."""

    jurisdiction: str
    tile: str | None = None

    def __str__(self) -> str:
        return f"{self.jurisdiction} tile {self.tile}" if self.tile else self.jurisdiction


#: The counts of a published partition, in the order in which reports show them.
COUNTED = ("fetched", "accepted", "rejected", "repaired", "dissolved", "added", "changed", "unchanged", "retired")


@dataclass(frozen=True)
class Counts:
    """The row counts and the cost of one feed in one partition. fetched = accepted + rejected, always."""

    received: int = 0  # rows the portal sent
    fetched: int = 0  # of those, in this partition
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
    """The result of one feed in one partition. `error`: why it ended early; None: it is complete."""

    place: Place
    feed: str
    stages: tuple[str, ...] = ()  # the completed stages
    counts: Counts = Counts()
    harvest: Harvest | None = None
    content_hash: str = ""  # of the validated rows; does not depend on their order
    rejections: Any = None  # table of page, row, reason, detail
    picture: bytes = b""  # PNG
    batch: int | None = None  # None: nothing was published, or it was published before
    error: ZoningError | None = None

    @property
    def remark(self) -> str | None:
        """A warning about limited accuracy, such as an inexact datum shift."""
        return self.harvest.layer.get("shift") if self.harvest else None

    @property
    def left_out(self) -> Sequence[str]:
        """Parts of the input that were not read because they are not of this layer: files, layers, archive members."""
        return self.harvest.proof.get("left out", ()) if self.harvest else ()

    def as_dict(self) -> dict[str, Any]:
        """The report of `zoning sync --json`."""
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
    """An ordinance or a case, as a document, a message or a person states it. Dates in ISO 8601."""

    jurisdiction: str
    case_numbers: tuple[str, ...] = ()
    ordinance_numbers: tuple[str, ...] = ()
    kind: str = "unknown"
    status: str = "unknown"  # see STATUSES
    dates: Mapping[str, str] = field(default_factory=dict)  # a status -> the day
    parcel_ids: tuple[str, ...] = ()
    place: str = ""
    old_codes: tuple[str, ...] = ()
    new_codes: tuple[str, ...] = ()
    geometry: bytes | None = None  # WKB, target CRS
    source: str = ""  # URL or file
    source_hash: str = ""
    confidence: float = 1.0
    questions: tuple[str, ...] = ()  # what a person must check, such as an invalid date
    evidence: Mapping[str, Any] = field(default_factory=dict)


#: The life cycle of an amendment. After a status of `ADOPTED` the zoning map should show the amendment; after one of
#: `UNDONE` it should not.
STATUSES = (
    "unknown", "filed", "hearing", "recommended", "tabled", "withdrawn", "denied", "adopted", "enacted", "effective",
    "annulled", "repealed", "reinstated",
)  # fmt: skip
ADOPTED = ("adopted", "enacted", "effective", "reinstated")
UNDONE = ("annulled", "repealed")

#: Kinds of changes: of zoning, of a facet of zoning, of parcels.
CHANGE_KINDS = (
    "rezoned", "partly_rezoned", "reverted", "reinstated", "zoned", "unzoned", "recoded", "redrawn",
    "overlay_added", "overlay_removed", "overlay_changed", "condition_added", "condition_removed", "condition_changed",
    "pud_added", "pud_removed", "pud_changed",
    "renumbered", "split", "merged", "replatted", "adjusted", "reshaped", "added", "retired",
)  # fmt: skip
