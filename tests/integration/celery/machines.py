"""Machines of a cluster: workers with their own Unix user, home and environment, and if wanted their own network."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_REPO = Path(__file__).parents[3]
#: Root's Python may lie in a folder that other users cannot enter. Here they see it and nothing else of that folder.
_AS_USER = """set -e
hidden=$1 python=$2 user=$3; shift 3
if [ -n "$hidden" ]; then
    mount --bind "$python" /mnt
    mount -t tmpfs -o mode=755 none "$hidden"
    mkdir -p "$python"
    mount --bind /mnt "$python"
    umount /mnt
fi
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "$@"
"""


@dataclass
class Worker:
    """A `zoning worker` on a machine of its own."""

    name: str
    home: Path
    environ: dict[str, str]
    network: str | None  # the name of its network namespace
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> dict[str, object]:
        """Start it; return its document when it is ready."""
        command = [*_inside(self.network), *_as_user(self.name), sys.executable, "-m", "zoning_assets.cli"]
        with (self.home / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "worker", "--json"],
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=_REPO,
                start_new_session=True,
            )
        document = document_of(self.process)
        assert "error" not in document, f"{self.name} did not start: {document}\n{self.log()}"
        return document

    def log(self) -> str:
        """The end of what it has logged."""
        return (self.home / "worker.log").read_text(errors="replace")[-2000:]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def executes(self, pid: int) -> bool:
        """Whether a process is one of its runs."""
        with suppress(ProcessLookupError):
            return os.getsid(pid) == self.pid
        return False

    def kill(self) -> None:
        """kill -9 of all its processes."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()  # it also closes the pipe
            self.process = None


def document_of(process: "subprocess.Popen[str]") -> dict[str, object]:
    """The first document that a command prints; an error where it printed none and ended."""
    lines = list[str]()
    for line in process.stdout or ():
        lines.append(line)
        if line == "}\n":
            return json.loads("".join(lines))
    return {"error": f"no document: {''.join(lines)[-500:]}"}


@contextmanager
def worker(number: int, environ: dict[str, str], network: str | None = None) -> Iterator[Worker]:
    """A worker that is not started yet, whose user and home are deleted afterwards."""
    name = f"zoning-test-{number}-{os.getpid() % 10_000}"
    subprocess.run(["useradd", "--system", "--no-create-home", "--user-group", name], check=True)
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
    (home / "toml").mkdir()
    told = {**environ, "HOME": str(home), "ZONING_HOME": str(home / "home"), "ZONING_JURISDICTIONS": str(home / "toml")}
    found = Worker(name, home, told, network)
    try:
        shutil.chown(home, name)
        home.chmod(0o700)
        yield found
    finally:
        found.kill()
        subprocess.run(["userdel", "--force", name], check=False)
        shutil.rmtree(home, ignore_errors=True)


def check_possible() -> None:
    """Skip the test where users cannot be created."""
    for program in ("useradd", "setpriv", "unshare", "ip"):
        if os.geteuid() or not shutil.which(program):
            pytest.skip(f"separate users and networks need root and the program {program}")


def _inside(network: str | None) -> list[str]:
    return ["ip", "netns", "exec", network] if network else []


def _as_user(name: str) -> list[str]:
    python = Path(sys.base_prefix)
    hidden = next((str(each) for each in reversed(python.parents) if not each.stat().st_mode & 0o001), "")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _AS_USER, "sh", hidden, str(python), name]
