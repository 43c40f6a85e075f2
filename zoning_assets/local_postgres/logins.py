"""Further logins of a private cluster. Their passwords are derived from the owner's, and do not reveal it."""

import base64
import hashlib
import hmac
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.local_postgres import remote
from zoning_assets.local_postgres.cluster_state import HOST, USER, State, load
from zoning_assets.storage.postgis.database_errors import reason


def login(home: Path, url: str, role: str) -> str | None:
    """Return the address for a login that has only this role in the private cluster of this home.

    None: the URL is not that of the cluster's owner, or the role does not exist there.
    """
    state, parts = load(home), urlsplit(url)
    if (
        state is None
        or (parts.hostname, parts.username) != (HOST, USER)
        or state.at_port(parts.port or 0).url != _bare(url)
    ):
        return None
    address = parts._replace(netloc=f"{role}:{_password(state, role)}@{HOST}:{parts.port}", query="").geturl()
    if _opens(address):
        return address
    with suppress(psycopg.Error), remote.open_database(_bare(url)) as connection:
        secret = connection.pgconn.encrypt_password(_password(state, role).encode(), role.encode())
        names = {"role": sql.Identifier(role), "secret": sql.Literal(secret.decode())}
        connection.execute(sql.SQL("ALTER ROLE {role} LOGIN PASSWORD {secret}").format(**names))
    return address if _opens(address) else None


def own_database(home: Path, url: str, name: str) -> str | None:
    """Return the address of a database in the private cluster of this home, with a login that owns only this database.

    Both are created if they do not exist. None: the URL is not of that cluster.

    Raises:
        DatabaseUnavailable: the cluster does not answer.
    """
    state, parts = load(home), urlsplit(url)
    if state is None or parts.hostname != HOST or parts.password not in _passwords(state, parts.username or ""):
        return None
    role, state = f"zoning_{name}", state.at_port(parts.port or 0)
    address = f"postgresql://{role}:{_password(state, role)}@{HOST}:{state.port}/{name}"
    if not _opens(address):
        _make_database(state, role, name)
    return address


def _passwords(state: State, user: str) -> set[str]:
    """The owner's password as a URL spells it, and the derived password of another user."""
    return {quote(state.password), _password(state, user)}


def _make_database(state: State, role: str, name: str) -> None:
    try:
        with remote.open_database(state.url) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
            secret = connection.pgconn.encrypt_password(_password(state, role).encode(), role.encode())
            names = {"role": sql.Identifier(role), "name": sql.Identifier(name), "secret": sql.Literal(secret.decode())}
            verb = "ALTER" if _has(connection, "pg_roles", "rolname", role) else "CREATE"
            connection.execute(sql.SQL(verb + " ROLE {role} LOGIN PASSWORD {secret}").format(**names))
            if not _has(connection, "pg_database", "datname", name):
                connection.execute(sql.SQL("CREATE DATABASE {name} OWNER {role}").format(**names))
    except psycopg.Error as error:
        why = reason(error)
        raise DatabaseUnavailable(why.what, where=f"the database {name} at {HOST}:{state.port}", do=why.do) from error


def _has(connection: psycopg.Connection, catalog: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s").format(sql.Identifier(catalog), sql.Identifier(column))
    return connection.execute(query, [name]).fetchone() is not None


def _bare(url: str) -> str:
    return url.partition("?")[0]


def _password(state: State, role: str) -> str:
    secret = hmac.digest(state.password.encode(), role.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")


def _opens(address: str) -> bool:
    with suppress(psycopg.Error):
        remote.open_database(address).close()
        return True
    return False
