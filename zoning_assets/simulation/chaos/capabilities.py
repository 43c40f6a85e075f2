"""Faults of statistics, capabilities and columns of a layer."""

import math
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from zoning_assets.simulation.chaos.exchange import (
    FaultFactory,
    FaultyHandler,
    Handler,
    Reply,
    ServiceRequest,
    error_reply,
    object_id,
)

Row = dict[str, Any]
_STALE_OFFSET = 1_009_200


def statistics_wrong(rng: Random) -> FaultyHandler:
    """Statistics are wrong; of grouped statistics, every second group is missing."""
    start = rng.randrange(2)

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        rows = reply.features
        if request.kind != "statistics" or not rows:
            return reply
        if request.params.get("groupByFieldsForStatistics"):
            return reply.with_values(features=rows[start::2])
        return reply.with_values(
            features=[_with_attributes(row, lambda name, old: (name, _stale(old))) for row in rows]
        )

    return faulty


def _stale(value: object) -> object:
    return value + _STALE_OFFSET if isinstance(value, int | float) else value


def statistics_renamed(_rng: Random) -> FaultyHandler:
    """The server ignores outStatisticFieldName."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        if request.kind != "statistics" or not reply.features:
            return reply
        return reply.with_values(
            features=[_with_attributes(row, lambda name, value: (f"{name.upper()}_", value)) for row in reply.features]
        )

    return faulty


def statistics_refused(_rng: Random) -> FaultyHandler:
    """Statistics are refused, although the metadata state that they are supported."""
    refusal = error_reply(400, "Unable to complete operation.", "Unable to perform query operation.")
    return lambda request, handler: refusal if request.kind == "statistics" else handler(request)


def _with_attributes(row: Row, change: Callable[[str, Any], tuple[str, Any]]) -> Row:
    """The row with `change` applied to each attribute."""
    return {**row, "attributes": dict(change(name, value) for name, value in row["attributes"].items())}


def no_paging(*, admitted: bool) -> FaultFactory:
    """Requests for pages are refused. `admitted`: the metadata state it."""
    refusal = error_reply(400, "Pagination is not supported.")

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        if request.kind == "features" and ("resultOffset" in request.params or "resultRecordCount" in request.params):
            return refusal
        reply = handler(request)
        capabilities = reply.value.get("advancedQueryCapabilities")
        if not (admitted and request.kind == "about" and capabilities):
            return reply
        return reply.with_values(advancedQueryCapabilities={**capabilities, "supportsPagination": False})

    return lambda _rng: faulty


def no_ids(_rng: Random) -> FaultyHandler:
    """A layer without object ids."""
    refusal = error_reply(400, "Invalid or missing input parameters.", "'OBJECTID' is no column")

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        if request.kind != "about" and (
            request.kind == "ids" or "OBJECTID" in str(request.params) or "objectIds" in request.params
        ):
            return refusal
        reply = handler(request)
        fields = [each for each in reply.value.get("fields", ()) if each.get("name") != "OBJECTID"]
        if request.kind == "about" and fields:
            return reply.with_values(fields=fields, objectIdField="")
        if not reply.features:
            return reply
        rows = [
            {**row, "attributes": {n: v for n, v in row["attributes"].items() if n != "OBJECTID"}}
            for row in reply.features
        ]
        return reply.with_values(features=rows, fields=fields, objectIdFieldName=None)

    return faulty


def float_ids(_rng: Random) -> FaultyHandler:
    """Object ids are written as 12.0."""

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        if request.kind == "ids" and reply.value.get("objectIds"):
            return reply.with_values(objectIds=[float(each) for each in reply.value["objectIds"]])
        if request.kind == "features" and reply.features and object_id(reply.features[0]) is not None:
            return reply.with_values(features=[_with_attributes(row, _id_as_float) for row in reply.features])
        return reply

    return faulty


def _id_as_float(name: str, value: Any) -> tuple[str, Any]:
    return name, float(value) if name == "OBJECTID" else value


def fields_refused(_rng: Random) -> FaultyHandler:
    """Requests for some of the columns are refused."""
    refusal = error_reply(400, "Failed to execute query.")

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        named = request.params.get("outFields", "*").strip() not in ("", "*")
        return refusal if request.kind == "features" and named else handler(request)

    return faulty


def bare_nan(_rng: Random) -> FaultyHandler:
    """Missing geometries are written with NaN, which is not valid JSON."""
    geometry = {"rings": [[[math.nan, math.nan]] * 4]}

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        reply = handler(request)
        if request.kind != "features" or all(row.get("geometry", 0) is not None for row in reply.features or ()):
            return reply
        rows = [
            {**row, "geometry": geometry} if row.get("geometry", 0) is None else row for row in reply.features or ()
        ]
        return reply.with_values(features=rows)

    return faulty


def renamed(column: str, new_name: str) -> FaultFactory:
    """A column gets another name during a harvest."""

    def create(rng: Random) -> FaultyHandler:
        start, pages = rng.randint(1, 3), count(1)
        is_renamed = False

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            nonlocal is_renamed
            reply = handler(request)
            if is_renamed and reply.value.get("fields"):
                reply = _with_name(reply, column, new_name)
            is_renamed = is_renamed or (request.is_harvest_page and next(pages) >= start)
            return reply

        return faulty

    return create


def _with_name(reply: Reply, column: str, new_name: str) -> Reply:
    fields = [{**each, "name": new_name} if each["name"] == column else each for each in reply.value["fields"]]
    if reply.features is None:
        return reply.with_values(fields=fields)
    rows = [
        _with_attributes(row, lambda name, value: (new_name if name == column else name, value))
        for row in reply.features
    ]
    return reply.with_values(fields=fields, features=rows)
