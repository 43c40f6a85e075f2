"""A real PgBouncer from Debian before the tests' PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.integration.peers import install

_SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = {mode}
{more}
"""
_READY_S, _POLL_S = 20.0, 0.05


def free_port() -> int:
    """A port that no program listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def pgbouncer(server: str, mode: str = "session", more: str = "") -> Iterator[str]:
    """PgBouncer while the block runs: the address of the same database through it.

    Args:
        server: the address of the database, with user and password.
        mode: its pool_mode.
        more: further lines of its settings.
    """
    found, parts, own = install.pgbouncer(), urlsplit(server), free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    folder.chmod(0o755)  # it refuses to run as root, and another user must read its files
    try:
        (folder / "users.txt").write_text(f'"{parts.username}" "{unquote(parts.password or "")}"\n')
        places = {"host": parts.hostname, "port": parts.port, "own": own, "folder": folder}
        (folder / "settings.ini").write_text(_SETTINGS.format(**places, mode=mode, more=more))
        command = [str(found.tree / "usr/sbin/pgbouncer"), str(folder / "settings.ini")]
        user = "nobody" if os.geteuid() == 0 else None
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=found.environ, user=user, stdout=log, stderr=log)
        try:
            _wait(own, process, folder / "log")
            yield parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{own}").geturl()
        finally:
            process.terminate()
            process.wait(10)
    finally:
        shutil.rmtree(folder)


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(_POLL_S)
    raise AssertionError(log.read_text()[-500:])
