"""The process of `zoning serve` that `zoning up` starts. If it ends, the harvests go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoning_assets.api import tokens
from zoning_assets.cli import bootstrap

PORT = 8484
_STOP_S = 4.0


@contextmanager
def serving(port: int, dagster: str, home: Path) -> Iterator[tuple[str, str]]:
    """Serve the map while the block runs.

    Args:
        port: a free port of 127.0.0.1.
        dagster: the address of Dagster's UI, for links.
        home: the folder of the log file.

    Yields:
        The address of the map, and a text with the token for reviews if it was made now.
    """
    given = tokens.read(bootstrap.settings().api_tokens)
    made = given.with_new(tokens.REVIEW)
    environ = {**os.environ, tokens.SETTING: ",".join(f"{scope}:{token}" for scope, token in made.pairs)}
    command = [sys.executable, "-m", "zoning_assets.cli", "serve", "--port", str(port), "--dagster", dagster]
    with (home / "zoning-serve.log").open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}", "" if made == given else f"  (token for reviews: {made.of(tokens.REVIEW)})"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
