"""The simulated portal as a process of its own, so that server and client do not share a CPU core."""

import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from zoning_assets.errors import PortalUnreachable

_STOP_MOST_S = 5.0


@contextmanager
def serving(
    parcels: int = 3000, *, seed: int = 7, release: int = 1, file: Path | None = None, wait_most_s: float = 120.0
) -> Iterator[str]:
    """Start a portal, yield its address ("http://127.0.0.1:8123"), and stop it at the end.

    The portal also ends when this process ends, in whatever way.

    Args:
        parcels: rows of the parcel layer.
        seed: of the county.
        release: of the county; see switch_release.
        file: serve this polygon file as layer 0 instead of a county.
        wait_most_s: how long the portal may take to start, in seconds.

    Raises:
        PortalUnreachable: it did not start.
    """
    numbers = {"parcels": parcels, "seed": seed, "release": release}
    options = [option for name, value in numbers.items() for option in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "zoning_assets.simulation.portal.portal", "--with-parent", *options]
    command += ["--file", str(file)] if file else []
    # A session of its own: Ctrl-C in a terminal must reach only the process that started the portal and stops it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield _address(process, wait_most_s)
        finally:
            _stop(process)


def _address(process: "subprocess.Popen[bytes]", wait_most_s: float) -> str:
    """Read the address from the line that the process prints when it is ready."""
    ready = process.stdout and select.select([process.stdout], [], [], wait_most_s)[0]
    line = process.stdout.readline() if process.stdout and ready else b""
    if not line:
        why = f"no address after {wait_most_s:g} s" if process.poll() is None else "it ended at once"
        raise PortalUnreachable(why, where="the simulated portal", do="see its messages above")
    return str(json.loads(line)["address"])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_MOST_S)
    except subprocess.TimeoutExpired:
        process.kill()


def switch_release(address: str, release: int, *, wait_most_s: float = 120.0) -> None:
    """Let the portal serve another release of its county.

    Raises:
        PortalUnreachable: it did not.
    """
    _command(address, f"/_release?release={release}", wait_most_s)


def set_faults(address: str, faults: Sequence[str], *, seed: int = 0, wait_most_s: float = 120.0) -> None:
    """Set the faults of the portal (see simulation.chaos); no faults: correct responses again.

    Raises:
        PortalUnreachable: it did not.
    """
    _command(address, f"/_chaos?faults={','.join(faults)}&seed={seed}", wait_most_s)


def _command(address: str, command: str, wait_most_s: float) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=wait_most_s)
    started = time.monotonic()
    try:
        connection.request("POST", command)
        answer = connection.getresponse()
        body = answer.read().decode()
    except OSError as error:
        waited = f"{error} after {time.monotonic() - started:.1f} s"
        raise PortalUnreachable(waited, where=address, do="start the simulated portal") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise PortalUnreachable(body, where=address, do="use a valid release or fault")
