"""`zoning up` on a machine where nothing is there yet."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.support.waiting import until
from zoning_assets.cli import bootstrap, map_process
from zoning_assets.cli.serve import listening
from zoning_assets.cli.up import _environ, _free_port

OPEN = "from zoning_assets.cli import bootstrap; bootstrap.prepare_storage()"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ZONING_HOME": str(tmp_path / "a home with spaces"),
        "ZONING_JURISDICTIONS": str(tmp_path),
    }


def test_the_digest_changes_with_the_settings_and_with_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`zoning sync` does not use a `zoning up` that was started before an upgrade."""
    code = tmp_path / "module.py"
    code.touch()
    monkeypatch.setattr(bootstrap, "_CODE", tmp_path)
    first = bootstrap.settings_digest()
    assert bootstrap.settings_digest() == first
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path))
    second = bootstrap.settings_digest()
    os.utime(code, (1.0, 1.0))
    assert len({first, second, bootstrap.settings_digest()}) == 3


@pytest.mark.parametrize("many", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_first_openings_at_once_give_one_storage(environ: dict[str, str], database: str, many: int) -> None:
    """Dagster's tables are made once, whoever comes first: two versions in them would break the storage for good."""
    environ["ZONING_DATABASE_URL"] = database
    starts = [subprocess.Popen([sys.executable, "-c", OPEN], env=environ, stderr=subprocess.PIPE) for _ in range(many)]
    said = [start.communicate(timeout=500)[1] for start in starts]
    assert [start.returncode for start in starts] == [0] * many, said
    assert len(rows(database, "SELECT * FROM zoning_dagster.alembic_version")) == 1


def test_a_map_that_cannot_be_served_is_reported(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program took its port after it was found free."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    monkeypatch.setenv("ZONING_HOME", str(tmp_path))
    with listening("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with map_process.serving(port, "http://127.0.0.1:3000", tmp_path) as shown:
            until(lambda: shown.end, "the end of the process", most_s=60)
            assert shown.end == f"the map ended with status 1; read the end of {shown.log}; everything else goes on"
            assert "another port" in shown.log.read_text()


@pytest.fixture
def ui(environ: dict[str, str], database: str) -> Iterator[str]:
    """The address of a UI that `zoning up` started; SIGTERM ends it well."""
    environ["ZONING_DATABASE_URL"] = database
    command = [sys.executable, "-m", "zoning_assets.cli", "up", "--json", "--port", "3941"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            yield json.loads("".join(iter(up.stdout.readline, "}\n")) + "}")["ui"]
        finally:
            up.terminate()
            assert up.wait(60) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_the_first_thing_a_newcomer_sees_has_the_assets_in_it(ui: str) -> None:
    """`zoning up` as the first word on a fresh machine: the UI shows the assets, not an empty page."""
    query = json.dumps({"query": "{ assetNodes { assetKey { path } } }"}).encode()
    request = urllib.request.Request(f"{ui}/graphql", query, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=500) as answer:  # noqa: S310
        nodes = json.load(answer)["data"]["assetNodes"]
    names = {node["assetKey"]["path"][0] for node in nodes}
    assert {"tiles", "raw_feed", "normalized", "validated", "parcels", "districts"} <= names


def test_the_last_port_is_the_last() -> None:
    """The next free port is looked for among ports."""
    assert _free_port(65_535) == 65_535


def test_a_port_that_is_promised_is_not_given_again() -> None:
    """`zoning up --port 8484`: Dagster's UI is not listening yet when the map chooses its port."""
    first = _free_port(map_process.PORT)
    assert _free_port(map_process.PORT, but=first) > first


def test_dagster_knows_the_address_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map of `zoning up`, unless the user names another one."""
    assert _environ("http://127.0.0.1:8484")["ZONING_MAP_URL"] == "http://127.0.0.1:8484"
    monkeypatch.setenv("ZONING_MAP_URL", "https://map.example.org")
    assert _environ("http://127.0.0.1:8484")["ZONING_MAP_URL"] == "https://map.example.org"
