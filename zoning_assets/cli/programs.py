"""The programs that `zoning up` starts: each has a session and a log file of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_STOP_S, _KILLED_WITHIN_S = 4.0, 1.0


def start(command: Sequence[str], log: Path, environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a program of this installation; what it prints is appended to the log file.

    It has a session of its own, so that Ctrl-C reaches only this process, which stops the programs before the database.
    """
    program = str(Path(sys.executable).with_name(command[0]))
    with log.open("ab") as opened:
        return subprocess.Popen(
            [program, *command[1:]], env=environ, stdout=opened, stderr=opened, start_new_session=True
        )


def stop(running: "Collection[subprocess.Popen[bytes]]") -> None:
    """Send SIGTERM to the programs and their child processes (runs), wait, then send SIGKILL."""
    for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _KILLED_WITHIN_S)):
        deadline = time.monotonic() + patience_s
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        while any(map(is_alive, running)) and time.monotonic() < deadline:
            time.sleep(0.05)


def is_alive(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a program or another process of its session is alive."""
    process.poll()  # a program that ended stays a member of its session until then
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 0)
        return True
    return False
