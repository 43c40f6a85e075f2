"""`zoning up` with one code server for the webserver and the daemon: it stays, and comes back when it is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import ROOT, environment
from tests.conftest import rows
from tests.integration.killed.processes import below, command
from tests.integration.test_locations import up
from tests.support.databases import copied
from tests.support.waiting import until
from zoning_assets.defs.webserver import Webserver
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_NEW = "us-xb-new"
#: The daemon started its own code servers again every 60 seconds.
_WATCHED_S = 125.0
_LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  ... on RepositoryLocation { repositories { assetNodes {
    assetKey { path } partitionKeysByDimension { partitionKeys } } } } } } } } }
"""
_BEATS = "SELECT 1 FROM zoning_dagster.daemon_heartbeats WHERE daemon_type = 'QUEUED_RUN_COORDINATOR'"
_RELOAD = 'mutation { reloadRepositoryLocation(repositoryLocationName: "zoning_assets.definitions") { __typename } }'


def processes() -> list[int]:
    """The code server's two processes: the one that stays, and its child, which has loaded the code."""
    found = [pid for pid in below(os.getpid()) if " code-server start " in command(pid)]
    return found + [pid for server in found for pid in below(server) if " api grpc " in command(pid)]


def replaced(number: int, pid: int) -> None:
    """Wait until another process is at its place."""
    until(lambda: len(found := processes()) == 2 and found[number] != pid, "another process", most_s=180, every_s=1)


def jurisdictions(web: Webserver) -> set[str]:
    """The jurisdictions that the webserver has loaded; none where it reaches no code server."""
    found: set[str] = set()
    for entry in web.graphql(_LOADED, timeout_s=120)["workspaceOrError"]["locationEntries"]:
        for repository in (entry["locationOrLoadError"] or {}).get("repositories", ()):
            tiles = next(each for each in repository["assetNodes"] if each["assetKey"]["path"] == ["tiles"])
            found |= set(tiles["partitionKeysByDimension"][0]["partitionKeys"])
    return found


def sync(environ: dict[str, str]) -> None:
    """A sync whose runs the daemon of `zoning up` executes."""
    words = [sys.executable, "-m", "zoning_assets.cli", "sync", ID, "--force", "--json"]
    done = subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "The daemon of `zoning up` executes the runs" in done.stderr


def test_a_killed_code_server_comes_back_and_stays(server: str, template: str, tmp_path: Path) -> None:
    """kill -9 of the server and of its child, which Dagster itself would not replace: runs succeed afterwards. Both
    programs use the same one; two minutes later it is still the same; *Reload* replaces it; a new county is loaded."""
    files = tmp_path / "files"
    files.mkdir()
    with serving(300) as portal, copied(server, template) as (_, url):
        (files / f"{ID}.toml").write_text(county_toml(portal))
        environ = environment(files, url)
        with up(environ, tmp_path) as web:
            until(lambda: rows(url, _BEATS), "the daemon", every_s=1)
            for number in (0, 1):
                os.kill((killed := processes()[number]), signal.SIGKILL)
                replaced(number, killed)
                until(lambda: jurisdictions(web), "the definitions", most_s=180, every_s=1)
                sync(environ)
            stays, until_s = processes(), time.monotonic() + _WATCHED_S
            while time.monotonic() < until_s:
                assert processes() == stays
                time.sleep(5)
            web.graphql(_RELOAD, timeout_s=120)
            replaced(1, stays[1])
            assert processes()[0] == stays[0]
            (files / f"{_NEW}.toml").write_text(county_toml(portal).replace(f'id = "{ID}"', f'id = "{_NEW}"'))
            until(lambda: _NEW in jurisdictions(web), "the new county without a reload", most_s=180, every_s=1)
