"""`zoning up`: run PostGIS, Dagster's webserver, its daemon and the map until Ctrl-C."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap, code_servers, locations, map_process, metrics, programs
from zoning_assets.cli.code_servers import CodeServers
from zoning_assets.cli.display import output
from zoning_assets.defs.webserver import Webserver, announced
from zoning_assets.errors import StoreError
from zoning_assets.jurisdictions.locations import Locations
from zoning_assets.storage import run_broker
from zoning_assets.storage.postgis.database import address

#: The webserver opens up to 63 connections by default; a private cluster has 100 for all programs. A request that
#: submits a run needs two at once, so with few connections several requests block each other: 8 did with 4.
_FEW_CONNECTIONS = ["--db-pool-max-overflow", "12"]
_READY_S = 120
_LAST_PORT, _METRICS_PORT = 65_535, 9464


def up(
    port: Annotated[
        int,
        typer.Option(
            min=1, max=_LAST_PORT, help="The port of Dagster's UI; if it is taken, the next free one is used."
        ),
    ] = 3000,
    *,
    json: Annotated[bool, typer.Option("--json", help="The addresses as one JSON document.")] = False,
) -> None:
    """Start everything and keep it running; Ctrl-C stops it."""
    from zoning_assets import local_postgres  # noqa: PLC0415

    ours = not os.environ.get("ZONING_DATABASE_URL")
    with ExitStack() as stack:
        bootstrap.check_store()
        url = bootstrap.bring_up_database()
        if ours:
            stack.callback(local_postgres.stop, bootstrap.settings().home)
        home = bootstrap.prepare_storage()
        free = _free_port(port)
        ui, map_port = f"http://127.0.0.1:{free}", _free_port(map_process.PORT, but=free)
        shown = stack.enter_context(map_process.serving(map_port, ui, home))
        chosen = Locations.of(bootstrap.settings().locations)
        _write_workspace(chosen, home)
        environ = _environ(shown.address)
        servers = stack.enter_context(code_servers.serving(chosen, home, environ))
        loaded = ["-w", str(servers.workspace)]
        web = ["dagster-webserver", *loaded, "-h", "127.0.0.1", "-p", str(free), *_FEW_CONNECTIONS]
        daemon = ["dagster-daemon", "run", *loaded]
        running = stack.enter_context(_programs([web, daemon], home, environ, servers))
        _wait_for(free, running)
        _check_definitions(free)
        stack.enter_context(announced(home, free, bootstrap.settings_digest()))
        addresses = {"ui": ui, "database": address(url), "dagster_home": str(home), "map": shown.address}
        if broker := run_broker.find(os.environ):
            addresses["runs_on"] = run_broker.address(broker)
        addresses["metrics"] = metrics.serve(url, _free_port(_METRICS_PORT))
        if json:
            output.document(addresses)
            sys.stdout.flush()
        output.line(
            f"Map         {shown.address}{shown.token}\nDagster UI  {ui}\n"
            f"PostGIS     {addresses['database']}  (`zoning db psql`)\n"
            f"Prometheus  {addresses['metrics']}\nCtrl-C stops all of it."
        )
        if broker:
            output.line(f"Runs go to {addresses['runs_on']}; start `zoning worker` on each machine that executes them.")
        _watch(running, servers, shown, Webserver(free))


def _write_workspace(chosen: Locations, home: Path) -> None:
    """Write workspace.yaml for Dagster's own programs, if jurisdictions are grouped."""
    if chosen.is_grouped:
        locations.write_workspace(list(locations.grouped(chosen)), home)


def _environ(map_url: str) -> dict[str, str]:
    """The environment of Dagster's programs. `map_url`: the map that the metadata of runs links to, unless the user
    named another one."""
    return {"ZONING_MAP_URL": map_url, **bootstrap.dagster_environ()}


def _free_port(first: int, but: int = 0) -> int:
    """The first free port; `but`: one that a program of ours will use."""
    for port in range(first, min(first + 100, _LAST_PORT + 1)):
        if port == but:
            continue
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise StoreError("a hundred ports are in use", where=f"127.0.0.1:{first}", do="choose another port with --port")


@contextmanager
def _programs(
    commands: list[list[str]], home: Path, environ: Mapping[str, str], servers: CodeServers
) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Start the code servers and Dagster's other programs, each with a log file; stop them when the block ends."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        servers.start()
        running += (programs.start(command, home / f"{command[0]}.log", environ) for command in commands)
        yield running
    finally:
        programs.stop([*running, *servers.processes])


def _wait_for(port: int, running: "list[subprocess.Popen[bytes]]") -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        _check(running)
        if Webserver(port).is_up():
            return
        time.sleep(0.3)
    raise StoreError(
        f"no answer in {_READY_S} s", where=f"127.0.0.1:{port}", do=f"read {os.environ['DAGSTER_HOME']}/*.log"
    )


def _check_definitions(port: int) -> None:
    """Raise StoreError if the UI runs but could not load the assets: it would show an empty page."""
    found = Webserver(port).graphql(_DEFINITIONS, timeout_s=_READY_S)["workspaceOrError"]
    for entry in found.get("locationEntries", [{"locationOrLoadError": found}]):
        if why := (entry["locationOrLoadError"] or {}).get("message"):
            logs = f"{os.environ['DAGSTER_HOME']}/dagster-webserver.log"
            raise StoreError(f"Dagster could not load the assets: {why[:300]}", where=logs, do="read its end")


_DEFINITIONS = """
{ workspaceOrError { ... on PythonError { message }
  ... on Workspace { locationEntries { locationOrLoadError { ... on PythonError { message } } } } } }
"""


def _watch(
    running: "list[subprocess.Popen[bytes]]", servers: CodeServers, shown: map_process.MapProcess, webserver: Webserver
) -> None:
    """Wait until a program ends unexpectedly. The JSON document is printed already, so only print a line."""
    is_reported = False
    try:
        while True:
            _check(running)
            servers.tend(webserver)
            if not is_reported and (end := shown.end):
                output.line(end)
                is_reported = True
            time.sleep(1)
    except StoreError as error:
        output.line(f"zoning: {error}")
        raise typer.Exit(1) from None


def _check(running: "list[subprocess.Popen[bytes]]") -> None:
    for process in running:
        if process.poll() is not None:
            name = Path(process.args[0]).name if isinstance(process.args, list) else "a program"
            logs = f"{os.environ['DAGSTER_HOME']}/{name}.log"
            raise StoreError(
                f"{name} ended with status {process.returncode}", where=logs, do="read its end, then try again"
            )
