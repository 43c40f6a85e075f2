"""A file that is being downloaded, and the checks that its parts belong to the same version.

A download that breaks, or whose process is killed, is resumed if the portal states a strong ETag or Last-Modified: the
missing bytes are requested with Range and If-Range (RFC 9110), together with some bytes that are already there and must
be equal. If they differ, the file is fetched again. What belongs here: bytes. What does not: their meaning.
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
#: How many bytes that are already there are requested again and compared.
AGAIN_BYTES = 64 << 10
#: A younger Last-Modified may stand for two versions of the file. RFC 9110, 8.8.2.2, demands at least a second, and
#: enough difference for clocks that are not synchronised.
_SETTLED = timedelta(seconds=60)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _OtherFileError(ValueError):
    """The response is not the rest of the file; it is fetched again."""


class ResumableFile:
    """A file that is being downloaded. See http.DownloadTarget.

    Two processes may fetch the same file at once. The second finds the lock of the first and downloads its own copy,
    which is never resumed.
    """

    def __init__(self, path: Path, headers: Mapping[str, str], where: str, most_bytes: int = MOST_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.headers, self.where, self.most_bytes = dict(headers), where, most_bytes
        self.path, self._lock = _locked(path)
        self._note = self.path.with_name(f"{self.path.name}.json")

    def close(self) -> None:
        """Release the lock. The file stays for a later try, unless it is a copy of this process alone."""
        if self.path.name.endswith(".own"):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        os.close(self._lock)

    @property
    def size(self) -> int:
        """The number of bytes that arrived so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def stated(self) -> dict[str, Any]:
        """What the portal stated when the download began: `validator`, `size`, `encoded`, `sums`."""
        try:
            return dict(orjson.loads(self._note.read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}

    def note(self, stated: Mapping[str, Any]) -> None:
        """Delete what arrived, and store what the portal states about the new download."""
        os.truncate(self._lock, 0)
        self._note.write_bytes(orjson.dumps(dict(stated)))

    def forget(self) -> None:
        """Delete what arrived; the next try begins at the first byte."""
        self._note.unlink(missing_ok=True)
        os.truncate(self._lock, 0)

    def resumes_at(self) -> int | None:
        """The first byte to request; None: the whole file is requested."""
        return max(self.size - AGAIN_BYTES, 0) if self.size and self.stated.get("validator") else None

    def request_headers(self) -> Mapping[str, str]:
        """See http.DownloadTarget."""
        stated, start = self.stated, self.resumes_at()
        if start is not None:
            return {**self.headers, **_PLAIN, "Range": f"bytes={start}-", "If-Range": stated["validator"]}
        # A compressed response that broke cannot be resumed; an uncompressed one can.
        return {**self.headers, **_PLAIN} if stated.get("encoded") else self.headers

    @contextmanager
    def open_writer(self, answer: Response) -> Iterator[Callable[[bytes], None]]:
        """See http.DownloadTarget."""
        with self.written(lambda: self._begun(answer)) as write:
            yield write

    @contextmanager
    def written(self, begun: Callable[[], int]) -> Iterator[Callable[[bytes], None]]:
        """Open a writer at the end of the file. The first `begun()` bytes are already there, and must be equal."""
        try:
            again = begun()
            with self.path.open("r+b") as file:
                file.seek(-again, os.SEEK_END)
                yield _Writer(file, again, self._bounded).write
        except _OtherFileError:
            self.forget()
            raise

    def _begun(self, answer: Response) -> int:
        """How many bytes of the response are already there."""
        if answer.status == 200:
            self.note(_stated(answer.headers))
            return 0
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        start, etag = self.resumes_at(), answer.headers.get("ETag")
        if not found or start is None or int(found[1]) != start:
            raise _OtherFileError(f"the portal does not resume at the requested byte (HTTP {answer.status})")
        validator, size = self.stated["validator"], self.stated.get("size")
        changed = etag is not None and validator.startswith('"') and etag != validator
        if changed or (size is not None and found[2] not in ("*", str(size))):
            raise _OtherFileError("the portal resumes another version of the file")
        return self.size - start

    def _bounded(self, size: int) -> None:
        if size > self.most_bytes:
            self.forget()
            what = f"the file is larger than {self.most_bytes >> 20:,} MiB"
            raise FileRefused(what, where=self.where, do="check the address")

    def check(self) -> str:
        """Check the length and the checksums that the portal stated; return the SHA-256 of the file.

        Raises:
            FileRefused: they differ; the file is deleted.
        """
        sums = {"sha256": hashlib.sha256(), **{name: hashlib.new(name) for name in self.stated.get("sums", {})}}
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                for each in sums.values():
                    each.update(piece)
        wrong = [name for name, expected in self.stated.get("sums", {}).items() if sums[name].hexdigest() != expected]
        size = self.stated.get("size")
        if wrong or size not in (None, self.size):
            why = f"its {wrong[0]} is not what the portal states" if wrong else f"{self.size:,} bytes of {size:,}"
            self.forget()
            raise FileRefused(f"the file is incomplete or damaged: {why}", where=self.where, do="run again")
        return sums["sha256"].hexdigest()

    def move_to(self, target: Path) -> None:
        """Move the complete file to its final name."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._note.unlink(missing_ok=True)
        self.path.replace(target)


@dataclass
class _Writer:
    """Writes new bytes, and compares repeated bytes with those in the file."""

    file: BinaryIO
    again: int
    bounded: Callable[[int], None]

    def write(self, piece: bytes) -> None:
        if self.again:
            had = self.file.read(min(self.again, len(piece)))
            if had != piece[: len(had)]:
                raise _OtherFileError("the portal resumes with other bytes than it sent before")
            self.again -= len(had)
            piece = piece[len(had) :]
            self.file.seek(0, os.SEEK_CUR)  # a file that was read must be positioned before it is written
        self.bounded(self.file.tell() + len(piece))
        self.file.write(piece)


_PLAIN = {"Accept-Encoding": "identity"}


def _locked(path: Path) -> tuple[Path, int]:
    """Open and lock the file; if another process holds its lock, a copy with another name."""
    for each in (path, path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.own")):
        handle = os.open(each, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            continue
        if each.exists() and os.path.samestat(each.stat(), os.fstat(handle)):  # else it was moved before the lock
            return each, handle
        os.close(handle)
    return _locked(path)


def _stated(headers: Mapping[str, str]) -> dict[str, Any]:
    encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
    length = headers.get("Content-Length", "")
    return {
        "validator": None if encoded else _validator(headers),
        "size": int(length) if length.isdecimal() and not encoded else None,
        "encoded": encoded,
        "sums": {} if encoded else dict(_sums(headers)),
    }


def _validator(headers: Mapping[str, str]) -> str | None:
    """What identifies exactly this version of the file: a strong ETag, or a modification time that is old enough."""
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
    """The checksums of the whole file that the portal states, in hexadecimal."""
    stated = [f"md5={headers[name]}" for name in ("Content-MD5", "x-ms-blob-content-md5") if name in headers]
    stated += [headers.get(name, "") for name in ("x-goog-hash", "Digest", "Repr-Digest")]
    for name, text in re.findall(r"(?i)\b(md5|sha-256)=:?([a-z0-9+/]+={0,2})", ",".join(stated)):
        size = {"md5": 16, "sha-256": 32}[name.lower()]
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        if len(raw) == size:
            yield name.lower().replace("-", ""), raw.hex()
