"""The run queue of a running `zoning up`: whether there is one for this Dagster storage, and requests to it.

Runs are submitted and terminated by the webserver's GraphQL API. Everything else is read from Dagster's storage.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from zoning_assets.defs import webserver
from zoning_assets.defs.retry_policies import COMMAND
from zoning_assets.defs.webserver import Webserver, WebserverSilent
from zoning_assets.errors import StoreError

#: Dagster's name of the daemon that starts queued runs.
_DAEMON = "QUEUED_RUN_COORDINATOR"
#: Dagster's daemon sends a heartbeat every 30 seconds. After this many seconds without one it is considered dead.
DEAD_AFTER_S = 120.0
UNFINISHED = [
    dg.DagsterRunStatus(name) for name in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING", "MANAGED")
]
#: Statuses of a run that has no process yet, so that it can be canceled in the storage.
_WITHOUT_PROCESS = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED)
#: Seconds until the webserver must answer. A stopped command has little time to end (cli/signals.py).
_LAUNCH_S, _TERMINATE_S = 3.0, 3.0

_STATE = """
query($daemon: String!) {
  instance { daemonHealth { daemonStatus(daemonType: $daemon) { lastHeartbeatTime } } }
  workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { ... on RepositoryLocation { repositories { name pipelines { name } } } } } } }
}
"""
_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_TERMINATE = """
mutation($ids: [String!]!) { terminateRuns(runIds: $ids) { __typename } }
"""


class LaunchRefused(StoreError):
    """The webserver did not create the run."""


@dataclass(frozen=True)
class RunQueue:
    """The queue of a running `zoning up`, and the runs that one command submits to it.

    Args:
        webserver: of `zoning up`.
        instance: where the runs are recorded.
        location: the code location and the repository that have the jobs, as the webserver names them.
        command: the value of the tag COMMAND of all runs that are submitted.
    """

    webserver: Webserver
    instance: dg.DagsterInstance
    location: tuple[str, str]
    command: str

    def submit(self, job: str, assets: Sequence[str], tags: Mapping[str, str]) -> str | None:
        """Submit a run; return its id. None: the webserver did not answer, so the run may exist or not (`runs`).

        Raises:
            LaunchRefused: the webserver did not create the run.
        """
        location, repository = self.location
        params = {
            "selector": {
                "repositoryLocationName": location,
                "repositoryName": repository,
                "jobName": job,
                "assetSelection": [{"path": [name]} for name in assets],
            },
            "runConfigData": {},
            "executionMetadata": {
                "tags": [{"key": key, "value": value} for key, value in {**tags, COMMAND: self.command}.items()]
            },
        }
        try:
            answer = self.webserver.graphql(_LAUNCH, {"params": params}, _LAUNCH_S)["launchRun"]
        except WebserverSilent:
            return None
        except StoreError as error:
            raise LaunchRefused(error.what, where=error.where, do=error.do) from error
        if "run" not in answer:
            errors = [answer, *answer.get("errors", ())]
            why = "; ".join(str(each["message"]) for each in errors if each.get("message")) or answer["__typename"]
            raise LaunchRefused(why[:300], where=job, do="run the command again")
        return str(answer["run"]["runId"])

    def runs(self) -> list[dg.DagsterRun]:
        """Return the unfinished runs of this command; runs without a process first. Runs that a person re-executes
        inherit the tag and are left out."""
        filters = dg.RunsFilter(statuses=UNFINISHED, tags={COMMAND: self.command})
        found = [run for run in self.instance.get_runs(filters) if run.parent_run_id is None]
        return sorted(found, key=lambda run: run.status not in _WITHOUT_PROCESS)

    def terminate(self) -> None:
        """Ask for the end of all unfinished runs of this command.

        Raises:
            StoreError: the webserver did not answer. Runs without a process are canceled nevertheless.
        """
        runs = self.runs()
        try:
            if runs:
                self.webserver.graphql(_TERMINATE, {"ids": [run.run_id for run in runs]}, _TERMINATE_S)
        finally:
            for run in self.runs():
                if run.status in _WITHOUT_PROCESS:
                    self.instance.report_run_canceled(run, "Its command ended.")

    def why_dead(self, now: float) -> str | None:
        """Return why no further run will be started; None: the daemon and the webserver of `zoning up` are alive.

        Args:
            now: seconds since the epoch.
        """
        if self.webserver.is_gone():
            return "`zoning up` has ended"
        age = now - _last_heartbeat(self.instance)
        return f"the daemon of `zoning up` has sent no heartbeat for {age:.0f} s" if age > DEAD_AFTER_S else None

    def link(self, run_id: str) -> str:
        """Return the address of a run in the UI."""
        return f"{self.webserver.address}/runs/{run_id}"


def find(
    home: Path, instance: dg.DagsterInstance, settings: str, command: str, clock: Callable[[], float] = time.time
) -> RunQueue | None:
    """Return the queue of the running `zoning up` that uses this Dagster storage and these settings; None: there is
    none, so a command makes its runs in its own process.

    Args:
        home: DAGSTER_HOME.
        instance: the instance of this process.
        settings: the digest of the settings with which runs must be made.
        command: the value of the tag COMMAND for the runs to submit.
        clock: returns seconds since the epoch.
    """
    said = webserver.announcement(home)
    if said is None or said.settings != settings:
        return None
    found = Webserver(said.port)
    if clock() - _last_heartbeat(instance) > DEAD_AFTER_S or not found.is_up():
        return None
    try:
        state = found.graphql(_STATE, {"daemon": _DAEMON})
        location = _location(state)
        same = _is_same(state, instance) or _is_same(found.graphql(_STATE, {"daemon": _DAEMON}), instance)
    except (StoreError, KeyError, TypeError):
        return None
    return RunQueue(found, instance, location, command) if location and same else None


def _last_heartbeat(instance: dg.DagsterInstance) -> float:
    """Return when the daemon of the queue sent its last heartbeat, in seconds since the epoch. 0: it never did, it
    reports errors, or this instance has no queue."""
    status = instance.get_daemon_statuses([_DAEMON])[_DAEMON]
    return status.last_heartbeat.timestamp if status.healthy and status.last_heartbeat else 0.0


def _is_same(state: Any, instance: dg.DagsterInstance) -> bool:
    """Return whether the webserver reads the same storage: it knows the same last heartbeat. A heartbeat may come
    between the two looks, so a caller looks twice."""
    theirs = state["instance"]["daemonHealth"]["daemonStatus"]["lastHeartbeatTime"]
    return bool(theirs) and theirs == _last_heartbeat(instance)


def _location(state: Any) -> tuple[str, str] | None:
    """Return the code location and the repository that have our jobs; None: they could not be loaded."""
    for entry in state["workspaceOrError"].get("locationEntries", ()):
        for repository in (entry["locationOrLoadError"] or {}).get("repositories", ()):
            if any(job["name"] == "find_tiles" for job in repository["pipelines"]):
                return entry["name"], repository["name"]
    return None
