"""A folder with a small Debian system, made by debootstrap from the source of this machine's own apt. Needs root."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
#: Variables of this machine that say how packages are fetched.
PASSED_ON = re.compile(r"(?i)pip_.*|uv_.*|.*_proxy|ssl_cert_(file|dir)|.*_ca_bundle")
_MOST_S = 900


def fetching_environ() -> dict[str, str]:
    """The part of the environment that says how packages are fetched."""
    return {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}


@contextmanager
def debian_root(suite: str, packages: str) -> Iterator[Path]:
    """A Debian with these packages (comma separated) in a temporary folder; ended and deleted afterwards.

    The test is skipped where this user is not root, or debootstrap or the suite cannot be had.
    """
    if os.geteuid() != 0:
        pytest.skip("a Debian is made by root")
    if not shutil.which("debootstrap"):
        fetch = ["apt-get", "install", "--yes", "-q", "debootstrap"]
        if not shutil.which("apt-get") or subprocess.run(fetch, capture_output=True, check=False).returncode:
            pytest.skip("debootstrap cannot be had here")
    folder = Path(tempfile.mkdtemp(prefix=f"zoning-{suite}-"))
    folder.chmod(0o755)
    try:
        _make(folder, suite, packages)
        yield folder
    finally:
        _end(folder)


def _mirror() -> str | None:
    """Where this machine's own apt gets Debian from, as its sources say."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    sources = [file for file in files if file.is_file() and file.suffix in (".list", ".sources")]
    texts = [file.read_text(encoding="utf-8") for file in sources]
    suites = "bookworm|trixie"
    for stanza in "\n\n".join(texts).split("\n\n"):
        found = re.search(rf"^deb .*?(http\S+) (?:{suites}) ", stanza, re.MULTILINE)
        if not found and re.search(rf"^Suites:.*\b(?:{suites})\b(?!-)", stanza, re.MULTILINE):
            found = re.search(r"^URIs:\s*(http\S+)", stanza, re.MULTILINE)
        if found:
            return found[1]
    return None


def _make(folder: Path, suite: str, packages: str) -> None:
    """Debian's smallest system with the packages, and this machine's certificates and settings for fetching."""
    address = _mirror()
    if address is None:
        pytest.skip("no source of Debian in this machine's apt sources")
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(folder), address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_S, check=False)
    if done.returncode != 0:
        pytest.skip(f"debootstrap failed: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    names = ("resolv.conf", "hosts", "pip.conf", "ssl/certs/ca-certificates.crt")
    for file in [*(Path("/etc", name) for name in names), *_acquisition_settings()]:
        if file.exists():
            (folder / file.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / file.relative_to("/"))


def _acquisition_settings() -> list[Path]:
    """This machine's settings of how apt fetches: proxies, certificates, clocks."""
    files = Path("/etc/apt/apt.conf.d").glob("*")
    return [file for file in files if re.search(r"Acquire::(http|https|Check)", file.read_text(encoding="utf-8"))]


def _end(folder: Path) -> None:
    """End every process whose root is this folder, unmount, delete."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "root").readlink() == folder:
                os.kill(int(entry.name), signal.SIGKILL)
    subprocess.run(["umount", str(folder / "proc")], check=False, timeout=60, capture_output=True)
    if not (folder / "proc").is_mount():
        shutil.rmtree(folder, ignore_errors=True)


def copy_tree(target: Path) -> None:
    """The working tree as it would be committed, into a folder."""
    listing = ["git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, text=True, check=True, timeout=60).stdout.split("\0")
    for name in filter(None, names):
        if (REPO / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, target / name)
