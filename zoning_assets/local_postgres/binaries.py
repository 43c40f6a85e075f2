"""PostgreSQL programs: find those installed on this machine that have PostGIS, and run them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoning_assets.local_postgres.data_folder import Site

#: Folders of programs: Debian and Ubuntu, PGDG's rpm, Homebrew on Apple and Intel, Postgres.app.
PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)
PROGRAMS = ("postgres", "initdb", "pg_ctl")
#: The oldest supported major version.
LEAST_MAJOR = 14


@dataclass(frozen=True)
class Binaries:
    """A folder with postgres, initdb, pg_ctl and perhaps psql, and the environment they need."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def usable(self) -> bool:
        """Whether the server programs exist and are executable."""
        return all(os.access(self.folder / name, os.X_OK) for name in PROGRAMS)

    def major(self) -> int:
        """The major version, which must equal that of the data folder; 0: the program does not run."""
        done = self.run(["postgres", "--version"])
        found = re.search(r"\) (\d+)", done.stdout)
        return int(found[1]) if found and done.returncode == 0 else 0

    def run(
        self, command: Sequence[str], site: Site | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the programs as the server's user, in a session of its own, so that Ctrl-C does not end it.

        Raises:
            OSError: the program cannot be started.
            subprocess.TimeoutExpired: it did not end in time.
        """
        account = site.account if site else None
        return subprocess.run(
            [str(self.folder / command[0]), *command[1:]],
            env=clean(self.environ),
            cwd=site.root if site else "/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            start_new_session=True,
            check=False,
        )


def clean(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server, without the user's locale, time zone and PG* settings."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **extra}


def installed(top: Path = Path("/")) -> Iterator[Binaries]:
    """The installed PostgreSQL versions that have PostGIS, newest first. `top`: the root of the file system."""
    for folder in sorted(_folders(top), key=_newest, reverse=True):
        binaries = Binaries(folder)
        if binaries.usable() and _has_postgis(folder, top) and binaries.major() >= LEAST_MAJOR:
            yield binaries


def psql(known: Binaries | None) -> tuple[Path, Mapping[str, str]] | None:
    """A psql and the environment it needs: the cluster's own, else any on this machine; None: there is none."""
    if known and os.access(known.folder / "psql", os.X_OK):
        return known.folder / "psql", known.environ
    found = shutil.which("psql") or next((str(f / "psql") for f in _folders(Path("/")) if (f / "psql").exists()), None)
    return (Path(found), {}) if found else None


def _folders(top: Path) -> set[Path]:
    found = {folder for place in PLACES for folder in top.glob(place)}
    config = shutil.which("pg_config")
    if config and (bindir := _pg_config(Path(config), "--bindir")):
        found.add(Path(bindir))
    return found


def _newest(folder: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", str(folder))
    return (int(numbers[-1]) if numbers else 0, str(folder))


def _has_postgis(folder: Path, top: Path) -> bool:
    shares = [top / "usr/share/postgresql" / folder.parent.name]  # Debian: pg_config need not be installed
    if (folder / "pg_config").exists() and (share := _pg_config(folder / "pg_config", "--sharedir")):
        shares.append(Path(share))
    return any((share / "extension/postgis.control").exists() for share in shares)


def _pg_config(config: Path, option: str) -> str:
    try:
        done = subprocess.run([str(config), option], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
