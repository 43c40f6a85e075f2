"""A table in the database of a consumer that is kept equal to zoned_parcel.

The table is changed in one transaction with its cursor, which is a row of `zoning_cursor` beside it. So each change is
applied exactly once, wherever this process is killed. Rows are streamed from database to database in constant memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from zoning_assets.errors import DeliveryFailed, SettingInvalid
from zoning_assets.storage.postgis.connection_settings import with_peer_limits
from zoning_assets.storage.postgis.database import Connection, address, connect
from zoning_assets.storage.postgis.database_errors import reason
from zoning_assets.storage.postgis.records.delivery_records import DeliverySession
from zoning_assets.storage.postgis.sql_queries import named

#: Columns of the table of the consumer, in the order of the query `rows`. Areas in m2; geom in EPSG:4326.
_COLUMNS = """
    jurisdiction text, parcel_id text, zoning_code text, zoning_codes text[], zone_type text, split_zoned boolean,
    zoned_fraction double precision, overlays text[], conditions text[], puds text[], parcel_layer_code text,
    agrees boolean, address text, land_use text, area_m2 double precision, last_changed timestamptz,
    geom geometry(MultiPolygon, 4326)
"""
_CREATE = sql.SQL(f"CREATE TABLE IF NOT EXISTS {{table}} ({_COLUMNS}, PRIMARY KEY (jurisdiction, parcel_id))")
_CREATE_CURSOR = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {cursor} (subscription uuid PRIMARY KEY, position bigint, updated timestamptz)"
)
_BEGIN = sql.SQL("INSERT INTO {cursor} (subscription) VALUES (%s) ON CONFLICT DO NOTHING")
_POSITION = sql.SQL("SELECT position FROM {cursor} WHERE subscription = %s FOR UPDATE")
_IS_FILLED = sql.SQL("SELECT EXISTS (SELECT FROM {table})")
_STAGE = sql.SQL("CREATE TEMPORARY TABLE zoning_stage ON COMMIT DROP AS SELECT * FROM {table} WITH NO DATA")
_FILL = sql.SQL("COPY zoning_stage FROM STDIN")
_DELETE = sql.SQL(
    "DELETE FROM {table} t USING zoning_stage s WHERE (t.jurisdiction, t.parcel_id) = (s.jurisdiction, s.parcel_id)"
)
_INSERT = sql.SQL("INSERT INTO {table} SELECT * FROM zoning_stage WHERE geom IS NOT NULL")
_ADVANCE = sql.SQL("UPDATE {cursor} SET position = %s, updated = clock_timestamp() WHERE subscription = %s")
_CONNECT_S = 10
#: Limits in the database of the consumer, so that a lock or a slow statement there does not stop the other deliveries.
_LIMITS = "SELECT set_config('lock_timeout', '10s', true), set_config('statement_timeout', '30min', true)"


def table_name(text: str, where: str) -> str:
    """Return the name of a table, `TABLE` or `SCHEMA.TABLE`.

    Raises:
        SettingInvalid: it is not a name.
    """
    parts = text.split(".")
    if len(parts) > 2 or not all(part.isidentifier() and len(part) < 64 for part in parts) or parts[0] == "zoning":
        do = "give TABLE or SCHEMA.TABLE of letters, digits and _; the schema zoning is ours"
        raise SettingInvalid(f"{text!r} cannot be used as a table", where=where, do=do)
    return text


def update(url: str, session: DeliverySession, target: str, to: int) -> int | None:
    """Apply what changed since the last update to the table of the consumer.

    Args:
        url: our database.
        session: the subscription.
        target: the database of the consumer.
        to: the position of the log up to which the lineage of the chosen parcels was followed. The next update reads
            the later entries.

    Returns:
        The number of rows that were compared; None: nothing changed.

    Raises:
        DeliveryFailed: the database of the consumer does not answer or refused a statement; it did not change.
        DatabaseUnavailable, StoreError: our database.
    """
    subscription = session.subscription
    names = _names(subscription.consumer_table or "zoned_parcel")
    with _consumer(target) as theirs:
        theirs.execute(_CREATE.format(**names))
        theirs.execute(_CREATE_CURSOR.format(**names))
        theirs.execute(_BEGIN.format(**names), [subscription.key])
        (after,) = theirs.execute(_POSITION.format(**names), [subscription.key]).fetchone() or (None,)
        if after is None and (theirs.execute(_IS_FILLED.format(**names)).fetchone() or (False,))[0]:
            do = "empty it, or name another one with `zoning subscribe add --table`"
            raise DeliveryFailed("the table has rows of another origin", where=_where(target), do=do)
        if after is not None and to <= after:
            return None
        _copy(url, theirs, session, after, to)
        rows = theirs.execute("SELECT count(*) FROM zoning_stage").fetchone() or (0,)
        theirs.execute(_DELETE.format(**names))
        theirs.execute(_INSERT.format(**names))
        theirs.execute(_ADVANCE.format(**names), [to, subscription.key])
    return int(rows[0])


def _copy(url: str, theirs: Connection, session: DeliverySession, after: int | None, to: int) -> None:
    """Copy the rows that may have changed into the temporary table. They are as of now, so at least as of `to`."""
    names = _names(session.subscription.consumer_table or "zoned_parcel")
    with connect(url) as ours:
        theirs.execute(_STAGE.format(**names))
        values = {"subscription": session.subscription.id, "after": after, "to": to}
        rows = named("consumer_copy")["rows"]
        with ours.cursor().copy(rows, values) as source, theirs.cursor().copy(_FILL) as stage:
            for block in source:
                stage.write(block)


@contextmanager
def _consumer(target: str) -> Iterator[Connection]:
    """A transaction in the database of the consumer."""
    try:
        with psycopg.connect(
            with_peer_limits(target), connect_timeout=_CONNECT_S, application_name="zoning_assets"
        ) as connection:
            connection.execute(_LIMITS)
            yield connection
    except psycopg.Error as error:
        why = reason(error)
        raise DeliveryFailed(why.what, where=_where(target), do=f"{why.do}; the table there did not change") from None


def _names(table: str) -> dict[str, sql.Identifier]:
    parts = table.split(".")
    return {"table": sql.Identifier(*parts), "cursor": sql.Identifier(*parts[:-1], "zoning_cursor")}


def _where(target: str) -> str:
    return f"consumer database {address(target)}"
