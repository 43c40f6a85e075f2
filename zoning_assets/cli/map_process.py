"""The process of `zoning serve` that `zoning up` starts. If it ends, the harvests go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zoning_assets.api import tokens
from zoning_assets.cli import bootstrap

PORT = 8484
_STOP_S = 4.0


@dataclass(frozen=True)
class MapProcess:
    """The running process: the address of the map, a text with the token for reviews if it was made now, its log."""

    address: str
    token: str
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def end(self) -> str | None:
        """A line that says that it ended; None: it is running."""
        status = self.process.poll()
        if status is None:
            return None
        return f"the map ended with status {status}; read the end of {self.log}; everything else goes on"


@contextmanager
def serving(port: int, dagster: str, home: Path) -> Iterator[MapProcess]:
    """Serve the map while the block runs.

    Args:
        port: a free port of 127.0.0.1.
        dagster: the address of Dagster's UI, for links.
        home: the folder of the log file.

    Yields:
        The process.
    """
    given = tokens.read(bootstrap.settings().api_tokens)
    made = given.with_new(tokens.REVIEW)
    environ = {**os.environ, tokens.SETTING: ",".join(f"{scope}:{token}" for scope, token in made.pairs)}
    command = [sys.executable, "-m", "zoning_assets.cli", "serve", "--port", str(port), "--dagster", dagster]
    path = home / "zoning-serve.log"
    with path.open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        token = "" if made == given else f"  (token for reviews: {made.of(tokens.REVIEW)})"
        yield MapProcess(f"http://127.0.0.1:{port}", token, path, process)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
