"""The webserver of a running `zoning up`: where commands find it, and requests to its GraphQL API.

`zoning up` writes its port to a file in DAGSTER_HOME and removes the file at its end. The file may be left over from a
killed process, so its reader must check who answers at that port (run_queue.py).

Dagster is not imported here, because it takes a second and cli/up.py imports this module.
"""

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from zoning_assets.errors import StoreError

_FILE = "zoning-up.json"
_LOOPBACK = "127.0.0.1"
#: Seconds until a webserver on this machine must answer a simple request.
_ANSWERS_S = 2.0


class WebserverSilent(StoreError):
    """The webserver did not answer. It may have executed the request."""


@dataclass(frozen=True)
class Webserver:
    """A Dagster webserver on this machine."""

    port: int

    @property
    def address(self) -> str:
        """The address of the UI."""
        return f"http://{_LOOPBACK}:{self.port}"

    def is_up(self) -> bool:
        """Return whether a Dagster webserver answers."""
        try:
            status, body = self._request("GET", "/server_info", None, _ANSWERS_S)
            return status == HTTPStatus.OK and "dagster_webserver_version" in json.loads(body)
        except (WebserverSilent, ValueError, TypeError):
            return False

    def is_gone(self) -> bool:
        """Return whether no program listens at the port. A webserver that answers slowly is not gone."""
        with closing(http.client.HTTPConnection(_LOOPBACK, self.port, timeout=_ANSWERS_S)) as connection:
            try:
                connection.connect()
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
        return False

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None, timeout_s: float = 30.0) -> Any:
        """Return the `data` of the answer to a GraphQL request.

        Raises:
            WebserverSilent: it did not answer in time.
            StoreError: it answered with an error.
        """
        body = json.dumps({"query": query, "variables": variables or {}})
        status, text = self._request("POST", "/graphql", body, timeout_s)
        try:
            answer = json.loads(text)
            errors = answer.get("errors")
        except (ValueError, AttributeError):
            answer, errors = {}, [{"message": f"HTTP status {status}"}]
        if errors or "data" not in answer:
            why = str((errors or [{}])[0].get("message", f"HTTP status {status}"))
            raise StoreError(f"the webserver refused the request: {why[:300]}", where=self.address, do="read its log")
        return answer["data"]

    def _request(self, method: str, path: str, body: str | None, timeout_s: float) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if body else {}
        try:
            with closing(http.client.HTTPConnection(_LOOPBACK, self.port, timeout=timeout_s)) as connection:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise WebserverSilent(
                f"no answer: {type(error).__name__}", where=self.address, do="check whether `zoning up` is running"
            ) from error


@dataclass(frozen=True)
class Announcement:
    """The content of the file. `settings`: a digest of the settings with which `zoning up` makes runs."""

    port: int
    pid: int
    settings: str


@contextmanager
def announced(home: Path, port: int, settings: str) -> Iterator[None]:
    """Write the file in DAGSTER_HOME while the block runs. A file that a later `zoning up` wrote is not removed."""
    mine = Announcement(port, os.getpid(), settings)
    draft = home / f"{_FILE}.{mine.pid}"
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(mine)))
    draft.replace(home / _FILE)
    try:
        yield
    finally:
        if announcement(home) == mine:
            with suppress(OSError):
                (home / _FILE).unlink()


def announcement(home: Path) -> Announcement | None:
    """Return the content of the file; None: there is none, or it is not valid."""
    try:
        found = Announcement(**json.loads((home / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    is_valid = isinstance(found.port, int) and 0 < found.port < 2**16 and isinstance(found.settings, str)
    return found if is_valid else None
