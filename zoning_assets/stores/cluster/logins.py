"""Logins of a cluster of ours for who owns nothing: a password each, made of the owner's, which it does not tell."""

import base64
import hashlib
import hmac
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from zoning_assets.stores.cluster import remote
from zoning_assets.stores.cluster.state import HOST, USER, State, load


def login(home: Path, url: str, role: str) -> str | None:
    """The address for who comes as a role to the cluster of this home, and can be nobody else; None where the URL is
    not of that cluster's owner, or the role does not exist there."""
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
