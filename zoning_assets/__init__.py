"""Harvest parcels and zoning from municipal GIS portals into one PostGIS database.

Start with pipeline/pipeline.py, which has the stages in order. docs/glossary.md defines the terms.
Programs read the published data with `connect`; its import is cheap, and the libraries are loaded when it is called.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoning_assets.geodataframes import ZoningDatabase


def connect(url: str | None = None) -> "ZoningDatabase":
    """Open the database for reading, as GeoDataFrames.

    >>> import zoning_assets
    >>> county = zoning_assets.connect()
    >>> county.changes("us-ma-cambridge", kind="rezoned")

    Args:
        url: `postgresql://...`; None: ZONING_DATABASE_URL, else the private database below ZONING_HOME.

    Raises:
        SettingInvalid: the address cannot be used.
        DatabaseUnavailable: no database answers.
        SchemaMismatch: the database is of another version of this program.
    """
    from zoning_assets.geodataframes import open_database  # noqa: PLC0415 - imports GeoPandas

    return open_database(url)
