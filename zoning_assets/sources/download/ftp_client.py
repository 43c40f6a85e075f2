"""Files by FTP: passive, bounded, gone on with where a transfer broke. The standard library asks, in a thread.

What names a version of the file is its time of change and its size (MDTM, SIZE), where the server tells both.
"""

import asyncio
import ftplib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from zoning_assets.errors import FeedRefused, FileRefused, PortalBusy, PortalUnreachable, Stopping
from zoning_assets.http import Tally
from zoning_assets.os_errors import network
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.download.resumable_file import Part
from zoning_assets.sources.source import Request

_Result = TypeVar("_Result")

_TRIES = 4
_FIRST_WAIT_S = 2.0
_BUSY = ("421", "450")  # too many users; the file is in use
_TIMEOUT_S = 60.0
_LONGEST_S = 4 * 3600.0
#: A server may greet at length, not for ever.
_MOST_LINES = 1000


@dataclass(frozen=True)
class Version:
    """What the server says of a file; None where it does not."""

    changed: str | None  # MDTM: YYYYMMDDHHMMSS, UTC
    size: int | None

    @property
    def name(self) -> str | None:
        """What names exactly this version."""
        return f"{self.changed} {self.size}" if self.changed and self.size is not None else None


async def look(request: Request) -> Version:
    """What the server says of the feed's file.

    Raises:
        PortalError: see errors.py.
    """
    return await _patiently(request, _version)


async def fetch(request: Request, part: Part, known: str | None) -> Version | None:
    """The feed's file into the part; None: it is still the version `known`.

    Raises:
        FileRefused: it is larger than allowed, or changed while it came.
        PortalError: see errors.py.
    """

    def transfer(server: "_Server", path: str) -> Version | None:
        version = _version(server, path)
        if version.name and version.name == known:
            return None
        _transfer(server, path, version, part, request.http.tally)
        if (after := _version(server, path)) != version:
            part.forget()
            raise FileRefused(f"the file changed while it came: {after}", where=request.where, do="run again")
        return version

    return await _patiently(request, transfer)


class _Server(ftplib.FTP):
    """One conversation; ends when it takes too long or when nobody waits for it any more."""

    def __init__(self, stopped: Callable[[], Stopping | None]) -> None:
        super().__init__(timeout=_TIMEOUT_S)
        self.given_up, self._stopped = threading.Event(), stopped
        self._lines, self._until = 0, time.monotonic() + _LONGEST_S

    def getline(self) -> str:
        """A line of an answer."""
        self._lines += 1
        if self._lines > _MOST_LINES:
            raise ftplib.error_proto("it talks without end")  # noqa: S321 - FTP is what was asked for
        return super().getline()

    def check(self) -> None:
        """Whether to go on; what came so far is kept."""
        if stopping := self._stopped():
            raise stopping
        if self.given_up.is_set() or time.monotonic() > self._until:
            raise TimeoutError("the transfer takes too long")


def _version(server: _Server, path: str) -> Version:
    return Version(_ask(server, f"MDTM {path}"), _size(_ask(server, f"SIZE {path}")))


def _ask(server: _Server, command: str) -> str | None:
    """The answer's text; None where the server does not know the command, or not for this file."""
    try:
        code, _, text = server.sendcmd(command).partition(" ")
    except ftplib.error_perm:
        return None
    return text.strip() if code == "213" else None


def _size(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _transfer(server: _Server, path: str, version: Version, part: Part, tally: Tally) -> None:
    start = part.resumes_at() if version.name and part.said.get("validator") == version.name else None
    if start is None:
        part.note({"validator": version.name, "size": version.size})
    again = part.size - (start or 0)
    with part.written(lambda: again) as write:

        def receive(piece: bytes) -> None:
            server.check()
            tally.bytes += len(piece)
            write(piece)

        server.retrbinary(f"RETR {path}", receive, blocksize=1 << 18, rest=start or None)


async def _patiently(request: Request, what: Callable[[_Server, str], _Result]) -> _Result:
    """Log in, do it, say goodbye; again where the server is busy or the line broke."""
    url, why, busy = request.feed.url, "", False
    for attempt in range(_TRIES):
        async with request.http.permit(request.jurisdiction.portal, url):
            server = _Server(partial(request.http.stopped, request.where))
            try:
                return await asyncio.to_thread(_conversation, server, url, what)
            except ftplib.error_perm as no:
                do = "check the path, the user and the password"
                raise FeedRefused(_brief(no, url), where=without_secrets(url), do=do) from no
            except (OSError, EOFError, ValueError, ftplib.Error) as error:
                why, busy = _brief(error, url), str(error)[:3] in _BUSY
            finally:
                server.given_up.set()
        if attempt < _TRIES - 1:
            await request.http.sleep((0.5 + request.http.jitter() / 2) * _FIRST_WAIT_S * 4**attempt)
    kind = PortalBusy if busy else PortalUnreachable
    raise kind(f"{why} ({_TRIES} tries)", where=without_secrets(url), do="check the address, or try again later")


def _conversation(server: _Server, url: str, what: Callable[[_Server, str], _Result]) -> _Result:
    parts = urlsplit(url)
    with server:
        server.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        server.login(unquote(parts.username or "anonymous"), unquote(parts.password or "anonymous@"))
        server.voidcmd("TYPE I")
        return what(server, unquote(parts.path.lstrip("/")))


def _brief(error: Exception, url: str) -> str:
    """A server's words, in one printable line, without our password."""
    text = "".join(each if each.isprintable() else " " for each in str(error))
    secret = unquote(urlsplit(url).password or "")
    said = text.replace(secret, "***") if secret else text
    return network(error) or (f"it answers: {said}" if said.strip() else "it broke the connection off")[:200]
