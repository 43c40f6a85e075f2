"""Errors as problem documents (RFC 9457), without the internals of this program.

What a database or a library says about an error is not sent: it can repeat the input and names of tables. A defect is
logged with its stack trace.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from tipg import errors as tipg_errors

from zoning_assets.errors import NothingFound, StoreError, WrongUsage, ZoningError

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Classes of SQLSTATE that a value or a filter of a request causes: data exception, syntax or a name that does not
#: exist, program limit. XX000 is how PostGIS reports a shape that it cannot read.
_OF_THE_REQUEST = ("22", "42", "54", "XX000")
_CANCELED, _FORBIDDEN = "57014", "42501"
#: A replica cancels a query that needs rows of which the primary has deleted the old versions.
_CONFLICTS = ("40001", "40P01")
_BAD_REQUEST = (
    tipg_errors.InvalidBBox, tipg_errors.InvalidPropertyName, tipg_errors.InvalidGeometryColumnName,
    tipg_errors.InvalidDatetimeColumnName, tipg_errors.InvalidDatetime, tipg_errors.InvalidLimit,
    tipg_errors.MissingFunctionParameter, tipg_errors.MissingDatetimeColumn, tipg_errors.MissingGeometryColumn,
    tipg_errors.NoPrimaryKey,
)  # fmt: skip


class BodyTooLarge(Exception):
    """The body of a request is larger than allowed."""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem document: `type`, `title`, `status`, `detail`."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(orjson.dumps(document), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def register(app: FastAPI) -> None:
    """Register the handlers that take the place of FastAPI's own; the others are in of_any."""
    app.add_exception_handler(StarletteHTTPException, of_any)
    app.add_exception_handler(RequestValidationError, of_any)


def of_any(request: Request, error: Exception) -> Response:
    """The problem document of any exception; a defect is logged."""
    for kind, handler in _HANDLERS.items():
        if isinstance(error, kind):
            return handler(request, error)
    return _defect(request, error)


def _http(_: Request, error: StarletteHTTPException) -> Response:
    return problem(error.status_code, str(error.detail), error.headers)


def _invalid(_: Request, error: RequestValidationError) -> Response:
    """The first parameter that is not valid, and why."""
    first = error.errors()[0] if error.errors() else {"loc": (), "msg": "the request is not valid"}
    place = ".".join(str(part) for part in first["loc"])
    return problem(HTTPStatus.BAD_REQUEST, f"{place}: {first['msg']}")


def _of_tipg(request: Request, error: tipg_errors.TiPgError) -> Response:
    if isinstance(error, tipg_errors.NotFound):
        return problem(HTTPStatus.NOT_FOUND, "there is no such feature")
    if isinstance(error, _BAD_REQUEST):
        return problem(HTTPStatus.BAD_REQUEST, str(error)[:300])
    return _defect(request, error)


def _of_postgres(request: Request, error: Exception) -> Response:
    state = getattr(error, "sqlstate", None) or ""
    if state == _CANCELED:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the query takes too long; narrow it", {"Retry-After": "5"})
    if state in _CONFLICTS:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "newer data arrived meanwhile; ask again", {"Retry-After": "1"})
    is_refused = isinstance(error, psycopg.DataError) or state.startswith(_OF_THE_REQUEST)
    if is_refused and state != _FORBIDDEN:
        return problem(HTTPStatus.BAD_REQUEST, "a value or a filter of the request does not fit the data")
    return _unavailable(request, error)


def _of_driver(request: Request, error: asyncpg.InterfaceError) -> Response:
    return _bad_value(request, error) if isinstance(error, ValueError) else _unavailable(request, error)


def _ours(request: Request, error: ZoningError) -> Response:
    if isinstance(error, NothingFound):
        return problem(HTTPStatus.NOT_FOUND, error.what)
    if isinstance(error, WrongUsage):
        return problem(HTTPStatus.BAD_REQUEST, error.what)
    if isinstance(error, StoreError):
        cause = error.__cause__
        return _of_postgres(request, cause) if isinstance(cause, psycopg.Error) else _unavailable(request, error)
    return problem(HTTPStatus.CONFLICT, error.what)


def _bad_value(_: Request, __: Exception) -> Response:
    return problem(HTTPStatus.BAD_REQUEST, "a value of the request is not valid")


def _timed_out(_: Request, __: Exception) -> Response:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the request takes too long; narrow it", {"Retry-After": "5"})


def _unavailable(_: Request, error: Exception) -> Response:
    _log.warning("the database does not answer the API: %s", type(error).__name__)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer", {"Retry-After": "5"})


def _defect(_: Request, error: Exception) -> Response:
    _log.error("the API failed", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of this program; its log has the details")


def _too_large(_: Request, __: Exception) -> Response:
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than allowed")


_HANDLERS: Mapping[type[Exception], Callable[[Request, Any], Response]] = {
    StarletteHTTPException: _http,
    RequestValidationError: _invalid,
    tipg_errors.TiPgError: _of_tipg,
    asyncpg.PostgresError: _of_postgres,
    asyncpg.InterfaceError: _of_driver,
    psycopg.Error: _of_postgres,
    ZoningError: _ours,
    BodyTooLarge: _too_large,
    TimeoutError: _timed_out,
    OSError: _unavailable,
}
