"""The benchmark's ArcGIS server as a process of its own, and its counters."""

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
class BenchPortal:
    """A running server.

    Attributes:
        address: like http://127.0.0.1:8123.
        pid: of its process.
    """

    address: str
    pid: int

    @property
    def service(self) -> str:
        """The URL of the feature service; layer 0 is parcels, layer 1 zoning."""
        return f"{self.address}{SERVICE}"

    @property
    def cpu_s(self) -> float:
        """CPU seconds since its start."""
        return cpu_s(self.pid)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """By layer (Parcels, Zoning): requests, rows and bytes sent, shapes tested; since its start."""
        with urllib.request.urlopen(f"{self.address}/_counts", timeout=_ANSWER_MOST_S) as answer:  # noqa: S310 - loopback
            found: Mapping[str, Mapping[str, int]] = json.load(answer)
            return found

    def edit(self, rows: int) -> None:
        """Edit so many parcels."""
        request = urllib.request.Request(f"{self.address}/_edit?rows={rows}", method="POST")  # noqa: S310 - loopback
        urllib.request.urlopen(request, timeout=_ANSWER_MOST_S).close()  # noqa: S310 - loopback


@contextmanager
def serving(parcels: int, page: int, variant: str) -> Iterator[BenchPortal]:
    """Start a server with a fresh county and no earlier requests. It ends with the block, and with this process.

    Args:
        parcels: rows of the parcel layer.
        page: the most rows of a response.
        variant: a name of `variants.VARIANTS`.

    Raises:
        RuntimeError: it did not start.
    """
    options = ["--parcels", str(parcels), "--page", str(page), "--variant", variant]
    command = [sys.executable, "-m", "benchmarks.arcgis_server", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                message = "the benchmark's ArcGIS server did not start; see its messages above"
                raise RuntimeError(message)
            yield BenchPortal(json.loads(line)["address"], process.pid)
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_MOST_S)
    except subprocess.TimeoutExpired:
        process.kill()
