"""The machine and the versions of a run of `zoning bench all`. No name of the machine or of its user is read."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psycopg
import pyogrio
import shapely

from benchmarks.processes import ROOT

_PACKAGES = ("dagster", "numpy", "pandas", "pyarrow", "pyproj", "psycopg")
_SETTINGS = ("shared_buffers", "max_wal_size", "fsync")
_POSTGRES = "SELECT current_setting('server_version'), postgis_lib_version(), postgis_geos_version()"


def machine(folder: Path) -> dict[str, str]:
    """CPU, cores, memory, disk and system. `folder`: whose disk is described."""
    return {
        "cpu": _cpu(),
        "cores": str(cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "disk": _disk(folder),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "system": _system(),
    }


def versions(database: str) -> dict[str, str]:
    """The versions that a figure depends on. `database`: the URL of a database with PostGIS."""
    with psycopg.connect(database) as connection:
        postgres, postgis, geos = connection.execute(_POSTGRES).fetchone() or ("", "", "")
        settings = [connection.execute(f"SHOW {name}").fetchone() or ("",) for name in _SETTINGS]
    return {
        "python": platform.python_version(),
        "postgresql": postgres,
        "postgresql settings": ", ".join(f"{name} {value}" for name, (value,) in zip(_SETTINGS, settings, strict=True)),
        "postgis": f"{postgis} (GEOS {geos})",
        "gdal": f"{pyogrio.__gdal_version_string__} (pyogrio {pyogrio.__version__})",
        "geos": f"{shapely.geos_version_string} (shapely {shapely.__version__})",
        **{name: _version(name) for name in _PACKAGES},
    }


def commit() -> str:
    """The commit of this clone; "changed" if files differ from it; "unknown" without git."""
    try:
        found = _git("rev-parse", "--short=12", "HEAD")
        return f"{found}, changed" if _git("status", "--porcelain", "--untracked-files=no") else found
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """The load of the last minute."""
    return round(os.getloadavg()[0], 2)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _disk(folder: Path) -> str:
    """Whether the disk of a folder rotates, as the kernel states it; a virtual disk may state either."""
    device = folder.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    queue = next((each for each in (entry / "queue", entry / ".." / "queue") if each.is_dir()), None)
    if queue is None:
        return "unknown"
    kind = "rotating" if (queue / "rotational").read_text().strip() == "1" else "not rotating"
    return f"{entry.resolve().name}, {kind}"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
