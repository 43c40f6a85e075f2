"""A proxy before a portal that lets some requests through and then holds the next one for ever: a moment to stop at."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Gate(ThreadingHTTPServer):
    """`limit`: how many requests pass; None: all. `held` is set when one is held."""

    daemon_threads = True

    def __init__(self, portal: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.portal, self.limit, self.seen = urlsplit(portal).netloc, 0, 0
        self.held, self.opened, self.counting = threading.Event(), threading.Event(), threading.Lock()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def close_after(self, limit: int | None) -> None:
        """Let so many requests pass from now on."""
        self.opened.set()  # whoever was held is gone, or goes on
        self.held, self.opened = threading.Event(), threading.Event()
        self.limit, self.seen = limit, 0

    def passes(self) -> bool:
        with self.counting:
            self.seen += 1
            return self.limit is None or self.seen <= self.limit


class _Passing(BaseHTTPRequestHandler):
    server: Gate
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass(None)

    def do_POST(self) -> None:
        self._pass(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def _pass(self, body: bytes | None) -> None:
        if not self.server.passes():
            opened = self.server.opened
            self.server.held.set()
            opened.wait(300)
            self.close_connection = True
            return
        connection = http.client.HTTPConnection(self.server.portal, timeout=60)
        headers = {name: text for name, text in self.headers.items() if name.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        self.send_response(answer.status)
        for name, text in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, text)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
        connection.close()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gated(portal: str) -> Iterator[Gate]:
    """A gate before the portal at an address, while the block runs."""
    gate = Gate(portal)
    thread = threading.Thread(target=gate.serve_forever, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        gate.opened.set()
        gate.shutdown()
        gate.server_close()
