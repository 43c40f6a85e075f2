"""Planted secrets, and everything written while they are in use: none of them stands anywhere."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import zstandard
from aiohttp import ClientSession, encode_basic_auth, web
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from tests.support.effort import assert_linear
from zoning_assets import log_config
from zoning_assets.defects import unexpected_error
from zoning_assets.errors import PortalUnreachable
from zoning_assets.redaction import scrubbed
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.database import as_role

TOKEN, USER, PASSWORD, DATABASE = "TOKENplanted7", "USERplanted7", "PASSWORDplanted7", "DATABASEplanted7"
PLANTED = (TOKEN, USER, PASSWORD, DATABASE)
ROOT = Path(__file__).parents[2]


class Gate:
    """A portal behind a password and a token. What it refuses it refuses with the token in its own words."""

    def __init__(self, portal: str) -> None:
        self.portal, self.asked, self.kind = portal, 0, "open"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        given = {**parse_qs(request.query_string), **parse_qs(await request.text())}
        self.asked += 1
        word = encode_basic_auth(USER, PASSWORD)
        if given.get("token") != [TOKEN] or request.headers.get("Authorization") != word:
            return web.json_response({"error": {"code": 499, "message": "Token Required"}})
        if self.kind == "refuses":
            said = f"no service at {request.url} for token={TOKEN}; password: {PASSWORD}"
            return web.json_response({"error": {"code": 498, "message": said}})
        if self.kind == "sends away":
            raise web.HTTPFound(f"https://{USER}:{PASSWORD}@sso.example.org/login?token={TOKEN}")
        async with ClientSession() as session:
            method, body = request.method, await request.read()
            headers = {"Content-Type": request.headers["Content-Type"]} if body else {}
            async with session.request(
                method, f"{self.portal}{request.path_qs}", data=body or None, headers=headers
            ) as reply:
                return web.Response(body=await reply.read(), status=reply.status, content_type=reply.content_type)


@contextmanager
def gated(gate: Gate) -> Iterator[str]:
    """The gate, served on loopback by a thread of its own; its host and port."""
    loop = asyncio.new_event_loop()

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", gate.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = loop.run_until_complete(start())
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def login(database: str) -> Iterator[str]:
    """The database's address with a login whose password is planted."""
    role, database = sql.Identifier(f"secret_{os.getpid()}"), as_role(database, None)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(role, DATABASE))
        parts = urlsplit(database)
        host = parts.netloc.rpartition("@")[2]
        try:
            yield parts._replace(netloc=f"secret_{os.getpid()}:{DATABASE}@{host}").geturl()
        finally:
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


class Site:
    """A user's machine: a home, a jurisdiction whose address names the token's variable, a database with a password."""

    def __init__(self, home: Path, host: str, database: str) -> None:
        self.home, self.said = home, ""
        folder = home / "jurisdictions"
        folder.mkdir()
        # The address is written as a careful user would, the password as a careless one.
        toml = county_toml(f"http://{USER}:{PASSWORD}@{host}", tile_resolution="auto")
        (folder / f"{ID}.toml").write_text(re.sub(r'(url = "[^"]+)"', r'\1?token=${CITY_TOKEN}"', toml))
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))},
            "ZONING_HOME": str(home / "zoning"),
            "DAGSTER_HOME": str(home / "dagster"),
            "ZONING_JURISDICTIONS": str(folder),
            "ZONING_DATABASE_URL": database,
            "CITY_TOKEN": TOKEN,
        }

    def run(self, *words: str, **changed: str) -> int:
        """A command; what it said is kept."""
        command = [sys.executable, "-m", "zoning_assets.cli", *words]
        environment = {**self.environment, **changed}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        self.said += done.stdout + done.stderr
        return done.returncode

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was written: words, files (unpacked), the names of files."""
        yield "what was said", self.said.encode()
        for path in self.home.rglob("*"):
            yield f"the name of {path}", str(path).encode()
            if path.is_file() and path.suffix != ".toml":
                body = path.read_bytes()
                yield str(path), body
                if body[:4] == b"\x28\xb5\x2f\xfd":
                    yield f"{path}, unpacked", zstandard.ZstdDecompressor().decompressobj().decompress(body)


def dumped(database: str) -> Iterator[tuple[str, bytes]]:
    """Every table of ours, as text."""
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'zoning'::regnamespace"
        )
        for (table,) in tables.fetchall():
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as copy:
                yield f"table {table}", b"".join(bytes(block) for block in copy)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("word", ["--json", "--force"])
@pytest.mark.parametrize("kind", ["refuses", "sends away"])
def test_secrets_in_use_stand_nowhere(tmp_path: Path, database: str, kind: str, word: str) -> None:
    """A harvest, a probe, a refusal or a redirect, a database that is gone, a token that is not set."""
    with serving(300) as portal, login(database) as address:
        gate = Gate(portal)
        with gated(gate) as host:
            site = Site(tmp_path, host, address)
            assert site.run("sync", ID, "--json") == 0
            assert site.run("probe", ID, "--json") == 0
            gate.kind = kind
            assert site.run("sync", ID, word) == 1
        assert site.run("status", "--json") in (0, 1)
        nowhere = urlsplit(address)._replace(netloc=f"{USER}:{PASSWORD}@127.0.0.1:9").geturl()
        assert site.run("status", "--json", ZONING_DATABASE_URL=nowhere) != 0
        assert site.run("sync", ID, ZONING_DATABASE_URL=nowhere) != 0
        assert site.run("sync", ID, CITY_TOKEN="") == 2
    assert gate.asked > 10
    written = [*site.written(), *dumped(database)]
    assert any("table zoning.parcel" in what and body for what, body in written)
    found = {(secret, what) for what, body in written for secret in PLANTED if secret.encode() in body}
    assert not found


@given(st.text(), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=20))
def test_an_address_in_any_text_loses_its_secrets(around: str, secret: str) -> None:
    secret = f"5ecret{secret}"
    for text in (
        f"{around} https://me:{secret}@example.org/a?token={secret}#x{around}",
        f"{around} postgresql://me:{secret}@example.org/db {around}",
        f"{around} host=h password={secret} {around}",
        f'{around} {{"token": "{secret}"}} {around}',
        f"{around} Authorization: Bearer {secret} {around}",
        f"{around} password='{secret}",  # cut off before its end
    ):
        assert secret not in scrubbed(text)


def test_logs_for_machines_hold_what_is_known_and_no_secret() -> None:
    stream = StringIO()
    logger = logging.getLogger("zoning_assets")
    before = logger.handlers, logger.level
    try:
        log_config.log_as_json(stream)
        with log_config.log_context(run="r1", jurisdiction="us-x", tile=None):
            error = ValueError(f"cannot open http://{USER}:{PASSWORD}@h/?token={TOKEN}")
            logging.getLogger("zoning_assets.pipeline.pipeline").error("unforeseen", exc_info=error)
    finally:
        logger.handlers, level = before
        logger.setLevel(level)
    (line,) = stream.getvalue().splitlines()
    assert '"run":"r1"' in line
    assert '"jurisdiction":"us-x"' in line
    assert "ValueError: cannot open http://h/" in line
    assert not [secret for secret in PLANTED if secret in line]


def test_errors_hold_no_secret() -> None:
    error = PortalUnreachable(
        f"no answer from http://h/?token={TOKEN}", where=f"http://{USER}:{PASSWORD}@h/", do="wait"
    )
    assert not [secret for secret in PLANTED if secret in f"{error}{error!r}{error.what}"]


@pytest.mark.parametrize("text", ["the key is gone; check the key", "error 499: Token Required", "EPSG:2249 at 1:2"])
def test_plain_words_stay(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_long_token_is_hidden_to_its_end(quote: str) -> None:
    """A signed token has a thousand letters and more."""
    assert scrubbed(f"token={quote}{'x' * 2000}{PASSWORD}{quote} and more").endswith(" and more")
    assert PASSWORD not in scrubbed(f"token={quote}{'x' * 2000}{PASSWORD}{quote} and more")


def test_an_unforeseen_error_that_is_cut_off_in_an_address_holds_no_secret() -> None:
    error = ValueError(f"{'x' * 450} http://{USER}:{PASSWORD * 20}@h/?token={TOKEN}")
    assert not [secret for secret in PLANTED if secret in str(unexpected_error("us-x", error))]


@pytest.mark.parametrize("word", ["a", "x-", "password='", "token=", "a://", "a+"])
def test_a_hostile_text_takes_no_time(word: str) -> None:
    assert_linear(lambda size: scrubbed(word * (size // len(word))), 120_000)
