"""What the polite client makes of answers that are none: redirects, pages for people, certificates, other statuses."""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from tests.support.http_client import OK, QUICK, ask, client
from tests.support.http_desk import Clock, Desk, served
from zoning_assets.errors import FeedRefused, PortalUnreachable, PortalUntrusted
from zoning_assets.http import Tally
from zoning_assets.http.rate_limit import interval_s
from zoning_assets.model import Portal
from zoning_assets.sources.download.resumable_file import ResumableFile


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Moved:
    """A portal that sends whoever asks from one place to the next, and answers at the last."""

    def __init__(self, *places: str, status: int = 302) -> None:
        self.places, self.status, self.asked = list(places), status, []

    async def __call__(self, request: web.Request) -> web.Response:
        form = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.asked.append((request.method, request.path, form))
        if self.places:
            return web.Response(status=self.status, headers={"Location": self.places.pop(0)})
        return web.Response(body=OK[1])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_request_of_its_own(clock, status):
    """A service that moved is asked at its new place, in its turn: each step costs a request of the budget."""
    desk, tally = Moved("/new", "/newer?f=json", status=status), Tally()
    async with served(desk) as url, client(clock, tally) as asking:
        answer = await asking.query(Portal(60, 1), url, {"f": "json"}, read=orjson.loads)
    assert answer.value == {"count": 7}
    assert [path for _, path, _ in desk.asked] == ["/layer", "/new", "/newer"]
    assert [form for *_, form in desk.asked] == [{"f": "json"}] * 3
    assert clock.slept == pytest.approx([interval_s(60)] * 2, abs=0.021)
    assert tally.requests == 3


async def test_a_form_is_sent_again_where_the_service_moved(clock):
    """A query that goes by POST stays one."""
    desk = Moved("/new")
    await ask(desk, clock, params={"geometry": "x" * 3000})
    assert [(method, len(form["geometry"])) for method, _, form in desk.asked] == [("POST", 3000)] * 2


async def test_a_redirect_to_a_log_in_is_refused_by_name(clock):
    """A portal that sends us to a log-in says no; the log-in is not asked."""
    desk = Moved("/portal/sharing/rest/signin?redirect=/layer")
    with pytest.raises(
        FeedRefused, match=r"redirects to a log-in \(http://127\.0\.0\.1:\d+/portal/sharing/rest/signin\)"
    ):
        await ask(desk, clock)
    assert len(desk.asked) == 1


async def test_a_layer_is_not_looked_for_on_another_site(clock):
    """A redirect that leaves the site is named, and not followed."""
    desk = Moved("https://elsewhere.example.com/layer?token=s3cret")
    with pytest.raises(FeedRefused, match=r"another site \(https://elsewhere\.example\.com/layer\)"):
        await ask(desk, clock)
    assert len(desk.asked) == 1


async def test_a_file_is_followed_to_another_host(clock, tmp_path):
    """A download may lie elsewhere; that host has a budget of its own."""
    body = b"x" * 100_000
    async with served(Desk((200, body, {}))) as elsewhere:
        desk = Moved(elsewhere.replace("127.0.0.1", "localhost"))
        async with served(desk) as url, client(clock) as asking:
            with pytest.raises(FeedRefused, match="another site"):  # loopback is our own network
                await asking.fetch(QUICK, url, ResumableFile(tmp_path / "none", {}, "here"))
        async with served(Moved("/there")) as url, client(clock) as asking:
            answer = await asking.fetch(QUICK, url, ResumableFile(tmp_path / "file", {}, "here"))
    assert (answer.status, (tmp_path / "file").read_bytes()) == (200, OK[1])


async def test_a_firewalls_page_is_named(clock):
    """A 403 with a page says what the page says; the program is not to guess why it is not let in."""
    page = b"<html><head><title>Access Denied</title></head>Reference #18</html>"
    with pytest.raises(FeedRefused, match='HTTP 403, a web page instead of data: "Access Denied"'):
        await ask(Desk((403, page, {})), clock)


async def test_a_log_in_page_is_not_asked_again(clock):
    """An HTTP 200 with a form for a password is a no."""
    desk = Desk((200, b"<html><title>Sign In</title><input type='password'>", {}))
    with pytest.raises(FeedRefused, match='it requires a log-in; a web page instead of data: "Sign In"'):
        await ask(desk, clock)
    assert len(desk.asked) == 1


async def test_noise_is_named_as_what_it_is_not(clock):
    """What is neither data nor a page is said as the reader says it."""
    with pytest.raises(PortalUnreachable, match=r"its answer is not JSON \(line 1, column 12\) \(6 tries\)"):
        await ask(Desk((200, b'{"count": 7', {})), clock)


@pytest.mark.parametrize(
    ("method", "length", "sent"), [("get", 3000, "GET"), ("post", 10, "POST"), ("auto", 10, "GET")]
)
async def test_a_method_may_be_asked_for(clock, method, length, sent):
    """Portals that refuse GET or POST are asked by the other, however long the query is."""
    desk = Desk(OK)
    await ask(desk, clock, method=method, params={"where": "x" * length})
    assert desk.asked == [(sent, {"where": "x" * length})]


async def test_a_status_that_the_caller_understands_is_an_answer(clock, tmp_path):
    """An export that is still being made (202) is handed over as it is, with its headers."""
    desk = Desk((202, b'{"token": "t"}', {"X-Token": "t"}))
    answer = await ask(desk, clock, also={202})
    assert (answer.status, answer.body, answer.value, answer.headers["X-Token"]) == (202, b'{"token": "t"}', None, "t")
    async with served(desk) as url, client(clock) as asking:
        answer = await asking.fetch(QUICK, url, ResumableFile(tmp_path / "file", {}, "here"))
    assert (answer.status, answer.body, (tmp_path / "file").read_bytes()) == (202, b'{"token": "t"}', b"")
    with pytest.raises(FeedRefused, match="HTTP 202"):
        await ask(desk, clock)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A root, an intermediate signed by it, and a certificate for `localhost` signed by that."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    (folder / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\n")
    (folder / "leaf.ext").write_text("subjectAltName=DNS:localhost\n")
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout")
    run("req", "-x509", *key, "root.key", "-out", "root.pem", "-subj", "/CN=Root", "-days", "2")
    for name, signer, ext in (("middle", "root", "ca.ext"), ("leaf", "middle", "leaf.ext")):
        run("req", *key, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed_by = ("-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days", "2")
        run("x509", "-req", "-in", f"{name}.csr", *signed_by, "-extfile", ext, "-out", f"{name}.pem")
    leaf, middle = (folder / "leaf.pem").read_text(), (folder / "middle.pem").read_text()
    (folder / "chain.pem").write_text(leaf + middle)
    (folder / "bundle.pem").write_text((folder / "root.pem").read_text() + middle)
    return {path.name: path for path in folder.iterdir()}


def serving(chain: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


@pytest.mark.parametrize(
    ("chain", "key", "why"),
    [
        ("leaf.pem", "leaf.key", "intermediate certificate"),
        ("chain.pem", "leaf.key", "intermediate certificate"),
        ("root.pem", "root.key", "self-signed"),
    ],
)
async def test_what_cannot_be_verified_is_not_asked(clock, certified, chain, key, why):
    """A missing intermediate certificate or a self-signed one is one line that says so, at once; nothing is sent."""
    desk = Desk(OK)
    async with served(desk, serving(certified[chain], certified[key])) as url, client(clock) as asking:
        with pytest.raises(PortalUntrusted, match=rf"https://localhost:\d+/layer: .*{why}.*SSL_CERT_FILE"):
            await asking.query(QUICK, url.replace("127.0.0.1", "localhost"), {"token": "s3cret"}, read=orjson.loads)
    assert (desk.asked, clock.slept) == ([], [])


_ASK = """
import asyncio, sys
from zoning_assets.http import Http
from zoning_assets.model import Portal

async def main():
    async with Http() as http:
        return (await http.for_work().query(Portal(), sys.argv[1], {}, read=bytes.decode)).value

sys.stdout.write(asyncio.run(main()))
"""


async def test_a_missing_certificate_is_mended_as_the_message_says(certified):
    """With the missing certificate in the bundle that SSL_CERT_FILE names, the portal is verified and asked."""
    desk = Desk(OK)
    async with served(desk, serving(certified["leaf.pem"], certified["leaf.key"])) as url:
        words = [sys.executable, "-c", _ASK, url.replace("127.0.0.1", "localhost")]
        environ = {**os.environ, "SSL_CERT_FILE": str(certified["bundle.pem"])}
        process = await asyncio.create_subprocess_exec(*words, env=environ, stdout=asyncio.subprocess.PIPE)
        assert (await process.communicate())[0] == OK[1]
