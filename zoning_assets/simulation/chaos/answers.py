"""Faults of what a layer says of itself and of its rows: statistics, abilities, columns."""

import math
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from zoning_assets.simulation.chaos.said import Asked, Inner, Make, Reply, Spoil, id_of, refused

Row = dict[str, Any]
_FAR_OFF = 1_009_200


def statistics_wrong(rng: Random) -> Spoil:
    """Numbers of long ago; of groups, every other one is missing."""
    start = rng.randrange(2)

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        rows = reply.features
        if asked.kind != "statistics" or not rows:
            return reply
        if asked.params.get("groupByFieldsForStatistics"):
            return reply.saying(features=rows[start::2])
        return reply.saying(features=[_each(row, lambda name, old: (name, _long_ago(old))) for row in rows])

    return spoil


def _long_ago(value: object) -> object:
    return value + _FAR_OFF if isinstance(value, int | float) else value


def statistics_renamed(_rng: Random) -> Spoil:
    """Names of the server's own choice."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        if asked.kind != "statistics" or not reply.features:
            return reply
        return reply.saying(
            features=[_each(row, lambda name, value: (f"{name.upper()}_", value)) for row in reply.features]
        )

    return spoil


def statistics_refused(_rng: Random) -> Spoil:
    """An ability that was advertised and is not there."""
    no = refused(400, "Unable to complete operation.", "Unable to perform query operation.")
    return lambda asked, inner: no if asked.kind == "statistics" else inner(asked)


def _each(row: Row, change: Callable[[str, Any], tuple[str, Any]]) -> Row:
    """A row with changed attributes."""
    return {**row, "attributes": dict(change(name, value) for name, value in row["attributes"].items())}


def no_paging(*, admitted: bool) -> Make:
    """Pages cannot be asked for; metadata says so, or not."""
    no = refused(400, "Pagination is not supported.")

    def spoil(asked: Asked, inner: Inner) -> Reply:
        if asked.kind == "features" and ("resultOffset" in asked.params or "resultRecordCount" in asked.params):
            return no
        reply = inner(asked)
        can = reply.value.get("advancedQueryCapabilities")
        if not (admitted and asked.kind == "about" and can):
            return reply
        return reply.saying(advancedQueryCapabilities={**can, "supportsPagination": False})

    return lambda _rng: spoil


def no_ids(_rng: Random) -> Spoil:
    """A view without object ids."""
    no = refused(400, "Invalid or missing input parameters.", "'OBJECTID' is no column")

    def spoil(asked: Asked, inner: Inner) -> Reply:
        if asked.kind != "about" and (
            asked.kind == "ids" or "OBJECTID" in str(asked.params) or "objectIds" in asked.params
        ):
            return no
        reply = inner(asked)
        fields = [each for each in reply.value.get("fields", ()) if each.get("name") != "OBJECTID"]
        if asked.kind == "about" and fields:
            return reply.saying(fields=fields, objectIdField="")
        if not reply.features:
            return reply
        rows = [
            {**row, "attributes": {n: v for n, v in row["attributes"].items() if n != "OBJECTID"}}
            for row in reply.features
        ]
        return reply.saying(features=rows, fields=fields, objectIdFieldName=None)

    return spoil


def float_ids(_rng: Random) -> Spoil:
    """Ids come as 12.0."""

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        if asked.kind == "ids" and reply.value.get("objectIds"):
            return reply.saying(objectIds=[float(each) for each in reply.value["objectIds"]])
        if asked.kind == "features" and reply.features and id_of(reply.features[0]) is not None:
            return reply.saying(features=[_each(row, _id_as_float) for row in reply.features])
        return reply

    return spoil


def _id_as_float(name: str, value: Any) -> tuple[str, Any]:
    return name, float(value) if name == "OBJECTID" else value


def fields_refused(_rng: Random) -> Spoil:
    """Rows come with all of their columns, or not at all."""
    no = refused(400, "Failed to execute query.")

    def spoil(asked: Asked, inner: Inner) -> Reply:
        named = asked.params.get("outFields", "*").strip() not in ("", "*")
        return no if asked.kind == "features" and named else inner(asked)

    return spoil


def bare_nan(_rng: Random) -> Spoil:
    """Shapes that are not there are drawn with NaN, which no JSON has."""
    drawn = {"rings": [[[math.nan, math.nan]] * 4]}

    def spoil(asked: Asked, inner: Inner) -> Reply:
        reply = inner(asked)
        if asked.kind != "features" or all(row.get("geometry", 0) is not None for row in reply.features or ()):
            return reply
        rows = [{**row, "geometry": drawn} if row.get("geometry", 0) is None else row for row in reply.features or ()]
        return reply.saying(features=rows)

    return spoil


def renamed(column: str, called: str) -> Make:
    """In the middle of a harvest a column gets another name."""

    def make(rng: Random) -> Spoil:
        start, pages = rng.randint(1, 3), count(1)
        now = False

        def spoil(asked: Asked, inner: Inner) -> Reply:
            nonlocal now
            reply = inner(asked)
            if now and reply.value.get("fields"):
                reply = _with_name(reply, column, called)
            now = now or (asked.whole_rows and next(pages) >= start)
            return reply

        return spoil

    return make


def _with_name(reply: Reply, column: str, called: str) -> Reply:
    fields = [{**each, "name": called} if each["name"] == column else each for each in reply.value["fields"]]
    if reply.features is None:
        return reply.saying(fields=fields)
    rows = [_each(row, lambda name, value: (called if name == column else name, value)) for row in reply.features]
    return reply.saying(fields=fields, features=rows)
