"""Settings of a session that an address has as `options=-c NAME=VALUE`: set by a statement after the connection.

A connection pooler refuses the startup parameter `options`, or ignores it if its administrator says so. Then a session
would have the rights of the login in place of the role, and would not be read-only. A statement works in both cases.

With keepalives the server ends the session of a lost machine within about a minute, so that its locks are free. By
default it would take two hours.

The other way round, PEER_LIMITS end a session here whose server is lost. By default a statement would wait a quarter of
an hour for the acknowledgement of its text, and two hours for its result.
"""

import re
import select
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import sql

#: The settings that this program adds to addresses. Other options of a user stay startup parameters.
_OURS = frozenset({
    "role", "search_path", "default_transaction_read_only", "statement_timeout", "max_parallel_workers_per_gather",
    "jit",
})  # fmt: skip
#: Parameters of libpq. Without traffic the kernel asks the server after 30 s, and every 10 s from then on. A server is
#: lost if it acknowledges nothing for a minute, or reads nothing for a minute while data wait for it. A statement may
#: take any time: the kernel of its server answers meanwhile.
PEER_LIMITS: Mapping[str, str] = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_KEEPALIVES = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_OPTION = re.compile(r"-c\s*(\w+)=(\S*)")


def split(url: str) -> tuple[str, str]:
    """The address without our settings, and the statements that make them; empty: there are none."""
    base, fields = _fields(url)
    options = fields.pop("options", "")
    found = {name: value for name, value in _OPTION.findall(options) if name in _OURS}
    if not found:
        return url, ""
    others = _OPTION.sub(lambda match: "" if match[1] in _OURS else match[0], options).strip()
    fields |= {"options": others} if others else {}
    return _joined(base, fields), "; ".join(_statement(name, value) for name, value in sorted(found.items()))


def _statement(name: str, value: str) -> str:
    words = (
        sql.SQL(", ").join(sql.Literal(each.strip()) for each in value.split(",")) if name == "search_path" else None
    )
    return sql.SQL("SET {} = {}").format(sql.Identifier(name), words or sql.Literal(value)).as_string()


def with_peer_limits(url: str) -> str:
    """The address with PEER_LIMITS, apart from those that it states itself."""
    base, fields = _fields(url)
    return _joined(base, {**PEER_LIMITS, **fields})


def without_peer_limits(url: str) -> str:
    """The address for asyncpg, which would send these parameters of libpq to the server."""
    base, fields = _fields(url)
    return _joined(base, {name: value for name, value in fields.items() if name not in {*PEER_LIMITS, "keepalives"}})


def _fields(url: str) -> tuple[str, dict[str, str]]:
    base, _, query = url.partition("?")
    return base, dict(parse_qsl(query, keep_blank_values=True))


def _joined(base: str, fields: Mapping[str, str]) -> str:
    return f"{base}?{urlencode(fields, quote_via=quote)}" if fields else base


def has_ended(descriptor: int) -> bool:
    """Whether the server has ended an idle session, as after a restart: only then is there something to read.
    `descriptor`: of its socket."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def connect(url: str, *, autocommit: bool = False, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection with the settings of its address. `options`: of psycopg.connect.

    Raises:
        psycopg.Error: the database does not answer, or refuses a setting.
    """
    bare, statements = split(url)
    connection = psycopg.connect(with_peer_limits(bare), autocommit=True, **options)
    try:
        connection.execute(f"{_KEEPALIVES}; {statements}".encode())
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(url: str, **options: Any) -> psycopg.AsyncConnection[Any]:
    """Open a connection without transactions, with the settings of its address. `options`: of psycopg.

    Raises:
        psycopg.Error: see connect.
    """
    bare, statements = split(url)
    connection = await psycopg.AsyncConnection.connect(with_peer_limits(bare), autocommit=True, **options)
    try:
        await connection.execute(f"{_KEEPALIVES}; {statements}".encode())
    except BaseException:
        await connection.close()
        raise
    return connection
