"""Network namespaces that are joined by a bridge, so that loopback hides nothing; and forwarders on the bridge."""

import json
import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PREFIXES = tuple(f"10.77.{number}" for number in range(256))
_CHUNK = 65_536


class Bridge:
    """A bridge with a namespace for each worker. The hub has the address .254.

    Its addresses are on no other link: after a test session that was killed, the kernel would send the answers of the
    hub to the bridge that was left.
    """

    def __init__(self) -> None:
        self._id = os.getpid() % 10_000
        self._prefix = _free_prefix()
        self.hub = f"{self._prefix}.254"
        self.name = f"zb{self._id}"
        self.networks: list[str] = []

    def create(self) -> None:
        _ip("link", "add", self.name, "type", "bridge")
        _ip("addr", "add", f"{self.hub}/24", "dev", self.name)
        _ip("link", "set", self.name, "up")

    def join(self) -> str:
        """A new namespace on the bridge; its name."""
        number = len(self.networks) + 1
        network, outer, inner = f"zn{self._id}-{number}", self._outer(number), f"zi{self._id}-{number}"
        _ip("netns", "add", network)
        self.networks.append(network)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", network)
        _ip("link", "set", outer, "master", self.name)
        _ip("link", "set", outer, "up")
        _ip("-n", network, "addr", "add", f"{self._prefix}.{number}/24", "dev", inner)
        _ip("-n", network, "link", "set", inner, "up")
        _ip("-n", network, "link", "set", "lo", "up")
        return network

    def cut(self, network: str) -> None:
        """Set the link of a namespace down, as if the cable had been pulled."""
        _ip("link", "set", self._outer(self.networks.index(network) + 1), "down")

    def delete(self) -> None:
        for network in self.networks:
            _ip("netns", "del", network)
        _ip("link", "del", self.name)

    def _outer(self, number: int) -> str:
        return f"zo{self._id}-{number}"


@contextmanager
def bridged() -> Iterator[Bridge]:
    """A bridge while the block runs."""
    bridge = Bridge()
    bridge.create()
    try:
        yield bridge
    finally:
        bridge.delete()


def _free_prefix() -> str:
    listed = subprocess.run(["ip", "-json", "-4", "addr", "show"], check=True, capture_output=True, text=True)
    used = {address["local"].rpartition(".")[0] for link in json.loads(listed.stdout) for address in link["addr_info"]}
    return next(prefix for prefix in _PREFIXES if prefix not in used)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def forwarded(host: str, port: int) -> Iterator[None]:
    """Accept connections at an address of the bridge, and connect them with the same port of loopback."""
    with socket.create_server((host, port)) as listener:
        threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            ours, _ = listener.accept()
            try:
                theirs = socket.create_connection(("127.0.0.1", port))
            except OSError:
                ours.close()
                continue
            threading.Thread(target=_copy, args=(ours, theirs), daemon=True).start()


def _copy(ours: socket.socket, theirs: socket.socket) -> None:
    """Copy in both directions until one side ends."""
    with ours, theirs, selectors.DefaultSelector() as selector, suppress(OSError):
        selector.register(ours, selectors.EVENT_READ, theirs)
        selector.register(theirs, selectors.EVENT_READ, ours)
        while True:
            for key, _ in selector.select():
                chunk = key.fileobj.recv(_CHUNK)
                if not chunk:
                    return
                key.data.sendall(chunk)
