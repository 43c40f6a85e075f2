"""A Debian whose systemd runs as process 1, in namespaces of its own. Needs root, unshare, nsenter and slirp4netns."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.debian_packages import unpacked
from tests.integration.peers.install import HOME
from tests.support.debian_root import debian_root, fetching_environ

#: Runs in the new namespaces with the folder as $1: mounts what systemd needs, makes the folder the root, starts it.
_BOOT = r"""
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do : > dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
mkdir -p mnt/before
pivot_root . mnt/before
umount -l /mnt/before
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init --show-status=no
"""
_SPACES = ("mount", "pid", "uts", "ipc", "net", "cgroup")
_READY_S = 60


@dataclass(frozen=True)
class BootedMachine:
    """The machine: its folder, and its process 1 as this machine numbers it."""

    folder: Path
    init: int

    def run(self, script: str, most_s: float = 900) -> "subprocess.CompletedProcess[str]":
        """Run a shell script there as root; it ends at the first command that fails."""
        environ = {**fetching_environ(), "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        environ |= {"DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"}
        enter = ["nsenter", f"--target={self.init}", *(f"--{space}" for space in _SPACES)]
        return subprocess.run(
            [*enter, "/bin/bash", "-euo", "pipefail", "-c", script],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=most_s,
            check=False,
        )


@contextmanager
def booted(suite: str) -> Iterator[BootedMachine]:
    """A new Debian with systemd and a network of its own; ended and deleted afterwards."""
    with debian_root(suite, "systemd,systemd-sysv,dbus,ca-certificates,iproute2") as folder, _running(folder) as found:
        yield found


@contextmanager
def _running(folder: Path) -> Iterator[BootedMachine]:
    network = unpacked(HOME / "slirp4netns", ["slirp4netns"])
    flags = [f"--{space}" for space in _SPACES]
    parent = subprocess.Popen(
        ["unshare", *flags, "--fork", "/bin/sh", "-c", _BOOT, "boot", str(folder)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    machine = BootedMachine(folder, _child_of(parent))
    try:
        _wait_until_up(machine)
        with _connected(network, machine.init):
            yield machine
    finally:
        os.kill(machine.init, signal.SIGKILL)  # with it, all processes of its namespace end
        parent.wait(30)


def _child_of(parent: "subprocess.Popen[bytes]") -> int:
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.05)
    pytest.skip("namespaces cannot be made here")


def _wait_until_up(machine: BootedMachine) -> None:
    deadline, state = time.monotonic() + _READY_S, ""
    while time.monotonic() < deadline:
        state = machine.run("systemctl is-system-running || true").stdout.strip()
        if state in ("running", "degraded"):
            return
        time.sleep(0.5)
    pytest.skip(f"systemd does not start in namespaces of this machine: {state}")


@contextmanager
def _connected(network: Path, init: int) -> Iterator[None]:
    """Give the machine a network in user mode: it reaches what this machine reaches, and nothing reaches it."""
    libraries = sorted({str(path.parent) for path in network.glob("usr/lib/**/*.so*")})
    command = [str(network / "usr/bin/slirp4netns"), "--configure", "--mtu=65520", "--ready-fd=1", str(init), "tap0"]
    environ = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environ, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet) as started:
        try:
            assert started.stdout
            assert started.stdout.read(1) == b"1", "slirp4netns did not start"
            yield
        finally:
            started.kill()
