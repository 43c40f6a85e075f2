"""The folders of a private cluster, and the user that its server runs as.

PostgreSQL refuses to run as root. If root starts it, the server runs as another user. That user may have no access to
the project (a home directory with mode 0700), so its data are stored under /var/lib. The mode of folders that do not
belong to the cluster is never changed.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoning_assets.errors import DatabaseUnavailable

ROOTS_FOLDER = Path("/var/lib/zoning-assets")
LOCK_MOST_S = 900.0  # the first start may download packages
LOCK_POLL_S = 0.05


@dataclass(frozen=True)
class Account:
    """The operating system's user that a server runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Site:
    """The folders of one cluster."""

    home: Path  # ZONING_HOME, where the password is stored
    root: Path  # the cluster's own folder
    packages: Path  # the distribution's packages, unpacked; several clusters may share them
    account: Account | None  # None: the server runs as the user who starts it

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.root / "log" / "server.log"


def site_of(home: Path, packages: Path | None = None) -> Site:
    """The folders of the cluster of `home`. `packages`: a folder of unpacked packages shared with other homes."""
    home = home.absolute()
    if os.geteuid() != 0:
        root = home / "postgres"
        return Site(home, root, packages or root / "packages", None)
    name = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return Site(home, ROOTS_FOLDER / name, packages or ROOTS_FOLDER / "packages", _account())


def prepare(site: Site) -> None:
    """Create the folders around the data folder.

    Raises:
        DatabaseUnavailable: this user may not write there.
    """
    try:
        site.home.mkdir(parents=True, exist_ok=True)
        if site.account:
            _open_folder(ROOTS_FOLDER)
            _open_folder(site.root)
        site.log.parent.mkdir(parents=True, exist_ok=True)
        own(site, site.log.parent, mode=0o700)
    except OSError as error:
        raise not_writable(site, error) from error


def own(site: Site, path: Path, *, mode: int) -> None:
    """Give a file or folder to the server's user, with this mode. Symbolic links are not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if site.account:
            os.fchown(descriptor, site.account.uid, site.account.gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def write(site: Site, path: Path, text: str) -> None:
    """Write a file atomically, readable only by the server's user."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    own(site, draft, mode=0o600)
    draft.replace(path)


def not_writable(site: Site, error: OSError) -> DatabaseUnavailable:
    """The error for a folder that this user may not use."""
    return DatabaseUnavailable(
        f"cannot be used by this user ({error.strerror})",
        where=str(error.filename or site.home),
        do="set ZONING_HOME to a folder of your own, or run as its owner",
    )


@contextlib.contextmanager
def locked(path: Path, wait_most_s: float = LOCK_MOST_S) -> Iterator[None]:
    """Hold the lock of a file; a second process waits for it.

    Raises:
        DatabaseUnavailable: another process held the lock for `wait_most_s` seconds.
    """
    with path.open("a") as file:
        _wait_for(file.fileno(), path, wait_most_s)
        yield


def _wait_for(descriptor: int, path: Path, wait_most_s: float) -> None:
    for _ in range(int(wait_most_s / LOCK_POLL_S)):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_POLL_S)
    raise DatabaseUnavailable(
        f"another process has held the lock for {wait_most_s:.0f} s",
        where=str(path),
        do="stop that process, then try again",
    )


def _open_folder(folder: Path) -> None:
    """Create a folder of root that the server's user may enter."""
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != 0 or not folder.is_dir() or folder.is_symlink():
        raise PermissionError(0, "it is not root's own folder", str(folder))
    folder.chmod(0o755)


def _account() -> Account:
    """`postgres` where it exists, else `nobody`."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(name, user.pw_uid, user.pw_gid)
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody",
        where="this machine",
        do="run as a plain user, or set ZONING_DATABASE_URL",
    )
