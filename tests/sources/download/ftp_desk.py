"""For tests of FTP: a small server on loopback, as well or as badly behaved as told. One conversation at a time."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FtpDesk:
    """Gives one file, `lots.geojson`; breaks off after `cuts[0]` bytes, then `cuts[1]`, and so on."""

    body: bytes
    changed: str | None = "20250101000000"
    password: str = "anonymous@"  # noqa: S105 - the one everybody gives
    sizes: bool = True
    cuts: list[int] = field(default_factory=list)
    busy: int = 0  # so many conversations are refused at first
    endless: bool = False  # its greeting never ends
    changes: bool = False  # the file changes while it is given
    asked: list[str] = field(default_factory=list)
    given: int = 0

    def talk(self, line: socket.socket) -> None:
        """One conversation."""
        file = line.makefile("rwb", buffering=0)

        def say(text: str) -> None:
            file.write(text.encode() + b"\r\n")

        if self.endless:
            while True:
                say("220-and another thing")
        if self.busy:
            self.busy -= 1
            say("421 Too many users")
            return
        say("220-Welcome to the town's files\r\n220 ready")
        with socket.create_server(("127.0.0.1", 0)) as data:
            self._answer(file, say, data)

    def _answer(self, file: Any, say: Callable[[str], None], data: socket.socket) -> None:
        rest, port = 0, data.getsockname()[1]
        while words := file.readline().decode().strip():
            word, _, about = words.partition(" ")
            self.asked.append(words)
            if word == "RETR" and about == "gis/lots.geojson":
                say("150 here it comes")
                say("226 done" if self._give(data, rest) else "426 broken")
            else:
                say(self._said(about, port).get(word) or "502 unknown")
            rest = int(about) if word == "REST" else 0
            if word == "QUIT":
                return

    def _said(self, about: str, port: int) -> dict[str, str | None]:
        return {
            "USER": "331 Password, please",
            "PASS": "230 Welcome" if about == self.password else f"530 {about} is wrong",
            "TYPE": "200 ok",
            "MDTM": self.changed and f"213 {self.changed}",
            "SIZE": f"213 {len(self.body)}" if self.sizes else None,
            "PASV": f"227 Entering Passive Mode (10,0,0,1,{port // 256},{port % 256})",  # a wrong host, as behind NAT
            "REST": "350 ok",
            "RETR": "550 No such file",
            "QUIT": "221 bye",
        }

    def _give(self, data: socket.socket, rest: int) -> bool:
        with data.accept()[0] as line:
            left = self.body[rest:]
            cut = self.cuts.pop(0) if self.cuts else len(left)
            line.sendall(left[:cut])
            self.given += len(left[:cut])
        if self.changes:
            self.changed = "20250102000000"
        return cut >= len(left)


@contextmanager
def serving_ftp(desk: FtpDesk) -> Iterator[str]:
    """The address of the server's file."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = server.accept()
                with line, suppress(OSError):
                    desk.talk(line)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"ftp://127.0.0.1:{server.getsockname()[1]}/gis/lots.geojson"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
