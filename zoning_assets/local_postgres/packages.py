"""PostgreSQL and PostGIS from the distribution's signed packages. The system is not changed; root is not needed.

apt works in temporary folders: its lists, its cache, and a copy of dpkg's status without PostgreSQL and PostGIS. The
machine's sources, keys and proxy settings apply. The packages are unpacked, never installed.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.local_postgres.binaries import Binaries
from zoning_assets.local_postgres.data_folder import locked

NEEDED = ("apt-get", "apt-cache", "dpkg-deb")
STATUS = Path("/var/lib/dpkg/status")
SETTINGS = Path("/etc/apt/apt.conf.d")
APT_MOST_S = 900.0
#: Dependencies that are never used: compilers for jit, which is off, and scripts of the installation.
UNNEEDED = re.compile(
    r"libllvm|libz3|libperl|perl|lib.*-perl$|libpq-dev|postgresql(-client)?-common|ssl-cert|mysql-common"
)
CONF = """Dir::State "{top}/state/";
Dir::State::status "{top}/status";
Dir::Cache "{top}/cache/";
Dir::Etc::Parts "{top}/parts/";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
APT::Sandbox::User "root";
"""
#: The machine's hooks around updates and installations; they must not run for these private folders.
NO_HOOKS = "".join(
    f"#clear {name};\n"
    for name in (
        "APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success",
        "DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs",
    )
)  # fmt: skip


def possible() -> bool:
    """Whether this system is Debian or Ubuntu, with apt and dpkg."""
    return STATUS.exists() and all(shutil.which(name) for name in NEEDED)


def unpacked(folder: Path, major: int | None = None) -> Binaries | None:
    """The programs that an earlier start unpacked; None: there are none of this major version (None: of any)."""
    for programs in sorted(folder.glob("*/usr/lib/postgresql/*/bin"), key=lambda p: int(p.parent.name), reverse=True):
        binaries = Binaries(programs, _environ(programs.parents[4]))
        if binaries.usable() and major in (None, int(programs.parent.name)):
            return binaries
    return None


def fetch(folder: Path, major: int | None = None) -> Binaries:
    """Download and unpack the distribution's PostgreSQL with PostGIS under `folder`.

    Args:
        folder: where the packages are unpacked.
        major: the PostgreSQL version of existing data; None: the newest.

    Raises:
        DatabaseUnavailable: apt or dpkg failed; the message contains its error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    with locked(folder / "lock"):
        if found := unpacked(folder, major):
            return found
        with tempfile.TemporaryDirectory(prefix="zoning-apt-") as top:  # apt fails with spaces in this path
            _unpack(_download(Path(top), major), folder)
    if found := unpacked(folder, major):
        return found
    raise _failed("the packages were unpacked, but contain no server", str(folder))


def _download(top: Path, major: int | None) -> list[Path]:
    """Download the packages of the newest PostgreSQL that has a PostGIS package."""
    environ = private_apt(top)
    run(["apt-get", "-q", "update"], environ, top)
    names = run(["apt-cache", "pkgnames", "postgresql-"], environ, top).split()
    majors = [int(found[1]) for name in names if (found := re.fullmatch(r"postgresql-(\d+)-postgis-3", name))]
    chosen = [number for number in sorted(majors) if f"postgresql-{number}" in names and major in (None, number)]
    if not chosen:
        raise _failed(f"no package of PostGIS for PostgreSQL {major or ''}", "apt's sources")
    wanted = [f"postgresql-{chosen[-1]}", f"postgresql-{chosen[-1]}-postgis-3"]
    plan = run(["apt-get", "-q", "-s", "--fix-broken", "--no-install-recommends", "install", *wanted], environ, top)
    needed = [name for name in re.findall(r"^Inst (\S+)", plan, re.MULTILINE) if not UNNEEDED.match(name)]
    (top / "debs").mkdir()
    run(["apt-get", "-q", "download", *needed], environ, top / "debs")
    return sorted((top / "debs").glob("*.deb"))


def private_apt(top: Path) -> dict[str, str]:
    """Create the folders and settings of a private apt; return the environment that makes apt use them."""
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (top / name).mkdir(parents=True)
    entries = STATUS.read_text(encoding="utf-8", errors="replace").split("\n\n")
    kept = [entry for entry in entries if not re.match(r"Package: (postgresql|postgis)", entry)]
    (top / "status").write_text("\n\n".join(kept), encoding="utf-8")
    for part in sorted(SETTINGS.glob("*")):
        (top / "parts" / part.name).symlink_to(part)
    (top / "parts/zzzz-zoning").write_text(NO_HOOKS, encoding="utf-8")
    (top / "apt.conf").write_text(CONF.format(top=top), encoding="utf-8")
    return {**os.environ, "APT_CONFIG": str(top / "apt.conf"), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


def _unpack(debs: Sequence[Path], folder: Path) -> None:
    """Unpack all packages into one new folder, which is renamed when it is complete."""
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder) as name:
        draft = Path(name) / "tree"
        draft.mkdir(mode=0o755)
        for deb in debs:
            run(["dpkg-deb", "-x", str(deb), str(draft)], dict(os.environ), folder)
        for control in draft.glob("usr/share/postgresql/*/extension/postgis-3.control"):
            control.with_name("postgis.control").symlink_to(control.name)  # as the package's installation script does
        draft.chmod(0o755)
        major = next((p.name for p in draft.glob("usr/lib/postgresql/*")), "none")
        shutil.rmtree(folder / major, ignore_errors=True)
        draft.rename(folder / major)


def _environ(top: Path) -> dict[str, str]:
    """The environment for programs that were built to run from /usr."""
    inside = sorted({str(p.parent) for p in top.glob("usr/lib/*-linux-*/**/*.so.*")})
    return {
        "LD_LIBRARY_PATH": ":".join(inside),
        "PROJ_DATA": str(top / "usr/share/proj"),
        "GDAL_DATA": str(top / "usr/share/gdal"),
    }


def run(command: Sequence[str], environ: dict[str, str], where: Path) -> str:
    """Run a program of the package management, and return its output.

    Raises:
        DatabaseUnavailable: it failed; the message contains its error.
    """
    try:
        done = subprocess.run(
            command,
            env=environ,
            cwd=where,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"{command[0]} did not end within {APT_MOST_S:.0f} s", "apt") from error
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))] or ["no reason given"]
        raise _failed(f"{command[0]} failed: {errors[0]}", "the distribution's packages")
    return done.stdout


def _failed(what: str, where: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(what, where=where, do="check the network, or set ZONING_DATABASE_URL")
