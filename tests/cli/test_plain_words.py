"""What goes wrong around this program is said in plain words: what, where, what to do; no word of Python or libpq.

The situations are made for real: a closed port, a name that nobody knows, a server that is stopped, a wrong password.
"""

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.cli.conftest import Zoning
from zoning_assets.errors import StoreError, machine_error
from zoning_assets.os_errors import network
from zoning_assets.storage.postgis import database as db

#: Words of programmers: class names, libpq's and Python's texts.
VOCABULARY = re.compile(
    r"Traceback|[A-Z][a-z]+(Error|Exception|Warning)\b|Errno|errno|Is the server running|connection to server at"
    r"|could not (connect|translate|receive)|getaddrinfo|psycopg|libpq|aiohttp|FATAL|codec can't|Connect call failed"
    r"|object has no attribute|NoneType|Cannot connect to host|ssl:|line \d+ column|0x[0-9a-f]{4}|\bNone\b|<class"
)

FILE = """
id = "us-xx-mytown"
name = "My Town"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "{type}"
url = "{url}"
key = "ML"
[portal]
requests_per_minute = 600000
"""


def _plain(text: str) -> None:
    found = VOCABULARY.search(text)
    assert found is None, (found, text)


@pytest.fixture
def town(zoning: Zoning, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the jurisdiction file of a portal."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)

    def write(url: str, kind: str = "arcgis") -> None:
        (tmp_path / "jurisdictions" / "us-xx-mytown.toml").write_text(FILE.format(url=url, type=kind))

    return write


@pytest.fixture
def closed() -> int:
    """A port of this machine at which nothing listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Answers(threading.Thread):
    """A server that answers every connection in one way."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.close()


def _body(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(text), text)


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "nothing listens there: it refuses the connection"),
        (b"", "it closed the connection without an answer"),
        (b"hello\r\n\r\n", "its answer is not HTTP"),
        (_body(b'{"name": ], "type": 1}'), "JSON"),
        (_body(b"{]"), "the JSON ends at character 2 of 2"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "its answer was cut off"),
    ],
)
def test_a_portal_that_fails_is_said_in_plain_words(
    zoning: Zoning, town: Callable[..., None], closed: int, answer: bytes | None, says: str
) -> None:
    """For people, for programs, and in `zoning status` afterwards."""
    server = None if answer is None else _Answers(answer)
    town(f"http://127.0.0.1:{server.port if server else closed}/arcgis/rest/services/P/FeatureServer/0")
    status, out, err = zoning("sync", "us-xx-mytown", "--json")
    if server:
        server.close()
    told = json.loads(out)
    assert (status, told["exit_status"]) == (1, 1)
    assert says in told["error"]
    assert f"zoning: {told['error']}" in err.splitlines()
    _plain(out + err)
    status, out, err = zoning("status")
    assert says in out
    assert "try again later" in out, "what to do"
    _plain(out + err)


def test_a_name_that_nobody_knows(zoning: Zoning, town: Callable[..., None]) -> None:
    """RFC 6761: names under `.invalid` exist nowhere."""
    town("http://gis.mytown.invalid/arcgis/rest/services/P/FeatureServer/0")
    status, out, err = zoning("probe", "us-xx-mytown", "--json")
    assert (status, json.loads(out)["exit_status"]) == (1, 1)
    assert "the name of its host" in json.loads(out)["error"]
    _plain(out + err)


def test_a_portal_that_speaks_no_tls(zoning: Zoning, town: Callable[..., None]) -> None:
    server = _Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    town(f"https://127.0.0.1:{server.port}/arcgis/rest/services/P/FeatureServer/0")
    status, out, err = zoning("probe", "us-xx-mytown", "--json")
    server.close()
    assert status == 1
    assert "encrypted connection" in json.loads(out)["error"]
    _plain(out + err)


def test_a_file_that_is_not_there(zoning: Zoning, town: Callable[..., None]) -> None:
    town("nothing.zip", "download")
    status, out, err = zoning("sync", "us-xx-mytown", "--json")
    told = json.loads(out)
    assert (status, told["exit_status"]) == (1, 1)
    assert "nothing.zip" in told["error"]
    _plain(out + err)


def _with(url: str, **parts: object) -> str:
    """A database's address with another user, password, host, port or name."""
    old = urlsplit(db.as_role(url, None))
    known = {"user": old.username, "password": old.password, "host": old.hostname, "port": old.port}
    known |= {"name": old.path[1:], **parts}
    return "postgresql://{user}:{password}@{host}:{port}/{name}".format(**known)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"password": "s3cr3t-guess"}, "the user or the password is wrong"),
        ({"user": "nobody_here"}, "the user or the password is wrong"),
        ({"name": "no_such_database"}, "there is no database of this name"),
        ({"host": "db.mytown.invalid"}, "the name of its host is not known"),
        ({"port": None}, "nothing listens at this address"),
    ],
)
@pytest.mark.parametrize("word", ["status", "changes", "rejections"])
def test_a_database_that_does_not_let_us_in(
    zoning: Zoning, database: str, closed: int, monkeypatch: pytest.MonkeyPatch,
    parts: dict[str, object], says: str, word: str,
) -> None:  # fmt: skip
    """One line that says why and what to do, with the setting's name and without the password."""
    parts = {**parts, "port": closed} if "port" in parts else parts
    monkeypatch.setenv("ZONING_DATABASE_URL", _with(database, **parts))
    status, out, err = zoning(word, "--json")
    told = json.loads(out)
    assert (status, told["exit_status"]) == (1, 1)
    assert says in told["error"]
    assert "ZONING_DATABASE_URL" in told["error"]
    assert err.splitlines() == [f"zoning: {told['error']}"]
    _plain(out + err)


def test_a_database_without_postgis(zoning: Zoning, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a user who may not add it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS plain_words")
        connection.execute("DROP ROLE IF EXISTS plain_words")
        connection.execute("CREATE ROLE plain_words LOGIN PASSWORD 'plain_words'")
        connection.execute("CREATE DATABASE plain_words TEMPLATE template0")
    try:
        own = _with(server, **dict.fromkeys(("user", "password", "name"), "plain_words"))
        monkeypatch.setenv("ZONING_DATABASE_URL", own)
        status, out, err = zoning("status", "--json")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("DROP DATABASE plain_words WITH (FORCE)")
            connection.execute("DROP ROLE plain_words")
    assert status == 1
    assert "has no PostGIS, and this user may not add it" in json.loads(out)["error"]
    _plain(out + err)


def test_a_database_that_is_read_only(zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a standby is: what only reads goes on, what would write says so."""
    owner = db.as_role(database, None)
    with psycopg.connect(owner, autocommit=True) as connection:
        name = sql.Identifier(urlsplit(owner).path[1:])
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    status, out, _ = zoning("changes", "--json")
    assert (status, json.loads(out)["total"]) == (0, 0)
    status, out, err = zoning("pause", "us-xx-mytown", "--reason", "to see", "--json")
    assert status == 1
    assert "it is read-only" in json.loads(out)["error"]
    _plain(out + err)


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Callable[[], object]]]:
    """A PostgreSQL of this test's own: its address, and what stops it."""
    from tests.support.cluster_fixture import shared_packages  # noqa: PLC0415
    from zoning_assets import local_postgres  # noqa: PLC0415

    home = tmp_path_factory.mktemp("own")
    url = local_postgres.ensure(home, {}, fsync=False, shared=shared_packages())
    yield url, lambda: local_postgres.stop(home)
    local_postgres.remove(home)


def test_a_database_that_was_stopped(
    zoning: Zoning, own_server: tuple[str, Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a command, and while it reads."""
    url, stop = own_server
    monkeypatch.setenv("ZONING_DATABASE_URL", url)
    assert zoning("changes", "--json")[0] == 0

    def read_on() -> None:
        with db.connect(url) as connection:
            stop()
            connection.execute("SELECT 1")

    with pytest.raises(StoreError) as caught:
        read_on()
    _plain(str(caught.value))
    assert re.search("ended the connection|started, stopped or restarted", str(caught.value))
    status, out, err = zoning("changes", "--json")
    assert status == 1
    assert "nothing listens at this address" in json.loads(out)["error"]
    _plain(out + err)


def test_a_disk_that_is_full_and_a_right_that_is_missing() -> None:
    """Whatever library met it, and however it wrapped it."""
    with pytest.raises(OSError, match="No space left") as full, Path("/dev/full").open("wb", buffering=0) as disk:
        disk.write(b"x")
    wrapped = ValueError("writing failed")
    wrapped.__cause__ = full.value
    for error in (full.value, wrapped, RuntimeError("Error writing: [errno 28] No space left on device")):
        known = machine_error(error, "/store")
        assert known
        assert str(known).startswith("/store: the disk is full; free some space on the disk")
    denied = machine_error(PermissionError(13, "Permission denied", "/etc/shadow"), "here")
    assert str(denied).startswith("/etc/shadow: this user has no right to it; ")
    assert machine_error(KeyError("x"), "here") is None
    assert network(KeyError("x")) is None


def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    """A TLS failure of a kind that has no words of its own is still none of OpenSSL's."""
    from zoning_assets.http.response_checks import untrusted  # noqa: PLC0415

    error = ssl.SSLError(1, "[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol (_ssl.c:1006)")
    _plain(str(untrusted("https://x.org", error)))


def test_a_fault_of_this_program_is_one_line_and_its_stack_is_kept(
    zoning: Zoning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback for people; who mends this program finds it in a file, without secrets."""

    def broken(_: object) -> None:
        raise KeyError("token=s3cr3t")

    monkeypatch.setattr("zoning_assets.cli.bootstrap.jurisdiction", broken)
    status, out, err = zoning("sync", "us-xx-mytown", "--json")
    assert (status, json.loads(out)["exit_status"]) == (1, 1)
    _plain(out + err)
    stack = (tmp_path / "home" / "faults.log").read_text()
    assert "KeyError" in stack
    assert "s3cr3t" not in stack
    assert str(tmp_path / "home" / "faults.log") in json.loads(out)["error"]
