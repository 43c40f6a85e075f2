"""A file on its way to this machine: what came of it so far, and what proves that the rest is of the same file.

A download that breaks, or whose process is killed, goes on where it was if the portal gave a strong ETag or a
Last-Modified: the missing bytes are asked for with Range and If-Range, a few of those we have with them, and those must
be the same. What is no longer the same is fetched anew. What belongs here: bytes. What does not: what they mean.
"""

import base64
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from zoning_assets.errors import FileRefused
from zoning_assets.http import Response

MOST_BYTES = 8 << 30
#: So many bytes of what we have are asked for again and compared.
AGAIN_BYTES = 64 << 10
#: A Last-Modified younger than this at the time of the answer may stand for two versions of the file (RFC 9110).
_SETTLED = timedelta(seconds=60)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _OtherFileError(ValueError):
    """The answer is not the rest of what came; the portal is asked anew."""


class Part:
    """A file on its way. See http.DownloadTarget.

    Two processes may fetch the same file at once: the second, seeing the first one's lock, works on a copy of its own,
    which nobody goes on with.
    """

    def __init__(self, path: Path, headers: Mapping[str, str], where: str, most_bytes: int = MOST_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.headers, self.where, self.most_bytes = dict(headers), where, most_bytes
        self.path, self._lock = _locked(path)
        self._note = self.path.with_name(f"{self.path.name}.json")

    def close(self) -> None:
        """Let others have it; what came stays, unless it is a copy of our own."""
        if self.path.name.endswith(".own"):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        os.close(self._lock)

    @property
    def size(self) -> int:
        """The bytes that came so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def said(self) -> dict[str, Any]:
        """What the portal said of the file when it began to come: `validator`, `size`, `encoded`, `sums`."""
        try:
            return dict(orjson.loads(self._note.read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}

    def note(self, said: Mapping[str, Any]) -> None:
        """Forget what came; the file begins anew, and this is said of it."""
        os.truncate(self._lock, 0)
        self._note.write_bytes(orjson.dumps(dict(said)))

    def forget(self) -> None:
        """Begin anew next time."""
        self._note.unlink(missing_ok=True)
        os.truncate(self._lock, 0)

    def resumes_at(self) -> int | None:
        """The byte from which to ask; None: from the beginning."""
        return max(self.size - AGAIN_BYTES, 0) if self.size and self.said.get("validator") else None

    def request_headers(self) -> Mapping[str, str]:
        """See http.DownloadTarget."""
        said, start = self.said, self.resumes_at()
        if start is not None:
            return {**self.headers, **_PLAIN, "Range": f"bytes={start}-", "If-Range": said["validator"]}
        # A packed answer that broke cannot go on; a plain one could.
        return {**self.headers, **_PLAIN} if said.get("encoded") else self.headers

    @contextmanager
    def open_writer(self, answer: Response) -> Iterator[Callable[[bytes], None]]:
        """See http.DownloadTarget."""
        with self.written(lambda: self._begun(answer)) as write:
            yield write

    @contextmanager
    def written(self, begun: Callable[[], int]) -> Iterator[Callable[[bytes], None]]:
        """Takes bytes for the end of the file, of which the first `begun()` are there already and must be the same."""
        try:
            again = begun()
            with self.path.open("r+b") as file:
                file.seek(-again, os.SEEK_END)
                yield _Writer(file, again, self._bounded).write
        except _OtherFileError:
            self.forget()
            raise

    def _begun(self, answer: Response) -> int:
        """How many of the bytes that come we have."""
        if answer.status == 200:
            self.note(_said(answer.headers))
            return 0
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        start, etag = self.resumes_at(), answer.headers.get("ETag")
        if not found or start is None or int(found[1]) != start:
            raise _OtherFileError(f"the portal does not go on where it is asked to (HTTP {answer.status})")
        validator, size = self.said["validator"], self.said.get("size")
        changed = etag is not None and validator.startswith('"') and etag != validator
        if changed or (size is not None and found[2] not in ("*", str(size))):
            raise _OtherFileError("the portal goes on with another file")
        return self.size - start

    def _bounded(self, size: int) -> None:
        if size > self.most_bytes:
            self.forget()
            what = f"the file is larger than {self.most_bytes >> 20:,} MiB"
            raise FileRefused(what, where=self.where, do="check the address")

    def check(self) -> str:
        """The hash (SHA-256) of the whole file, once its length and the sums the portal gave are right.

        Raises:
            FileRefused: they are not; what came is forgotten.
        """
        sums = {"sha256": hashlib.sha256(), **{name: hashlib.new(name) for name in self.said.get("sums", {})}}
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                for each in sums.values():
                    each.update(piece)
        wrong = [name for name, should in self.said.get("sums", {}).items() if sums[name].hexdigest() != should]
        size = self.said.get("size")
        if wrong or size not in (None, self.size):
            is_ = (
                f"{self.size:,} bytes came of {size:,}" if not wrong else f"its {wrong[0]} is not what the portal says"
            )
            self.forget()
            raise FileRefused(f"the file did not come whole: {is_}", where=self.where, do="run again")
        return sums["sha256"].hexdigest()

    def move_to(self, target: Path) -> None:
        """The whole file gets its name."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._note.unlink(missing_ok=True)
        self.path.replace(target)


@dataclass
class _Writer:
    """Writes what is new; what is not must be as it was."""

    file: BinaryIO
    again: int
    bounded: Callable[[int], None]

    def write(self, piece: bytes) -> None:
        if self.again:
            had = self.file.read(min(self.again, len(piece)))
            if had != piece[: len(had)]:
                raise _OtherFileError("the portal goes on with other bytes than it sent")
            self.again -= len(had)
            piece = piece[len(had) :]
            self.file.seek(0, os.SEEK_CUR)  # a file that was read is placed before it is written
        self.bounded(self.file.tell() + len(piece))
        self.file.write(piece)


_PLAIN = {"Accept-Encoding": "identity"}


def _locked(path: Path) -> tuple[Path, int]:
    """The file, empty if it is new, and our lock on it."""
    for each in (path, path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.own")):
        handle = os.open(each, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            continue
        if each.exists() and os.path.samestat(each.stat(), os.fstat(handle)):  # else it was moved meanwhile
            return each, handle
        os.close(handle)
    return _locked(path)


def _said(headers: Mapping[str, str]) -> dict[str, Any]:
    encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
    length = headers.get("Content-Length", "")
    return {
        "validator": None if encoded else _validator(headers),
        "size": int(length) if length.isdecimal() and not encoded else None,
        "encoded": encoded,
        "sums": {} if encoded else dict(_sums(headers)),
    }


def _validator(headers: Mapping[str, str]) -> str | None:
    """What names exactly this version of the file: a strong ETag, or a time of change long enough ago."""
    etag = headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e]+"', etag):
        return etag
    try:
        changed = headers.get("Last-Modified", "")
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(changed)
    except (ValueError, TypeError):
        return None
    return changed if age >= _SETTLED else None


def _sums(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The sums a portal gives for the whole file, in hexadecimal."""
    said = [f"md5={headers[name]}" for name in ("Content-MD5", "x-ms-blob-content-md5") if name in headers]
    said += [headers.get(name, "") for name in ("x-goog-hash", "Digest", "Repr-Digest")]
    for name, text in re.findall(r"(?i)\b(md5|sha-256)=:?([a-z0-9+/]+={0,2})", ",".join(said)):
        size = {"md5": 16, "sha-256": 32}[name.lower()]
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        if len(raw) == size:
            yield name.lower().replace("-", ""), raw.hex()
