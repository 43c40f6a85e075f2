"""Read the database as GeoDataFrames: `zoning_assets.connect()`.

All shapes are in EPSG:4326, axis order x, y (longitude, latitude). Areas are square metres, measured by the database in
an equal-area CRS. Times are UTC. Nothing is written: sessions have the reader role, or are read-only.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from zoning_assets import local_postgres
from zoning_assets.errors import JurisdictionUnknown, NothingFound, SettingInvalid
from zoning_assets.model import CHANGE_KINDS
from zoning_assets.settings import Settings, parse_time
from zoning_assets.storage.postgis import database
from zoning_assets.storage.postgis.reader_login import reader_url
from zoning_assets.storage.postgis.records import change_feed_queries
from zoning_assets.storage.postgis.records.change_feed_queries import ChangeFilter
from zoning_assets.storage.postgis.sql_queries import named

CRS = "EPSG:4326"
#: The longest time of one query: a million parcels take a minute or two.
_STATEMENT_S = 3_600
_STATES = ("event", "review", "retracted")
#: Columns of times; all others have the type that the database gives.
_TIMES = ("last_changed", "last_published", "detected", "since", "until")
#: The columns of `changes`, for an empty result.
_CHANGE = (
    "id", "jurisdiction", "kind", "state", "facet", "parcel_ids", "old", "new", "area_m2", "share", "confidence",
    "effective", "detected", "evidence", "amendments",
)  # fmt: skip


def open_database(url: str | None = None) -> "ZoningDatabase":
    """See zoning_assets.connect."""
    settings = Settings.of(os.environ)
    environ = {**os.environ, **({"ZONING_DATABASE_URL": url} if url else {})}
    given = database.migrate(local_postgres.ensure(settings.home, environ))
    return ZoningDatabase(reader_url(settings.home, given, _STATEMENT_S))


@dataclass(frozen=True, repr=False)
class ZoningDatabase:
    """The published data. Each method reads in one transaction and returns a new GeoDataFrame.

    Methods raise JurisdictionUnknown for a jurisdiction that was never published, SettingInvalid for an argument that
    cannot be used, and DatabaseUnavailable or StoreError if the database fails; each message is one line.
    """

    url: str

    def __repr__(self) -> str:
        return f"ZoningDatabase({database.address(self.url)})"

    def jurisdictions(self) -> pd.DataFrame:
        """What is published: `jurisdiction`, `last_published` (time), `parcels`, `districts` (numbers)."""
        return _table(*self._read("jurisdictions"))

    def parcels(self, jurisdiction: str) -> gpd.GeoDataFrame:
        """The parcels as they are now, each with its zoning by the map.

        Args:
            jurisdiction: the id, such as `us-ma-cambridge`.

        Returns:
            One row a parcel, MultiPolygon: `jurisdiction`, `parcel_id`, `zoning_code` (the base code that covers most
            of it; None: the map has none there), `zoning_codes` (all that count, the largest first), `zone_type`
            (National Zoning Atlas), `split_zoned`, `zoned_fraction` (0 to 1), `overlays`, `conditions`, `puds`,
            `parcel_layer_code` (what the parcel layer states), `agrees`, `address`, `land_use`, `area_m2`,
            `last_changed` (time), `geometry`.
        """
        return self._known("parcels", jurisdiction)

    def districts(self, jurisdiction: str) -> gpd.GeoDataFrame:
        """The zoning map as it is now.

        Args:
            jurisdiction: the id.

        Returns:
            One row a polygon of the map, MultiPolygon: `jurisdiction`, `district_id`, `code` (canonical spelling),
            `code_local` (the portal's spelling), `zone_type`, `effective` (legal date), `area_m2`, `last_changed`
            (time), `attributes` (all other columns of the portal, a dictionary), `geometry`.
        """
        return self._known("districts", jurisdiction)

    def changes(  # noqa: PLR0913 - each is one way to narrow the feed
        self,
        jurisdiction: str | None = None,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        kind: str | None = None,
        parcel: str | None = None,
        min_area: float | None = None,
        state: str | None = "event",
        limit: int | None = None,
    ) -> gpd.GeoDataFrame:
        """The change feed, newest first: the rows of `zoning changes --json`.

        Args:
            jurisdiction: the id; None: all.
            since: noticed then or later (not the legal date); a time, or text in ISO 8601 (UTC without a zone).
            until: noticed before.
            kind: such as `rezoned` or `split`.
            parcel: only changes of this parcel.
            min_area: smallest changed area, m2.
            state: `event`; `review`: narrower than the tolerance; `retracted`: undone by a rollback; None: all.
            limit: at most so many changes; None: all.

        Returns:
            One row a change: `id`, `jurisdiction`, `kind`, `state`, `facet`, `parcel_ids`, `old`, `new`, `area_m2`,
            `share` (of the parcel, 0 to 1), `confidence` (0 to 1), `effective` (legal date; None: not stated),
            `detected` (time of notice), `evidence` (dictionary), `amendments` (list of dictionaries, or None),
            `geometry` (the changed area; None: it has none).
        """
        _check(state, _STATES, "state")
        _check(kind, CHANGE_KINDS, "kind")
        if limit is not None and limit < 0:
            raise SettingInvalid(f"{limit} is not a number of changes", where="limit", do="give 0 or more, or None")
        filter_ = ChangeFilter(
            jurisdiction, _time(since, "since"), _time(until, "until"), kind, parcel, min_area, state
        )
        with change_feed_queries.opened(self.url, filter_) as feed:
            rows = list(islice(feed.rows(limit), limit))
            ids = [row["id"] for row in rows]
            shapes: dict[str, bytes] = dict(
                feed.connection.execute(named("geodata")["change_shapes"], {"ids": ids}).fetchall()
            )
        if not rows and jurisdiction is not None:
            self._check_jurisdiction(jurisdiction)
        return _frame(_CHANGE, [{**row, "geometry": shapes.get(row["id"])} for row in rows])

    def as_of(
        self, jurisdiction: str, legal: date | str | None = None, known: datetime | str | None = None
    ) -> gpd.GeoDataFrame:
        """The parcels with their zoning on a day, as this database knew it at a time.

        Args:
            jurisdiction: the id.
            legal: the day on which the zoning applied by law, as far as legal dates are stated; None: any day.
            known: the time of the knowledge; None: now.

        Returns:
            One row a parcel, MultiPolygon: `jurisdiction`, `parcel_id`, `zoning_code`, `zoning_codes`,
            `parcel_layer_code`, `address`, `land_use`, `area_m2`, `since` (when this state was published), `geometry`.
        """
        day = _time(legal, "legal") if isinstance(legal, str) else legal
        day = day.date() if isinstance(day, datetime) else day
        return self._known("as_of", jurisdiction, legal=day, known=_time(known, "known"))

    def history(self, jurisdiction: str, parcel_id: str) -> gpd.GeoDataFrame:
        """The states of one parcel, oldest first; a new one begins when its row or its largest base code changed.

        Args:
            jurisdiction: the id.
            parcel_id: the natural key, current or former.

        Returns:
            One row a state: `jurisdiction`, `parcel_id`, `zoning_code` (by the map), `parcel_layer_code`, `address`,
            `land_use`, `area_m2`, `since`, `until` (times of publication; NaT: it is the current state), `legal_from`
            (legal date of the zoning; None: not stated), `geometry` (MultiPolygon).

        Raises:
            NothingFound: no parcel has or had this id.
        """
        found = self._known("history", jurisdiction, parcel=parcel_id)
        if found.empty:
            what, do = "no parcel has or had this id", "check its spelling in `parcels(...)`"
            raise NothingFound(what, where=f"{jurisdiction} {parcel_id!r}", do=do)
        return found

    def _known(self, query: str, jurisdiction: str, **values: Any) -> gpd.GeoDataFrame:
        """Run a query about one jurisdiction, which must have been published."""
        columns, rows = self._read(query, jurisdiction=jurisdiction, **values)
        if not rows:
            self._check_jurisdiction(jurisdiction)
        return _frame(columns, rows)

    def _check_jurisdiction(self, jurisdiction: str) -> None:
        published = [row["jurisdiction"] for row in self._read("jurisdictions")[1]]
        if jurisdiction not in published:
            do = f"choose one of: {', '.join(published)}" if published else "run `zoning sync` first"
            raise JurisdictionUnknown("it was never published", where=repr(jurisdiction), do=do)

    def _read(self, query: str, **values: Any) -> tuple[list[str], list[dict[str, Any]]]:
        """The names of the columns, and the rows."""
        with database.connect(self.url) as connection:
            cursor = connection.cursor(binary=True).execute(named("geodata")[query], values)
            names, found = [column.name for column in cursor.description or ()], cursor.fetchall()
        return names, [dict(zip(names, row, strict=True)) for row in found]


def _time(value: datetime | str | None, name: str) -> datetime | None:
    return parse_time(value, name) if isinstance(value, str) else value


def _check(value: str | None, choices: Sequence[str], name: str) -> None:
    if value is not None and value not in choices:
        raise SettingInvalid(f"{value!r} is not known", where=name, do=f"choose one of: {', '.join(choices)}")


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame.from_records(list(rows), columns=list(columns))
    times = {name: pd.to_datetime(table[name], utc=True) for name in _TIMES if name in table}
    return table.assign(**times)


def _frame(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> gpd.GeoDataFrame:
    """Rows whose `geometry` is WKB or None, as a GeoDataFrame."""
    table = _table([name for name in columns if name != "geometry"], rows)
    shapes = shapely.from_wkb([None if row["geometry"] is None else bytes(row["geometry"]) for row in rows])
    return gpd.GeoDataFrame(table, geometry=list(shapes), crs=CRS)
