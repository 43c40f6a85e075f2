"""`zoning WORDS` as a person runs it: a process of its own, on a terminal of a width, or into a pipe."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COMMAND = (sys.executable, "-m", "zoning_assets.cli")


@dataclass(frozen=True)
class Ended:
    """What a command printed on stdout, and on stderr, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def on_terminal(width: int, environ: Mapping[str, str], *words: str) -> Ended:
    """On a terminal of so many columns; stderr goes to a pipe."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    settings = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [*_COMMAND, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**settings, "TERM": "xterm", "NO_COLOR": "1"},
    ) as process:
        os.close(theirs)
        out = _CONTROL.sub("", _read(ours)).replace("\r\n", "\n")
        assert process.stderr
        err = process.stderr.read().decode()
    os.close(ours)
    return Ended(process.returncode, out, err)


def _read(descriptor: int) -> str:
    pieces = []
    while True:
        try:
            pieces.append(os.read(descriptor, 65536))
        except OSError:  # Linux, when nobody has the other end open any more
            break
        if not pieces[-1]:
            break
    return b"".join(pieces).decode()
