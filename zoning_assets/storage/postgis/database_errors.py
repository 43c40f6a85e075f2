"""Explain errors of PostgreSQL to users. The texts of libpq and psycopg are for programmers.

What belongs here: what an error means, and what to do. What does not: the address, and raising errors.
"""

import re
from dataclasses import dataclass

import psycopg


@dataclass(frozen=True)
class Reason:
    """What happened, and what to do about it."""

    what: str
    do: str


_AGAIN = "run the same command again"
_LOST = Reason("it ended the connection", f"check whether it was stopped or restarted, then {_AGAIN}")

#: SQLSTATE or its class -> reason. {message}: the message of PostgreSQL.
_STATES = {
    "08": _LOST,
    "08P01": Reason("a connection pooler ended it: {message}", "check the pooler's settings (docs/how-to/database.md)"),
    "28P01": Reason("the user or the password is wrong", "check the user and the password"),
    "28": Reason("this user may not log in there", "check the user, and the server's pg_hba.conf"),
    "3D000": Reason("there is no database of this name", "check the name, or create it with CREATE DATABASE"),
    "25006": Reason("it is read-only, as a standby is", "give the address of the primary server"),
    "42501": Reason("{message}", "let the owner of the schema run `zoning db up`, or grant the right"),
    "53100": Reason("its disk is full", f"free some space on the database's disk, then {_AGAIN}"),
    "53200": Reason("it has no memory left", f"give the server more memory, then {_AGAIN}"),
    "53300": Reason("it accepts no more connections", "stop other programs that use it, or raise max_connections"),
    "55P03": Reason("another program has held a lock for too long", _AGAIN),
    "40": Reason("another program changed the same rows", _AGAIN),
    "57014": Reason("it took longer than the server allows", f"raise statement_timeout, or {_AGAIN}"),
    "57P": Reason("it is being started, stopped or restarted", f"wait a moment, then {_AGAIN}"),
    "58": Reason("it cannot read or write its own files", "look at the server's log and its disk"),
    "XX": Reason("it reports damaged data ({message})", "look at the server's log, and restore a backup"),
}
#: Pattern of the message of a failed connection (of the server or of libpq, in English) -> reason.
_TEXTS = (
    (r"password authentication failed|no password supplied|SCRAM", _STATES["28P01"]),
    (r"role \S+ does not exist", Reason("there is no user of this name", "check the user, or create it")),
    (r"database \S+ does not exist", _STATES["3D000"]),
    (r"pg_hba\.conf|authentication failed", _STATES["28"]),
    (r"too many (clients|connections)|remaining connection slots", _STATES["53300"]),
    (r"starting up|shutting down|recovery mode|not yet accepting", _STATES["57P"]),
    (r"unsupported startup parameter", Reason(
        "a connection pooler before it refuses the `options` of the address", "leave them out of the address")),
    (r"query_wait_timeout|no more connections allowed|max_client_conn", Reason(
        "the connection pooler before it has no free connection", "raise default_pool_size or max_client_conn there")),
    (r"getaddrinfo|translate host name|Name or service not known|name resolution|nodename nor", Reason(
        "the name of its host is not known", "check the host's name in the address, and the network")),
    (r"Connection refused", Reason("nothing listens at this address", "start the server, or check host and port")),
    (r"No such file or directory.*socket|socket.*No such file", Reason(
        "no server listens at this socket", "start the server, or give a host in the address")),
    (r"timeout expired|timed out|timeout", Reason(
        "no answer came in time", "check host, port and firewall, and whether the server is overloaded")),
    (r"No route to host|Network is unreachable|Host is down", Reason(
        "its host cannot be reached", "check the network, and the host in the address")),
    (r"certificate|SSL|TLS", Reason(
        "the encrypted connection failed", "check sslmode and the certificates in the address")),
    (r"No space left", _STATES["53100"]),
    (r"closed|lost|terminated|EOF|reset by peer|consuming input|Broken pipe", _LOST),
)  # fmt: skip


def reason(error: psycopg.Error) -> Reason:
    """The reason of a database error: by SQLSTATE, else by the text of the message."""
    state = error.sqlstate or ""
    found = next((_STATES[state[:length]] for length in (5, 3, 2) if state[:length] in _STATES), None)
    if found is None and not error.diag.message_primary:
        text = " ".join(str(error).split())
        found = next((why for pattern, why in _TEXTS if re.search(pattern, text, re.IGNORECASE)), None)
        words = re.findall(r"(?:FATAL|ERROR): +(.+?)(?=$| connection to server| - host)", text)
        found = found or Reason("it refuses the connection" + (f": {words[-1]}" if words else ""), "look at its log")
    message = error.diag.message_primary or ""
    return Reason(found.what.format(message=message), found.do) if found else Reason(message, _AGAIN)
