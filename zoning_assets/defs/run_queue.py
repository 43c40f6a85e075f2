"""The run queue of a running `zoning up`: whether there is one for this Dagster storage, and requests to it.

Runs are submitted, and terminated after they have started, by the webserver's GraphQL API. Runs without a process are
canceled in Dagster's storage, from which everything else is read.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import SQLAlchemyError

from zoning_assets.defs import webserver
from zoning_assets.defs.partitions import asset_key
from zoning_assets.defs.retry_policies import COMMAND, is_submitted
from zoning_assets.defs.run_workers import COMMAND_ENDED, WITHOUT_PROCESS
from zoning_assets.defs.webserver import Webserver, WebserverSilent
from zoning_assets.errors import StoreError
from zoning_assets.jurisdictions.locations import WHOLE, Location

#: Dagster's name of the daemon that starts queued runs.
_DAEMON = "QUEUED_RUN_COORDINATOR"
#: Dagster's daemon sends a heartbeat every 30 seconds. After this many seconds without one it is considered dead.
DEAD_AFTER_S = 120.0
UNFINISHED = [
    dg.DagsterRunStatus(name) for name in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING", "MANAGED")
]
#: What Dagster's storage raises where its database does not answer.
STORAGE_FAILS = (SQLAlchemyError, DagsterPostgresException)
#: A run that was created but not queued within this time never will be, seconds.
QUEUED_WITHIN_S = 60.0
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


#: Is in the message of the webserver if a code server does not answer.
_GONE = "DagsterUserCodeUnreachableError"


class LaunchRefused(StoreError):
    """The webserver did not create the run."""


class CodeServerGone(LaunchRefused):
    """The webserver did not create the run, because the code server does not answer. `zoning up` replaces a code server
    that ended within seconds."""


@dataclass(frozen=True)
class RunQueue:
    """The queue of a running `zoning up`, and the runs that one command submits to it.

    Args:
        webserver: of `zoning up`.
        instance: where the runs are recorded.
        locations: the repository of each code location that has the jobs, as the webserver names them.
        command: the value of the tag COMMAND of all runs that are submitted.
    """

    webserver: Webserver
    instance: dg.DagsterInstance
    locations: Mapping[str, str]
    command: str

    def submit(
        self, job: str, assets: Sequence[str], tags: Mapping[str, str], location: Location = WHOLE
    ) -> str | None:
        """Submit a run; return its id. None: the webserver did not answer; the run may exist nevertheless.

        Raises:
            LaunchRefused: the webserver did not create the run; CodeServerGone if it may do so in a moment.
        """
        name = location.name or next(iter(self.locations))
        if name not in self.locations:
            what = f"`zoning up` has no code location {name}"
            raise LaunchRefused(what, where=job, do="restart it: it reads the jurisdictions when it starts")
        params = {
            "selector": {
                "repositoryLocationName": name,
                "repositoryName": self.locations[name],
                "jobName": job,
                "assetSelection": [{"path": asset_key(each, location).path} for each in assets],
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
            refusal = CodeServerGone if _GONE in why else LaunchRefused
            raise refusal(why[:300], where=job, do="run the command again")
        return str(answer["run"]["runId"])

    def runs(self) -> list[dg.DagsterRun]:
        """Return the unfinished runs of this command."""
        filters = dg.RunsFilter(statuses=UNFINISHED, tags={COMMAND: self.command})
        return [run for run in self.instance.get_runs(filters) if is_submitted(run)]

    def terminate(self) -> list[dg.DagsterRun]:
        """Cancel the runs of this command that have no process, and request the end of those that have started. Dagster
        refuses the request for a run that is starting, so call this again until no run is returned.

        Raises:
            StoreError: the webserver did not answer. Runs without a process are canceled nevertheless.
        """
        runs = self.runs()
        for run in runs:
            if run.status in WITHOUT_PROCESS:
                self.cancel(run)
        if started := [run.run_id for run in runs if run.status == dg.DagsterRunStatus.STARTED]:
            self.webserver.graphql(_TERMINATE, {"ids": started}, _TERMINATE_S)
        return runs

    def cancel(self, run: dg.DagsterRun) -> None:
        """Cancel a run in the storage. A process that is starting reads this and does not execute the run."""
        self.instance.report_run_canceled(run, COMMAND_ENDED)

    def why_dead(self, now: float) -> str | None:
        """Return why no further run will be started; None: the daemon and the webserver of `zoning up` are alive.

        Args:
            now: seconds since the epoch.
        """
        if self.webserver.is_gone():
            return "`zoning up` has ended"
        last = _last_heartbeat(self.instance)
        if last is None:
            return "the daemon of `zoning up` never sent a heartbeat"
        age = now - last
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
    announced = webserver.announcement(home)
    if announced is None or announced.settings != settings:
        return None
    found = Webserver(announced.port)
    try:
        last = _last_heartbeat(instance)
        if last is None or clock() - last > DEAD_AFTER_S or not found.is_up():
            return None
        state = found.graphql(_STATE, {"daemon": _DAEMON})
        locations = _locations(state)
        same = _is_same(state, instance) or _is_same(found.graphql(_STATE, {"daemon": _DAEMON}), instance)
    except (StoreError, KeyError, TypeError, *STORAGE_FAILS):
        return None
    return RunQueue(found, instance, locations, command) if locations and same else None


def _last_heartbeat(instance: dg.DagsterInstance) -> float | None:
    """Return when the daemon of the queue sent its last heartbeat, in seconds since the epoch; None: it never did. A
    daemon that recorded errors is alive: Dagster repeats an error in the heartbeats of the next five minutes."""
    found = instance.get_daemon_heartbeats().get(_DAEMON)
    return found.timestamp if found else None


def _is_same(state: Any, instance: dg.DagsterInstance) -> bool:
    """Return whether the webserver reads the same storage: it knows the same last heartbeat. A heartbeat may come
    between the two looks, so a caller looks twice."""
    theirs = state["instance"]["daemonHealth"]["daemonStatus"]["lastHeartbeatTime"]
    return bool(theirs) and theirs == _last_heartbeat(instance)


def _locations(state: Any) -> dict[str, str]:
    """Return the repository of each code location that has our jobs; empty: none could be loaded."""
    return {
        entry["name"]: repository["name"]
        for entry in state["workspaceOrError"].get("locationEntries", ())
        for repository in (entry["locationOrLoadError"] or {}).get("repositories", ())
        if any(job["name"] == "find_tiles" for job in repository["pipelines"])
    }
