"""`dagster dev` in a clone, started as any user of Dagster starts it: the same home and storage as `zoning`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.queues.brokers import free_port
from tests.support import waiting
from tests.support.cluster_fixture import REPO, shared_packages
from zoning_assets import local_postgres

_REGISTER = """
from zoning_assets.cli import bootstrap
with bootstrap.dagster_instance() as instance:
    instance.add_dynamic_partitions("tiles", ["us-xx-simulated:1"])
"""
_PARTITIONS = '{ assetNodeOrError(assetKey: {path: ["parcels"]}) { ... on AssetNode { partitionKeys } } }'


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A clone whose database runs."""
    shutil.copytree(REPO / "zoning_assets", tmp_path / "zoning_assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml", "zoning"):
        shutil.copy(REPO / name, tmp_path / name)
    local_postgres.ensure(tmp_path / ".zoning", {}, fsync=False, shared=shared_packages())
    yield tmp_path
    local_postgres.remove(tmp_path / ".zoning")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dagster_dev_finds_what_zoning_uses(clone: Path) -> None:
    """Nothing is exported: the clone's `.env` says where. What the environment says counts more."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(clone)}
    for words in (["-m", "zoning_assets.cli", "db", "up"], ["-c", _REGISTER]):
        subprocess.run([sys.executable, *words], cwd=clone, env=environ, check=True, timeout=500, capture_output=True)
    assert (clone / ".env").stat().st_mode & 0o777 == 0o600
    ui = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-p", str(port)]
    with (clone / "dev.log").open("wb") as log:
        dev = subprocess.Popen(command, cwd=clone, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        waiting.until(lambda: dev.poll() is not None or _asked(ui, _PARTITIONS), (clone / "dev.log").read_text())
        assert _asked(ui, _PARTITIONS) == {"assetNodeOrError": {"partitionKeys": ["us-xx-simulated:1"]}}
    finally:
        os.killpg(dev.pid, signal.SIGKILL)
        dev.wait()
    assert not list(clone.glob(".tmp_dagster_home_*"))


def _asked(ui: str, query: str) -> Any:
    """What the webserver answers; None while it does not."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{ui}/graphql", json.dumps({"query": query}).encode(), {"content-type": "application/json"}
    )
    with suppress(OSError, ValueError), urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer).get("data")
    return None
