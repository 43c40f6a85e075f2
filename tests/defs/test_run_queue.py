"""Whether a command finds the queue of a running `zoning up`, and takes no other one for it."""

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo
from sqlalchemy.exc import OperationalError

from zoning_assets.defs import run_queue, webserver
from zoning_assets.defs.webserver import Webserver, WebserverSilent, announced, announcement
from zoning_assets.errors import StoreError

DAEMON = "QUEUED_RUN_COORDINATOR"


class Playing(ThreadingHTTPServer):
    """A webserver whose answers a test sets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.info: Any = {"dagster_webserver_version": "1"}
        self.answer: Any = {}


class _Answering(BaseHTTPRequestHandler):
    server: Playing

    def do_GET(self) -> None:
        self._send(self.server.info)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(self.server.answer)

    def _send(self, answer: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def playing() -> Iterator[Playing]:
    with Playing() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    overrides = {"run_coordinator": {"module": "dagster", "class": "QueuedRunCoordinator"}}
    with dg.instance_for_test(overrides) as instance:
        yield instance


def state(heartbeat: float | None) -> dict[str, Any]:
    location = {"name": "here", "locationOrLoadError": {"repositories": [_REPOSITORY]}}
    health = {"daemonStatus": {"lastHeartbeatTime": heartbeat}}
    return {"data": {"instance": {"daemonHealth": health}, "workspaceOrError": {"locationEntries": [location]}}}


def _fail() -> None:
    raise OperationalError("SELECT 1", {}, Exception("refused"))


_REPOSITORY = {"name": "ours", "pipelines": [{"name": "find_tiles"}]}


def test_it_is_found_where_storage_and_settings_are_the_same(
    tmp_path: Path, instance: dg.DagsterInstance, playing: Playing
) -> None:
    now, port = time.time(), playing.server_address[1]
    playing.answer = state(now)

    def find(settings: str = "same", clock: float = now) -> run_queue.RunQueue | None:
        return run_queue.find(tmp_path, instance, settings, "sync 1", lambda: clock)

    assert find() is None, "no file"
    with announced(tmp_path, port, "same"):
        assert find() is None, "no daemon"
        instance.add_daemon_heartbeat(DaemonHeartbeat(now, DAEMON, "1"))
        found = find()
        assert found is not None
        assert (found.webserver, found.locations) == (Webserver(port), {"here": "ours"})
        assert find(settings="other") is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(instance, "get_daemon_heartbeats", _fail)
            assert find() is None, "the storage does not answer"
        assert find(clock=now + run_queue.DEAD_AFTER_S + 1) is None, "the daemon is dead"
        playing.answer = state(now - 1)
        assert find() is None, "another storage"
        playing.answer = {"data": {**state(now)["data"], "workspaceOrError": {}}}
        assert find() is None, "its jobs could not be loaded"
        playing.answer = {"errors": [{"message": "no such field"}]}
        assert find() is None
        playing.answer, playing.info = state(now), {"name": "another program"}
        assert find() is None
    assert find() is None


def test_a_daemon_that_recorded_an_error_is_alive(instance: dg.DagsterInstance, playing: Playing) -> None:
    queue = run_queue.RunQueue(Webserver(playing.server_address[1]), instance, {"here": "ours"}, "sync 1")
    now = time.time()
    assert queue.why_dead(now) == "the daemon of `zoning up` never sent a heartbeat"
    error = SerializableErrorInfo("a sensor failed", [], None)
    instance.add_daemon_heartbeat(DaemonHeartbeat(now, DAEMON, "1", [error]))
    assert queue.why_dead(now) is None
    assert queue.why_dead(now + 130) == "the daemon of `zoning up` has sent no heartbeat for 130 s"


def test_an_answer_with_errors_and_no_answer_are_told_apart(playing: Playing) -> None:
    server = Webserver(playing.server_address[1])
    playing.answer = {"errors": [{"message": "no such field"}]}
    with pytest.raises(StoreError, match="no such field"):
        server.graphql("{ x }")
    assert not server.is_gone()
    playing.shutdown()
    playing.server_close()
    with pytest.raises(WebserverSilent):
        server.graphql("{ x }")
    assert server.is_gone()
    assert not server.is_up()


def test_the_file_is_private_and_of_the_latest_zoning_up(tmp_path: Path) -> None:
    file = tmp_path / webserver._FILE
    with announced(tmp_path, 3000, "a"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert announcement(tmp_path) == webserver.Announcement(3000, os.getpid(), "a")
        with announced(tmp_path, 3001, "a"):
            pass
        assert announcement(tmp_path) is None
        file.write_text('{"port": 3002, "pid": 1, "settings": "a"}')
    assert announcement(tmp_path) == webserver.Announcement(3002, 1, "a"), "it belongs to another process"
    for wrong in ("", "[]", "{}", '{"port": "x", "pid": 1, "settings": "a"}', '{"port": 0, "pid": 1, "settings": "a"}'):
        file.write_text(wrong)
        assert announcement(tmp_path) is None
