"""Files by FTP: passive mode, with limits, resumed where a transfer broke. The standard library's ftplib, in a thread.

A version of a file is identified by its modification time and its size (MDTM and SIZE, RFC 3659), if the server states
both.
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
from zoning_assets.sources.download.resumable_file import ResumableFile
from zoning_assets.sources.source import Request

_Result = TypeVar("_Result")

_TRIES = 4
_FIRST_WAIT_S = 2.0
_BUSY = ("421", "450")  # reply codes: too many users; the file is in use
_TIMEOUT_S = 60.0
_LONGEST_S = 4 * 3600.0
#: The most lines that a server may send in one session.
_MOST_LINES = 1000


@dataclass(frozen=True)
class Version:
    """What the server states about a file; None: it does not."""

    changed: str | None  # MDTM: YYYYMMDDHHMMSS, UTC
    size: int | None

    @property
    def name(self) -> str | None:
        """What identifies exactly this version; None: unknown."""
        return f"{self.changed} {self.size}" if self.changed and self.size is not None else None


async def read_version(request: Request) -> Version:
    """Return what the server states about the feed's file.

    Raises:
        PortalError: see errors.py.
    """
    return await _with_retries(request, _version)


async def fetch(request: Request, part: ResumableFile, known: str | None) -> Version | None:
    """Download the feed's file into `part`; None: it is still the version `known`.

    Raises:
        FileRefused: it is larger than allowed, or changed during the download.
        PortalError: see errors.py.
    """

    def transfer(server: "_FtpSession", path: str) -> Version | None:
        version = _version(server, path)
        if version.name and version.name == known:
            return None
        _transfer(server, path, version, part, request.http.tally)
        if (after := _version(server, path)) != version:
            part.forget()
            raise FileRefused(f"the file changed during the transfer: {after}", where=request.where, do="run again")
        return version

    return await _with_retries(request, transfer)


class _FtpSession(ftplib.FTP):
    """One session. It ends when it takes too long, or when its result is no longer needed."""

    def __init__(self, stopped: Callable[[], Stopping | None]) -> None:
        super().__init__(timeout=_TIMEOUT_S)
        self.given_up, self._stopped = threading.Event(), stopped
        self._lines, self._until = 0, time.monotonic() + _LONGEST_S

    def getline(self) -> str:
        """Read a line of a reply."""
        self._lines += 1
        if self._lines > _MOST_LINES:
            raise ftplib.error_proto("its reply does not end")  # noqa: S321 - the feed's address is FTP
        return super().getline()

    def check(self) -> None:
        """Raise an error if the transfer must end; what arrived so far is kept."""
        if stopping := self._stopped():
            raise stopping
        if self.given_up.is_set() or time.monotonic() > self._until:
            raise TimeoutError("the transfer takes too long")


def _version(server: _FtpSession, path: str) -> Version:
    return Version(_ask(server, f"MDTM {path}"), _size(_ask(server, f"SIZE {path}")))


def _ask(server: _FtpSession, command: str) -> str | None:
    """The text of a reply; None: the server does not support the command, or not for this file."""
    try:
        code, _, text = server.sendcmd(command).partition(" ")
    except ftplib.error_perm:
        return None
    return text.strip() if code == "213" else None


def _size(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _transfer(server: _FtpSession, path: str, version: Version, part: ResumableFile, tally: Tally) -> None:
    start = part.resumes_at() if version.name and part.stated.get("validator") == version.name else None
    if start is None:
        part.note({"validator": version.name, "size": version.size})
    again = part.size - (start or 0)
    with part.written(lambda: again) as write:

        def receive(piece: bytes) -> None:
            server.check()
            tally.bytes += len(piece)
            write(piece)

        server.retrbinary(f"RETR {path}", receive, blocksize=1 << 18, rest=start or None)


async def _with_retries(request: Request, what: Callable[[_FtpSession, str], _Result]) -> _Result:
    """Log in, run `what`, and log out; retried if the server is busy or the connection breaks."""
    url, why, busy = request.feed.url, "", False
    for attempt in range(_TRIES):
        async with request.http.permit(request.jurisdiction.portal, url):
            server = _FtpSession(partial(request.http.stopped, request.where))
            try:
                return await asyncio.to_thread(_conversation, server, url, what)
            except ftplib.error_perm as refusal:
                do = "check the path, the user and the password"
                raise FeedRefused(_brief(refusal, url), where=without_secrets(url), do=do) from refusal
            except (OSError, EOFError, ValueError, ftplib.Error) as error:
                why, busy = _brief(error, url), str(error)[:3] in _BUSY
            finally:
                server.given_up.set()
        if attempt < _TRIES - 1:
            await request.http.sleep((0.5 + request.http.jitter() / 2) * _FIRST_WAIT_S * 4**attempt)
    kind = PortalBusy if busy else PortalUnreachable
    raise kind(f"{why} ({_TRIES} tries)", where=without_secrets(url), do="check the address, or try again later")


def _conversation(server: _FtpSession, url: str, what: Callable[[_FtpSession, str], _Result]) -> _Result:
    parts = urlsplit(url)
    with server:
        server.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        server.login(unquote(parts.username or "anonymous"), unquote(parts.password or "anonymous@"))
        server.voidcmd("TYPE I")
        return what(server, unquote(parts.path.lstrip("/")))


def _brief(error: Exception, url: str) -> str:
    """A server's reply as one printable line, without the password."""
    text = "".join(each if each.isprintable() else " " for each in str(error))
    secret = unquote(urlsplit(url).password or "")
    reply = text.replace(secret, "***") if secret else text
    return network(error) or (f"it answers: {reply}" if reply.strip() else "it closed the connection")[:200]
