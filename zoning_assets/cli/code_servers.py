"""The code servers of `zoning up`: one for each code location, for Dagster's webserver and daemon together.

Without them the webserver and the daemon would each start their own, and the daemon would start its own again every 60
seconds, which costs an import of the code each time.

`dagster code-server start` is two processes: a server that stays, and its child, which has loaded the code. *Reload* in
the UI lets the server replace its child. The server does not notice that its child was killed, and nobody starts the
server again. CodeServers.tend does both, and reloads a location whose jurisdictions changed.
"""

import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zoning_assets.cli import locations, programs
from zoning_assets.cli.display import output
from zoning_assets.defs.webserver import Webserver
from zoning_assets.errors import StoreError
from zoning_assets.jurisdictions.locations import Location, Locations

_READY_S, _RELOADED_S = 120, 120.0
#: Seconds between two starts of a server, between two looks at the locations, and between two reloads of a location.
_RESTART_S, _LOOK_S, _RELOAD_S = 5.0, 10.0, 30.0
#: How many servers are starting at the same time: each needs some seconds of a processor.
_AT_ONCE = 4
#: Dagster's name of the error of a location whose server does not answer.
_UNREACHABLE = "DagsterUserCodeUnreachableError"

_ERRORS = """
{ workspaceOrError { ... on Workspace { locationEntries {
  name locationOrLoadError { ... on PythonError { className } } } } } }
"""
_RELOAD = """
mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }
"""


@dataclass
class _Server:
    """A code server: its location, its socket, its process, and when that was started."""

    location: Location
    socket: Path
    process: "subprocess.Popen[bytes]"
    started: float

    @property
    def name(self) -> str:
        return locations.name_of(self.location)


class CodeServers:
    """The code servers, and the workspace file that names them.

    Args:
        chosen: how jurisdictions are grouped.
        folder: an empty folder for the sockets, with a short path that only this user can open.
        home: the folder of the log files.
        environ: the environment of the servers.
    """

    def __init__(self, chosen: Locations, folder: Path, home: Path, environ: Mapping[str, str]) -> None:
        self._chosen, self._home, self._environ = chosen, home, environ
        self._servers: list[_Server] = []
        self._ended: list[subprocess.Popen[bytes]] = []
        self._loaded = _jurisdictions(chosen)
        self._reloaded = dict[str, float]()
        self._looked = 0.0
        self._folder, self.workspace = folder, folder / "workspace.yaml"

    def start(self) -> None:
        """Start all servers, and wait until each serves its location.

        Raises:
            StoreError: a server ended, or was not ready in time.
        """
        groups = list(locations.grouped(self._chosen))
        sockets = {each: self._folder / str(number) for number, each in enumerate(groups)}
        self.workspace.write_text(workspace(sockets))
        for number, (location, path) in enumerate(sockets.items()):
            if number >= _AT_ONCE:
                self._wait_for(self._servers[number - _AT_ONCE])
            self._servers.append(_Server(location, path, self._started(location, path), time.monotonic()))
        for each in self._servers:
            self._wait_for(each)

    @property
    def processes(self) -> "list[subprocess.Popen[bytes]]":
        """All processes, also ended servers whose child is still alive."""
        return [*(each.process for each in self._servers), *self._ended]

    def tend(self, webserver: Webserver) -> None:
        """Start servers again that ended. Reload locations that cannot be reached or that have other jurisdictions."""
        now = time.monotonic()
        self._ended = [each for each in self._ended if programs.is_alive(each)]
        for each in self._servers:
            if each.process.poll() is not None and is_due(each.started, now, _RESTART_S):
                self._restart(each, now)
        if is_due(self._looked, now, _LOOK_S):
            self._looked = now
            with suppress(StoreError, OSError):  # the webserver or a disk is busy; the next look finds the same
                self._reload(webserver, now)

    def _restart(self, server: _Server, now: float) -> None:
        status, log = server.process.returncode, self._log(server.location)
        output.line(f"zoning: the code server of {server.name} ended with status {status}; it is started again ({log})")
        self._ended.append(server.process)
        server.socket.unlink(missing_ok=True)
        server.process, server.started = self._started(server.location, server.socket), now

    def _reload(self, webserver: Webserver, now: float) -> None:
        found = webserver.graphql(_ERRORS)["workspaceOrError"].get("locationEntries", ())
        errors = {each["name"]: (each["locationOrLoadError"] or {}).get("className") for each in found}
        current = _jurisdictions(self._chosen)
        for name in to_reload(errors, self._loaded, current):
            if is_due(self._reloaded.get(name, 0.0), now, _RELOAD_S) and self._is_listening(name):
                self._reloaded[name] = now
                why = "could not be reached" if errors[name] == _UNREACHABLE else "has other jurisdictions"
                output.line(f"zoning: the code location {name} {why}; it is reloaded")
                webserver.graphql(_RELOAD, {"name": name}, _RELOADED_S)
                self._loaded[name] = current.get(name, [])

    def _is_listening(self, name: str) -> bool:
        return any(_answers(each.socket) for each in self._servers if each.name == name)

    def _started(self, location: Location, path: Path) -> "subprocess.Popen[bytes]":
        return programs.start(command(location, path), self._log(location), self._environ)

    def _log(self, location: Location) -> Path:
        return self._home / f"code-server{f'-{location.name}' if location.name else ''}.log"

    def _wait_for(self, server: _Server) -> None:
        deadline, log = time.monotonic() + _READY_S, str(self._log(server.location))
        while not _answers(server.socket):
            if (status := server.process.poll()) is not None:
                what = f"the code server of {server.name} ended with status {status}"
                raise StoreError(what, where=log, do="read its end, then try again")
            if time.monotonic() > deadline:
                what = f"the code server of {server.name} was not ready in {_READY_S} s"
                raise StoreError(what, where=log, do="read its end, then try again")
            time.sleep(0.1)


@contextmanager
def serving(chosen: Locations, home: Path, environ: Mapping[str, str]) -> Iterator[CodeServers]:
    """Serve the code locations while the block runs; the caller stops the processes.

    Args:
        chosen: how jurisdictions are grouped.
        home: the folder of the log files.
        environ: the environment of the servers.
    """
    # The path of a socket may have about a hundred characters, so the sockets are not in DAGSTER_HOME.
    with tempfile.TemporaryDirectory(prefix="zoning-", ignore_cleanup_errors=True) as folder:
        yield CodeServers(chosen, Path(folder), home, environ)


def command(location: Location, path: Path) -> list[str]:
    """Return the command line of a code server. The options are those with which Dagster starts its own."""
    attribute = ["--attribute", location.attribute] if location.name else []
    return [
        *("dagster", "code-server", "start", "--socket", str(path)),
        *("--module-name", locations.MODULE, *attribute, "--location-name", locations.name_of(location)),
        *("--use-python-environment-entry-point", "--inject-env-vars-from-instance"),
    ]


def workspace(sockets: Mapping[Location, Path]) -> str:
    """Return the text of the workspace file that names the servers."""
    return locations.workspace(
        {"grpc_server": {"socket": str(path), "location_name": locations.name_of(each)}}
        for each, path in sockets.items()
    )


def is_due(last: float, now: float, every_s: float) -> bool:
    """Return whether something may be done again. `last`: when it was done; 0: never."""
    return not last or now - last >= every_s


def to_reload(
    errors: Mapping[str, str | None], loaded: Mapping[str, Collection[str]], current: Mapping[str, Collection[str]]
) -> Sequence[str]:
    """Return the code locations to reload: those that cannot be reached, and those whose jurisdictions changed.

    Args:
        errors: the class of the load error of each location in the webserver; None: it is loaded.
        loaded: the ids of the jurisdictions of each location when it was loaded.
        current: the ids now.
    """
    return [
        name for name, error in errors.items() if error == _UNREACHABLE or loaded.get(name) != current.get(name, [])
    ]


def _jurisdictions(chosen: Locations) -> dict[str, list[str]]:
    return {locations.name_of(each): ids for each, ids in locations.grouped(chosen).items()}


def _answers(path: Path) -> bool:
    """Whether a server listens at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return not probe.connect_ex(str(path))
