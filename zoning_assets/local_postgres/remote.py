"""Check whether a database answers and has PostGIS. Passwords never appear in messages."""

import contextlib
import re
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from zoning_assets.errors import DatabaseUnavailable, SettingInvalid
from zoning_assets.storage.postgis import connection_settings, pooler_check
from zoning_assets.storage.postgis.database_errors import reason

ANSWER_MOST_S = 10
HIDDEN = "***"
PASSWORD_IN_URL = re.compile(r"(?<=://)([^@/?#]*?):.*@|(?<=[?&]password=)[^&]*")
HAS_POSTGIS = "SELECT count(*) FROM pg_extension WHERE extname = 'postgis'"


SETTING = "ZONING_DATABASE_URL"


def answering(url: str, setting: str) -> str:
    """Return the URL in the form `postgresql://`, after the database has answered.

    Args:
        url: the address of the database.
        setting: the name of the setting that contains it, for messages.

    Raises:
        SettingInvalid: it is not the URL of a PostgreSQL database.
        DatabaseUnavailable: the database does not answer, or stands behind a pooler that keeps no sessions.
    """
    canonical = _canonical(url, setting)
    try:
        with open_database(canonical) as connection:
            _check_sessions(connection, canonical)
    except psycopg.Error as error:
        raise _no_answer(url, error, setting) from error
    return canonical


def check(url: str) -> str:
    """Return the URL in the form `postgresql://`, after the database has answered. PostGIS is added if it is missing.

    Raises:
        SettingInvalid: it is not the URL of a PostgreSQL database.
        DatabaseUnavailable: the database does not answer, stands behind a pooler that keeps no sessions, or PostGIS is
            missing and cannot be added.
    """
    canonical = _canonical(url, SETTING)
    try:
        with open_database(canonical) as connection:
            _check_sessions(connection, canonical)
            if not has_postgis(connection):
                _add_postgis(connection, url)
    except psycopg.Error as error:
        raise _no_answer(url, error, SETTING) from error
    return canonical


def open_database(url: str) -> psycopg.Connection:
    """Connect with time limits for the connection and for each statement.

    Raises:
        psycopg.OperationalError: the database does not answer.
    """
    connection = connection_settings.connect(
        url,
        autocommit=True,
        connect_timeout=ANSWER_MOST_S,
        tcp_user_timeout=ANSWER_MOST_S * 1000,
        application_name="zoning",
    )
    connection.execute("SELECT set_config('statement_timeout', '60s', false)")
    return connection


def has_postgis(connection: psycopg.Connection) -> bool:
    """Whether this database has the extension PostGIS."""
    row = connection.execute(HAS_POSTGIS).fetchone()
    return bool(row and row[0])


def masked(text: str, url: str) -> str:
    """Replace the password of the URL in a text, in each of its spellings."""
    text = text.replace(url, PASSWORD_IN_URL.sub(_hide, url))
    for secret in _secrets(url):
        text = text.replace(secret, HIDDEN)
    return text


def without_password(url: str) -> tuple[str, str]:
    """Split a URL into a connection string for psql's command line, and the password for its environment."""
    parts = conninfo_to_dict(url)
    password = str(parts.pop("password", None) or "")
    return make_conninfo("", **parts), password


def _check_sessions(connection: psycopg.Connection, url: str) -> None:
    if pooler_check.is_pooled(connection):
        bare, _ = connection_settings.split(url)
        pooler_check.check_sessions(bare, f"the database {masked(url, url)}")


def _add_postgis(connection: psycopg.Connection, url: str) -> None:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    except psycopg.Error as error:
        if not has_postgis(connection):  # another process may have added it meanwhile
            do = "run CREATE EXTENSION postgis there as an administrator, or install PostGIS for that server"
            is_forbidden = isinstance(error, psycopg.errors.InsufficientPrivilege)
            why = "this user may not add it" if is_forbidden else "its server does not offer it"
            what = f"has no PostGIS, and {why}"
            raise _unavailable(url, what, do, SETTING) from error


def _no_answer(url: str, error: psycopg.Error, setting: str) -> DatabaseUnavailable:
    why = reason(error)
    return _unavailable(url, f"does not answer: {why.what}", why.do, setting)


def _unavailable(url: str, what: str, do: str, setting: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(masked(what, url), where=f"the database {masked(url, url)}", do=f"{do} ({setting})")


def _canonical(url: str, setting: str) -> str:
    scheme, _, rest = url.strip().partition("://")
    canonical = f"postgresql://{rest}"
    try:
        port = str(conninfo_to_dict(canonical).get("port") or "")
        # An unescaped / in a password ends the host early: the rest of the password is then in the port and the path.
        good = re.fullmatch(r"[\d,]*", port) and "@" not in _path(rest)
    except psycopg.Error:
        good = False
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):  # SQLAlchemy appends a driver with +
        good = False
    if not good:  # libpq's own message would contain parts of a password that has a / or an @
        raise SettingInvalid(
            "is not an address of a PostgreSQL database",
            where=setting,
            do="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / @ : in the password as %2F %40 %3A",
        ) from None
    return canonical


def _path(rest: str) -> str:
    return rest.partition("?")[0].partition("/")[2]


def _hide(match: re.Match[str]) -> str:
    return f"{match[1]}:{HIDDEN}@" if match[1] is not None else HIDDEN


def _secrets(url: str) -> list[str]:
    """The password decoded, quoted, and as spelled in this URL; longest first."""
    found = [match.group() for match in PASSWORD_IN_URL.finditer(url)]
    spelled = {text.partition(":")[2].removesuffix("@") if text.endswith("@") else text for text in found}
    with contextlib.suppress(psycopg.Error):
        password = str(conninfo_to_dict(url).get("password") or "")
        spelled |= {password, quote(password, safe="")}
    return sorted(filter(None, spelled), key=len, reverse=True)
