"""The code servers of `zoning up`: their command lines, their workspace file, and which is started or loaded again."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.waiting import until
from zoning_assets.cli import code_servers, programs
from zoning_assets.cli.code_servers import CodeServers, command, is_due, to_reload, workspace
from zoning_assets.defs.webserver import Webserver
from zoning_assets.errors import StoreError
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations

_NAME, _UNREACHABLE = "zoning_assets.definitions", "DagsterUserCodeUnreachableError"
#: Nobody listens there: port 1 is that of a service which no machine has.
_SILENT = Webserver(1)
_LISTEN = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind({!r}); s.listen(); time.sleep(60)"


def test_the_workspace_names_each_server_by_its_location() -> None:
    """With the names that Dagster gave the locations before: cursors of sensors are stored under them."""
    text = workspace({WHOLE: Path("a b/0"), Location("us-ma"): Path("1")})
    assert yaml.safe_load(text) == {
        "load_from": [
            {"grpc_server": {"socket": "a b/0", "location_name": "zoning_assets.definitions"}},
            {"grpc_server": {"socket": "1", "location_name": "us-ma"}},
        ]
    }


def test_a_server_loads_the_attribute_of_its_group() -> None:
    words = command(Location("us-ma"), Path("1"))
    assert words[:3] == ["dagster", "code-server", "start"]
    assert words[words.index("--attribute") + 1] == "location_us_ma"
    assert words[words.index("--location-name") + 1] == "us-ma"
    assert "--attribute" not in command(WHOLE, Path("0"))


def test_what_was_done_just_now_is_not_done_again() -> None:
    """A server that ends at once at each start must not use a whole processor."""
    assert is_due(0.0, 1.0, 5.0)
    assert not is_due(10.0, 14.9, 5.0)
    assert is_due(10.0, 15.0, 5.0)


def test_a_location_is_reloaded_if_it_cannot_be_reached_or_has_other_jurisdictions() -> None:
    loaded = {"a": ["us-xa-one"], "b": ["us-xb-one"], "c": []}
    assert not to_reload(dict.fromkeys(loaded), loaded, loaded)
    assert to_reload({**dict.fromkeys(loaded), "b": _UNREACHABLE}, loaded, loaded) == ["b"]
    assert to_reload(dict.fromkeys(loaded), loaded, {**loaded, "a": ["us-xa-one", "us-xa-two"]}) == ["a"]
    assert to_reload(dict.fromkeys(loaded), loaded, {"a": ["us-xa-one"], "c": []}) == ["b"]  # its last file was removed


def test_a_location_with_wrong_code_is_not_loaded_again_and_again() -> None:
    loaded = {"a": ["us-xa-one"]}
    assert not to_reload({"a": "SyntaxError"}, loaded, loaded)


def test_a_new_group_waits_for_the_next_start() -> None:
    loaded = {"a": ["us-xa-one"]}
    assert not to_reload({"a": None}, loaded, {**loaded, "b": ["us-xb-one"]})


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CodeServers]:
    """Code servers whose program only listens."""
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path))
    monkeypatch.setattr(code_servers, "command", lambda _, path: ["python", "-c", _LISTEN.format(str(path))])
    monkeypatch.setattr(code_servers, "_RESTART_S", 0.0)
    with code_servers.serving(Locations.of(None), tmp_path, os.environ) as found:
        yield found
        programs.stop(found.processes)


def test_a_server_that_was_killed_is_started_again(servers: CodeServers, capsys: pytest.CaptureFixture[str]) -> None:
    servers.start()
    (first,) = servers.processes
    servers.tend(_SILENT)
    assert servers.processes == [first]
    first.kill()
    first.wait(60)
    servers.tend(_SILENT)
    again = servers.processes[0]
    assert again.pid != first.pid
    assert again.poll() is None
    assert "the code server of zoning_assets.definitions ended with status -9; it is started" in capsys.readouterr().err


@dataclass(frozen=True)
class _Seen(Webserver):
    """A webserver that has this load error of the only location, and records what it reloads."""

    port: int = 1
    error: str | None = None
    reloaded: list[str] = field(default_factory=list)

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None, timeout_s: float = 0) -> Any:  # noqa: ARG002
        if variables:
            self.reloaded.append(variables["name"])
            return {}
        found = {"className": self.error} if self.error else {}
        return {"workspaceOrError": {"locationEntries": [{"name": _NAME, "locationOrLoadError": found}]}}


def test_a_location_that_cannot_be_reached_is_reloaded_now_and_then(
    servers: CodeServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reload starts a process that imports the code."""
    monkeypatch.setattr(code_servers, "_LOOK_S", 0.0)
    servers.start()
    seen = _Seen(error=_UNREACHABLE)
    servers.tend(seen)
    servers.tend(seen)
    assert seen.reloaded == [_NAME]


def test_a_location_is_reloaded_once_for_a_new_jurisdiction(
    servers: CodeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_servers, "_LOOK_S", 0.0)
    monkeypatch.setattr(code_servers, "_RELOAD_S", 0.0)
    servers.start()
    seen = _Seen()
    servers.tend(seen)
    assert not seen.reloaded
    (tmp_path / "us-xx-new.toml").touch()
    servers.tend(seen)
    servers.tend(seen)
    assert seen.reloaded == [_NAME]


def test_the_children_of_a_killed_server_end_with_the_others(
    servers: CodeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs go on when the server is killed; `zoning up` ends them when it ends."""
    script = f"import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); {_LISTEN}"
    monkeypatch.setattr(code_servers, "command", lambda _, path: ["python", "-c", script.format(str(path))])
    servers.start()
    (first,) = servers.processes
    child = int((tmp_path / "code-server.log").read_text())
    first.kill()
    first.wait(60)
    servers.tend(_SILENT)
    assert first in servers.processes
    programs.stop(servers.processes)
    until(lambda: not _runs(child), "the end of the child", most_s=60)


def test_a_server_that_cannot_start_names_its_log(
    servers: CodeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_servers, "command", lambda *_: ["python", "-c", "raise SystemExit(3)"])
    with pytest.raises(StoreError, match="ended with status 3") as caught:
        servers.start()
    assert caught.value.where == str(tmp_path / "code-server.log")


def _runs(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(found.strip()) and not found.startswith("Z")


def test_processes_that_do_not_end_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_STOP_S", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    process = programs.start(["python", "-c", deaf], tmp_path / "log", os.environ)
    until((tmp_path / "log").read_text, "its start", most_s=60)
    programs.stop([process])
    assert process.wait(60) == -signal.SIGKILL
