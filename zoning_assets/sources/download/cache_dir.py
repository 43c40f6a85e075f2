"""A feed's folder of large files, which several processes may work in at once.

    FEED/lock                   held (shared) by whoever reads; alone (exclusive) by whoever tidies
    FEED/NAME.json, NAME.part   what is known of a download, by the hash of its address; and what came of a broken one
    FEED/CONTENT/               what was made of one version of the layer, by the hash of its content:
    FEED/CONTENT/file           as it was downloaded
    FEED/CONTENT/unpacked/      what a zip held
    FEED/CONTENT/LAYER.rows     its rows, where its format is slow to read

Nothing that has its final name changes. Old versions go when nobody is reading: the newest stays. A lock ends with the
process that holds it, however that ends.
"""

import fcntl
import os
import re
import shutil
import time
import weakref
from pathlib import Path

#: A download that broke so long ago is not gone on with.
_OLDEST_PART_S = 24 * 3600.0
_CONTENT = re.compile(r"[0-9a-f]{32}")
_DOWNLOAD = re.compile(r"[0-9a-f]{16}\.(json|body|part.*)")
#: Names of what is not whole yet; who made it is gone, where nobody holds the lock.
_DRAFTS = ("*.rows.*.part", "unpacked/.unpacking-*")


class Hold:
    """While this lives, nothing in the folder is removed by others."""

    def __init__(self, folder: Path, download: str = "") -> None:
        """Tidy the folder if nobody is in it, then be in it.

        Args:
            folder: a feed's.
            download: the name of the download that is still of use.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        self._end = weakref.finalize(self, os.close, lock)
        if _alone(lock):
            _tidy(folder, download)
        fcntl.flock(lock, fcntl.LOCK_SH)

    def end(self) -> None:
        """Others may tidy."""
        self._end()


def _alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tidy(folder: Path, download: str) -> None:
    """Keep the newest version, and downloads that may go on."""
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
    """All but the one used last are removed."""
    ranked = sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in ranked[1:]:
        shutil.rmtree(path, ignore_errors=True)
    return ranked[:1]


def used(path: Path) -> None:
    """This version is in use, so it is the newest."""
    os.utime(path)
