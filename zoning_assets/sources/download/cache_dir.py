"""A feed's folder of large files, which several processes may use at once.

    FEED/lock                   a shared lock of each reader; an exclusive one while the folder is cleaned
    FEED/NAME.json, NAME.part   the note of a download, and an incomplete download; NAME: the hash of its address
    FEED/CONTENT/               files derived from one version of the layer; CONTENT: the hash of the download
    FEED/CONTENT/file           the download
    FEED/CONTENT/unpacked/      the files of a zip
    FEED/CONTENT/LAYER.rows     its rows, if its format is slow to read

A file with its final name never changes. Old versions are deleted when no process reads; the newest is kept. A lock
ends with its process.
"""

import fcntl
import os
import re
import shutil
import time
import weakref
from pathlib import Path

#: An incomplete download older than this is not resumed; seconds.
_OLDEST_PART_S = 24 * 3600.0
_CONTENT = re.compile(r"[0-9a-f]{32}")
_DOWNLOAD = re.compile(r"[0-9a-f]{16}\.(json|body|part.*)")
#: Incomplete files. If no process holds the lock, the process that made them has ended.
_DRAFTS = ("*.rows.*.part", "unpacked/.unpacking-*")


class FolderLock:
    """A shared lock of a feed's folder: while it is held, no other process deletes files there."""

    def __init__(self, folder: Path, download: str = "") -> None:
        """Clean the folder if no other process uses it, then lock it.

        Args:
            folder: the folder of a feed.
            download: the name of the download that is still needed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        self._end = weakref.finalize(self, os.close, lock)
        if _alone(lock):
            _tidy(folder, download)
        fcntl.flock(lock, fcntl.LOCK_SH)

    def end(self) -> None:
        """Release the lock."""
        self._end()


def _alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tidy(folder: Path, download: str) -> None:
    """Delete old versions, and downloads that are too old to be resumed."""
    contents = [path for path in folder.iterdir() if path.is_dir() and _CONTENT.fullmatch(path.name)]
    kept = _keep_newest(contents)
    for content in kept:
        for pattern in _DRAFTS:
            for draft in content.glob(pattern):
                shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
    now = time.time()
    for path in folder.iterdir():
        old = _DOWNLOAD.fullmatch(path.name) and now - path.stat().st_mtime > _OLDEST_PART_S
        if old and path.name != f"{download}.json":
            path.unlink(missing_ok=True)


def _keep_newest(paths: list[Path]) -> list[Path]:
    """Delete all but the folder that was used last; return it."""
    ranked = sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in ranked[1:]:
        shutil.rmtree(path, ignore_errors=True)
    return ranked[:1]


def mark_used(path: Path) -> None:
    """Make this version the newest."""
    os.utime(path)
