"""A host that disappears: a network namespace whose link is cut. No packet tells its peers. Needs root and iproute2."""

import ctypes
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

_NEW_NETWORK = 0x4000_0000  # CLONE_NEWNET
_OURS, _ITS = "198.18.113.1", "198.18.113.2"


#: Idle time, interval, number of probes; milliseconds without an acknowledgement.
_LIMITS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)


def peer_limits(fileno: int) -> tuple[int, ...]:
    """What the kernel knows of a connection: the seconds and the number of its probes, and its user timeout in ms."""
    with socket.socket(fileno=os.dup(fileno)) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return tuple(connection.getsockopt(socket.IPPROTO_TCP, option) for option in _LIMITS)


def connections_to(url: str) -> dict[int, int]:
    """The connections of this process to a server: the file descriptor by the port on this side."""
    found = dict[int, int]()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(each.name))) as connection:
            if connection.getpeername()[1] == urlsplit(url).port:
                found[connection.getsockname()[1]] = int(each.name)
    return found


@dataclass(frozen=True)
class LostHost:
    """A host that relays to a server of this machine: its network, and the server's address there."""

    name: str
    url: str

    def lose(self) -> None:
        """Cut its link."""
        _run("ip", "-n", self.name, "link", "set", "inside", "down")


@contextmanager
def relaying_host(url: str) -> Iterator[LostHost]:
    """A host through which the server at `url` is reached."""
    name = f"lost-{uuid.uuid4().hex[:6]}"
    try:
        _run("ip", "netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces cannot be made here")
    try:
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "inside", "netns", name)
        _run("ip", "address", "add", f"{_OURS}/30", "dev", name)
        _run("ip", "link", "set", name, "up")
        _run("ip", "-n", name, "address", "add", f"{_ITS}/30", "dev", "inside")
        _run("ip", "-n", name, "link", "set", "inside", "up")
        parts = urlsplit(url)
        with _listening(name) as listener:
            threading.Thread(target=_relay, args=(listener, parts.port), daemon=True).start()
            there = f"{parts.netloc.rpartition('@')[0]}@{_ITS}:{listener.getsockname()[1]}"
            yield LostHost(name, urlunsplit(parts._replace(netloc=there)))
    finally:
        with suppress(subprocess.CalledProcessError):  # it may not have been made
            _run("ip", "link", "delete", name)  # open sockets keep the namespace and its links
        _run("ip", "netns", "delete", name)


@contextmanager
def _listening(name: str) -> Iterator[socket.socket]:
    """A listening socket in another network: a socket belongs to the network of the thread that made it."""
    made = list[socket.socket]()

    def make() -> None:
        with Path("/run/netns", name).open() as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made.append(socket.create_server((_ITS, 0)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with made[0] as listener:
        yield listener


def _relay(listener: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            here, _ = listener.accept()
            there = socket.create_connection(("127.0.0.1", port))
            for ends in ((here, there), (there, here)):
                threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
