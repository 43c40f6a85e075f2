"""Headers, limits, hosts, tokens and entity tags of a real server."""

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from tests.api.conftest import READ_TOKEN, REVIEW_TOKEN, TOWN, Client, serving
from tests.support.waiting import until
from zoning_assets.api import server_limits, tokens
from zoning_assets.api.request_guard import headers
from zoning_assets.api.server_settings import ServerSettings
from zoning_assets.errors import SettingInvalid

PARCELS = "/collections/zoning.zoned_parcel/items?limit=3"
TILE = "/collections/zoning.zoned_parcel/tiles/WebMercatorQuad/12/1240/1518"


@pytest.mark.parametrize(
    "target", ["/", "/static/maplibre-gl.js", "/api/changes", PARCELS, "/nothing", "/api/changes?x=1"]
)
def test_every_answer_has_the_headers(api: Client, target: str) -> None:
    found = api.get(target).headers
    policy = dict(part.split(" ", 1) for part in found["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert "unsafe" not in found["content-security-policy"]
    assert found["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in found
    assert "server" not in found or "uvicorn" not in api.get(target).body.decode(errors="ignore")


def test_the_policy_names_only_the_host_of_the_tile_setting(settings: ServerSettings) -> None:
    policy = headers(replace(settings, tiles="https://tiles.example.org:8443/{z}/{x}/{y}.png"))
    found = policy["Content-Security-Policy"]
    assert found.count("https://tiles.example.org:8443") == 2
    assert "img-src 'self' data: blob: https://tiles.example.org:8443;" in found


@pytest.mark.parametrize(
    "target", [PARCELS, TILE, "/api/changes", "/api/jurisdictions", "/static/maplibre-gl.css", "/"]
)
def test_an_answer_that_the_client_has_is_not_sent_again(api: Client, target: str) -> None:
    first = api.get(target)
    tag = first.headers["etag"]
    again = api.get(target, If_None_Match=f'"x", {tag}')
    assert (first.status, again.status, again.body, again.headers["etag"]) == (200, 304, b"", tag)
    assert api.get(target, If_None_Match='"other"').status == 200


def test_the_tag_of_features_changes_when_something_is_published(api: Client) -> None:
    tag = api.get(PARCELS).headers["etag"]
    with psycopg.connect(api.url) as connection:
        connection.execute(
            "INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started, committed)"
            " VALUES (%s, 'parcels', 'new', 'r', now(), now())",
            [TOWN],
        )
    # The state is read again after half a second.
    until(lambda: api.get(PARCELS, If_None_Match=tag).status == 200, "another tag", most_s=30)


def test_tags_of_different_questions_differ(api: Client) -> None:
    assert api.get(PARCELS).headers["etag"] != api.get(f"{PARCELS}&offset=1").headers["etag"]


def test_limits(api: Client) -> None:
    """The size of the address, the body and the page; a body of unknown length, too."""
    assert api.get(f"/api/changes?parcel={'x' * 9000}").status == 414
    assert api.get("/api/reviews/abcdef", "POST", b"x" * 20_000).status == 413
    assert api.get("/static/index.html%00.js").status == 400
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    chunks = (b"x" * 1000 for _ in range(40))
    named = {"Content-Type": "application/json", "Authorization": f"Bearer {REVIEW_TOKEN}"}
    connection.request("POST", "/api/reviews/abcdef", chunks, named, encode_chunked=True)
    assert connection.getresponse().status in (400, 413)
    connection.close()


def test_a_statement_that_takes_too_long_is_ended(settings: ServerSettings) -> None:
    """A filter that needs minutes costs the database only the limit."""
    slow = replace(settings, read_url=settings.read_url.replace("timeout%3D10s", "timeout%3D1ms"))
    assert slow.read_url != settings.read_url
    with psycopg.connect(slow.read_url) as connection, pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(5)")


def test_more_requests_than_turns_wait_and_are_answered(settings: ServerSettings) -> None:
    with serving(replace(settings, requests=2, connections=1)) as client, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: client.get(PARCELS).status, range(40)))
    assert set(found) == {200}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", 200), ("localhost:8484", 200), ("[::1]:8484", 200), ("rebound.example.org", 421),
        ("127.0.0.1.example.org", 421), ("", 421),
    ],
)  # fmt: skip
def test_only_names_of_this_machine_are_served(api: Client, host: str, expected: int) -> None:
    """A page whose name was made to lead to this machine (DNS rebinding) gets nothing."""
    assert api.get("/api/changes", Host=host).status == expected


@pytest.mark.parametrize(
    "target",
    ["/api/changes", PARCELS, TILE, "/api/reviews", "/openapi.json", "/conformance", "/api/status", "/api/settings"],
)
def test_elsewhere_data_needs_a_token(remote_api: Client, target: str) -> None:
    assert remote_api.get(target).status == 401
    assert remote_api.get(target, Authorization="Bearer wrong").status == 401
    assert remote_api.get(target, Authorization=f"Basic {READ_TOKEN}").status == 401
    for token in (READ_TOKEN, REVIEW_TOKEN):
        assert remote_api.get(target, Authorization=f"Bearer {token}").status == 200


def test_elsewhere_the_page_itself_has_no_data_and_needs_none(remote_api: Client) -> None:
    assert remote_api.get("/static/maplibre-gl.css").status == 200
    assert remote_api.get("/").status == 200
    assert remote_api.get("/static/../api/changes").status in (401, 404)


def test_a_token_to_read_decides_nothing(remote_api: Client) -> None:
    body = b'{"action": "accept", "person": "Ann"}'
    sent = {"Content_Type": "application/json", "Authorization": f"Bearer {READ_TOKEN}"}
    assert remote_api.get(f"/api/reviews/{'0' * 24}", "POST", body, **sent).status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "TRACE"])
@pytest.mark.parametrize("target", ["/api/changes", PARCELS, "/"])
def test_nothing_else_writes(api: Client, method: str, target: str) -> None:
    assert api.get(target, method).status == 405


@pytest.mark.parametrize(
    "target",
    [
        "/static/../application.py", "/static/..%2fapplication.py", "/static/%2e%2e/tokens.py",
        "/static/.", "/static/",
    ],
)  # fmt: skip
def test_only_the_pages_files_are_sent(api: Client, target: str) -> None:
    assert api.get(target).status == 404


def test_rubbish_instead_of_a_request_does_not_stop_the_server(api: Client) -> None:
    for rubbish in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", b"GET " + b"/" * 100_000):
        with socket.create_connection(("127.0.0.1", api.port), timeout=10) as sender:
            sender.sendall(rubbish)
    assert api.get("/api/settings").status == 200


def test_headers_have_a_limit(api: Client) -> None:
    """Also if httptools is installed, whose parser has none."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        connection.sendall(b"GET /api/settings HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with suppress(OSError):
            for number in range(100):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
            connection.sendall(b"\r\n")
        with suppress(ConnectionResetError):
            assert not connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert api.get("/api/settings").status == 200


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: ", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /"])
def test_a_request_without_an_end_is_not_waited_for(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    """Otherwise some hundred such connections stop the server for everybody."""
    monkeypatch.setattr(server_limits, "WAIT_S", 0.3)
    with serving(settings) as client, socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(first)
        while connection.recv(1 << 20):
            pass  # the end, or after ten seconds an error


def test_the_path_that_is_routed_is_the_path_that_is_checked(remote_api: Client) -> None:
    for host in ("a/?", "a/static/x?", "a/parcel/x/y#", "a\\static\\x"):
        assert remote_api.get("/api/changes", Host=host).status == 401


def test_tokens_are_read_from_the_setting_or_a_file(tmp_path) -> None:
    given = f"read:{READ_TOKEN},review:{REVIEW_TOKEN}"
    file = tmp_path / "tokens"
    file.write_text("# ours\n" + given.replace(",", "\n") + "\n")
    found = tokens.read(given)
    assert found == tokens.read(str(file))
    assert found.scopes(f"Bearer {READ_TOKEN}") == {"read"}
    assert found.scopes(f"bearer {REVIEW_TOKEN}") == {"read", "review"}
    assert found.scopes("Bearer ") == found.scopes("") == found.scopes("Bearer é") == frozenset()
    assert READ_TOKEN not in repr(found)


@pytest.mark.parametrize(
    "setting", ["write:0123456789abcdef0", "read:short", "read:0123456789 abcdef", "/nothing/here", "read:"]
)
def test_a_wrong_setting_is_refused_without_its_text(setting: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        tokens.read(setting)
    assert "0123456789" not in str(refused.value)
