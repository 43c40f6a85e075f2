"""The benchmark's ArcGIS server as a process of its own, and what it says of the questions that it was asked."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.arcgis_server import SERVICE
from benchmarks.footprint import cpu_s
from benchmarks.processes import ROOT

_STOP_MOST_S, _ANSWER_MOST_S = 10.0, 60.0


@dataclass(frozen=True)
class Portal:
    """A running server. `address`: like http://127.0.0.1:8123."""

    address: str
    pid: int

    @property
    def service(self) -> str:
        """The URL of the feature service; layer 0 holds parcels, layer 1 zoning."""
        return f"{self.address}{SERVICE}"

    @property
    def cpu_s(self) -> float:
        """Seconds of a processor that it used since its start."""
        return cpu_s(self.pid)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """By layer (Parcels, Zoning): requests, rows and bytes sent, shapes tested; since its start."""
        with urllib.request.urlopen(f"{self.address}/_counts", timeout=_ANSWER_MOST_S) as answer:  # noqa: S310 - loopback
            found: Mapping[str, Mapping[str, int]] = json.load(answer)
            return found

    def edit(self, rows: int) -> None:
        """Let so many parcels be edited."""
        request = urllib.request.Request(f"{self.address}/_edit?rows={rows}", method="POST")  # noqa: S310 - loopback
        urllib.request.urlopen(request, timeout=_ANSWER_MOST_S).close()  # noqa: S310 - loopback


@contextmanager
def serving(parcels: int, page: int, variant: str) -> Iterator[Portal]:
    """A server with a fresh county that nobody has asked yet. It ends with the block, and with this process.

    Args:
        parcels: rows of the parcel layer.
        page: the most rows in one answer.
        variant: a name of `variants.VARIANTS`.

    Raises:
        RuntimeError: it did not start.
    """
    words = ["--parcels", str(parcels), "--page", str(page), "--variant", variant]
    command = [sys.executable, "-m", "benchmarks.arcgis_server", *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                message = "the benchmark's ArcGIS server did not start; its messages stand above"
                raise RuntimeError(message)
            yield Portal(json.loads(line)["address"], process.pid)
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_MOST_S)
    except subprocess.TimeoutExpired:
        process.kill()
