"""An HTTP proxy in front of an object store: it counts the requests, and answers some of them with a fault."""

import hashlib
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: What S3 answers to a client that sends too many requests, and to one whose clock is wrong.
SLOW_DOWN = (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
SKEWED = (403, b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>")
RESET = (0, b"")

Fault = tuple[int, bytes]
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class StoreProxy:
    """Its settings can be changed while it runs.

    Attributes:
        upstream: the port of the store.
        fault: from method and path of a request to the fault that answers it; None: the store answers it.
        rewrite: from method and path to the path that the store gets.
        delay_s: before each answer.
        log: method and path of each request.
    """

    upstream: int
    fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
    rewrite: Callable[[str, str], str] = lambda _method, path: path
    delay_s: float = 0.0
    log: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> dict[str, int]:
        """The number of requests by operation: of S3, a list is a GET of the bucket."""
        return dict(sorted(Counter(map(_operation, self.log)).items()))

    @contextmanager
    def running(self) -> Iterator["StoreProxy"]:
        handler = type("Handler", (_Handler,), {"proxy": self})
        server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def _operation(request: tuple[str, str]) -> str:
    method, path = request
    query = urlsplit(path).query
    if method == "GET" and ("list-type" in query or "comp=list" in query):
        return "LIST"
    return "DELETE" if method == "POST" and ("delete" in query or "comp=batch" in query) else method


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: StoreProxy
    _upstream: http.client.HTTPConnection | None = None

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.proxy.log.append((self.command, self.path))
        if self.proxy.delay_s:
            time.sleep(self.proxy.delay_s)
        fault = self.proxy.fault(self.command, self.path)
        if fault == RESET:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if fault:
            self._answer(fault[0], [("content-type", "application/xml")], fault[1])
        else:
            self._forward(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - names of BaseHTTPRequestHandler

    def handle(self) -> None:
        """Until the client closes the connection, or is killed."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True
        finally:
            if self._upstream:
                self._upstream.close()

    def finish(self) -> None:
        """As it is, but a client that was killed is no error."""
        with suppress(ConnectionError, ValueError):
            super().finish()

    def _forward(self, body: bytes) -> None:
        path = self.proxy.rewrite(self.command, self.path)
        for _ in range(2):  # the store may have closed an idle connection
            connection = self._upstream or http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=60)
            self._upstream = connection
            try:
                connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body or None)
                answer = connection.getresponse()
                read = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._upstream = None
                continue
            length = answer.getheader("content-length") if self.command == "HEAD" else None
            headers = answer.getheaders()
            if self.command == "PUT" and not answer.getheader("etag"):  # fake-gcs-server forgets it
                headers.append(("etag", f'"{hashlib.md5(body).hexdigest()}"'))  # noqa: S324 - as Google makes it
            self._answer(answer.status, headers, read, length)
            return
        self.close_connection = True  # the store is away

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
        with suppress(ConnectionError):
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            if status != http.client.NO_CONTENT:
                self.send_header("content-length", length or str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""
