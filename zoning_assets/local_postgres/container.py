"""The database in a container, if docker compose and deploy/database.yaml are available."""

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from zoning_assets import os_errors
from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.local_postgres import remote
from zoning_assets.local_postgres.cluster_state import State, save
from zoning_assets.local_postgres.server import free_ports

COMPOSE = Path(__file__).parents[2] / "deploy" / "database.yaml"
#: Time limits of a check and of a start, in seconds.
ASK_MOST_S, UP_MOST_S = 10.0, 900.0


def is_available() -> bool:
    """Whether a container engine with compose runs here. The check has a time limit: a broken engine may hang."""
    if not COMPOSE.exists() or not shutil.which("docker"):
        return False
    checks = (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version"])
    return all(_run(command, {}, ASK_MOST_S) == "" for command in checks)


def start(home: Path, state: State | None) -> State:
    """Start a container with our database; its data are in a volume named after `home`.

    Raises:
        DatabaseUnavailable: docker compose failed; the message contains its error.
    """
    old = state if state and state.kind == "engine" else None
    new = old or State("engine", secrets.token_urlsafe(24), next(free_ports(str(home))))
    save(home, new)
    settings = {"ZONING_DATABASE_PORT": str(new.port), "ZONING_DATABASE_PASSWORD": new.password}
    if error := _compose(home, ["up", "--detach", "--wait"], settings):
        raise DatabaseUnavailable(
            f"docker compose up failed: {remote.masked(error, new.url)}",
            where=str(COMPOSE),
            do="fix that, or set ZONING_DATABASE_URL",
        )
    remote.check(new.url)
    return new


def stop(home: Path) -> None:
    """Stop the container; its volume is kept.

    Raises:
        DatabaseUnavailable: docker compose failed; the message contains its error.
    """
    settings = {"ZONING_DATABASE_PORT": "0", "ZONING_DATABASE_PASSWORD": "unused"}
    if error := _compose(home, ["down"], settings):
        raise DatabaseUnavailable(
            f"docker compose down failed: {error}", where=str(COMPOSE), do="stop the container by hand"
        )


def _compose(home: Path, arguments: list[str], settings: Mapping[str, str]) -> str:
    project = "zoning-" + hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]
    command = ["docker", "compose", "--project-name", project, "--file", str(COMPOSE), *arguments]
    return _run(command, settings, UP_MOST_S)


def _run(command: list[str], settings: Mapping[str, str], most_s: float) -> str:
    """Run a command; return "" if it succeeded, else the reason of the failure."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=most_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        known = os_errors.machine(error)
        return known[0] if known else "it did not end in time"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines[-1] if lines else f"exit status {done.returncode}")
