"""Only public addresses are called, whatever a name resolves to and whenever it changes."""

import asyncio
import ipaddress
import re
from collections.abc import Sequence

import pytest
from aiohttp import web

from tests.subscriptions.log_rows import LOOPBACK, change, deliver, subscribe, tell
from tests.subscriptions.receiver import receiving
from zoning_assets.subscriptions import address_check
from zoning_assets.subscriptions.address_check import AddressRefused, PinnedResolver, check_address, networks

NOT_PUBLIC = [
    "127.0.0.1", "127.8.9.1", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.170", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::",
    "2001:0:0:0:0:0:80ff:fffe", "2001:db8::1", "192.0.0.192", "192.88.99.1", "100:0:0:1::1", "3fff::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match="not a public address"):
        check_address(address, [])


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_a_public_address_is_called(address: str) -> None:
    check_address(address, [])


def test_only_the_allowed_network_is_allowed() -> None:
    allowed = networks(["10.1.0.0/16"])
    check_address("10.1.2.3", allowed)
    check_address("::ffff:10.1.2.3", allowed)
    with pytest.raises(AddressRefused):
        check_address("10.2.0.1", allowed)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1",
     "169.254.169.254", "[fd00:ec2::254]", "0"],
)  # fmt: skip
def test_no_spelling_of_a_private_host_is_called(database: str, host: str) -> None:
    """The receiver listens there, and is asked nothing."""
    with receiving() as receiver:
        port = receiver.url.split(":")[2]
        subscribe(database, "webhook", f"http://{host}:{port}", allowed_networks=())
        tell(database, change("a", "1"))
        (result,) = deliver(database)
        assert receiver.requests == []
        assert re.search("is not a public address|host is not known|its address is not valid", result.error or "")


def test_a_name_is_refused_if_one_of_its_addresses_is() -> None:
    async def mixed(_: str, __: int) -> Sequence[str]:
        return ["8.8.8.8", "169.254.169.254"]

    with pytest.raises(AddressRefused):
        asyncio.run(PinnedResolver([], mixed).resolve("rebind.example.org"))


def test_a_name_that_changes_its_mind_keeps_its_first_address(database: str) -> None:
    """The second answer is never asked for; and a resolver that were asked would be checked at the socket."""
    asked: list[str] = []

    async def changing(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def close(_: web.Request, __: object) -> web.StreamResponse:
        response = web.Response()
        response.force_close()
        return response

    with receiving() as receiver:
        receiver.answer = close
        port = receiver.url.split(":")[2]
        subscribe(database, "webhook", f"http://rebind.example.org:{port}")
        tell(database, *[change(str(number), str(number)) for number in range(20)])
        (result,) = deliver(database, lookup=changing)
        assert (result.delivered, len(receiver.accepted), asked) == (20, 20, ["rebind.example.org"])
        tell(database, change("next", "1"))
        (result,) = deliver(database, lookup=changing)
        assert "169.254.169.254 is not a public address" in (result.error or "")


def test_the_socket_is_checked_whatever_the_resolver_says() -> None:
    """A resolver that is fooled does not help: what is connected to is checked."""

    async def connect() -> None:
        async with address_check.connector(networks(LOOPBACK)) as connector:
            factory = connector._socket_factory
            assert factory is not None
            factory((2, 1, 6, "", ("127.0.0.1", 80))).close()
            with pytest.raises(AddressRefused):
                factory((2, 1, 6, "", ("169.254.169.254", 80)))

    asyncio.run(connect())


def test_what_is_called_public_is_what_the_registry_calls_global() -> None:
    assert all(not ipaddress.ip_address(each.partition("%")[0]).is_global for each in NOT_PUBLIC[:9])
