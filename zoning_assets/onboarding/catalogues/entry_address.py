"""Which addresses of a catalogue are accepted: of public hosts, without secrets, that no file of ours would expand."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from zoning_assets.onboarding.address_list import address_fault
from zoning_assets.onboarding.catalogues.catalogue_entry import EntryRefused

#: Raises OSError if the address, given in numbers, must not be asked.
CheckAddress = Callable[[str], None]

_ASK = "look at the catalogue; to use the address, `zoning onboard URL`"
#: Endings of host names that the DNS does not resolve publicly (RFC 6761, RFC 6762, RFC 8375, RFC 9476; ICANN).
_PRIVATE = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet", ".test", ".invalid", ".alt")
_LAYER = re.compile(r"(?P<service>.*/(?:Feature|Map)Server)(?P<number>/\d{1,12})?(?:/query)?/?", re.IGNORECASE)


def checked(value: Any, check: CheckAddress) -> str:
    """Return an address of a catalogue, unchanged.

    Args:
        value: any value.
        check: refuses addresses in numbers; names are not resolved here.

    Raises:
        EntryRefused: it is not a web address, has a user or password, has `${`, or its host is not public.
    """
    if not isinstance(value, str):
        raise EntryRefused(f"its address is {_kind(value)}, not a text", _ASK)
    address = value.strip()
    if why := address_fault(address):
        raise EntryRefused(why, _ASK)
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise EntryRefused("its address has a user or a password", _ASK)
    if "${" in address:
        raise EntryRefused("its address has ${, which a jurisdiction file replaces from the environment", _ASK)
    _check_host(parts.hostname or "", check)
    return address


def _check_host(host: str, check: CheckAddress) -> None:
    try:
        numbers = str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        plain = host.rstrip(".")
        # A name without a dot is local; one whose last part begins with a digit is an address in numbers (127.0.0.0x1).
        local = "." not in plain or plain.endswith(_PRIVATE) or not re.match(r"[a-z]", plain.rpartition(".")[2])
        numbers = "127.0.0.1" if local else ""
    if not numbers:
        return
    try:
        check(numbers)
    except OSError:
        raise EntryRefused(f"its host {host} is not public", "allow its network with --allow-network") from None


def layer_of(address: str) -> tuple[str, bool]:
    """The address of an ArcGIS layer or service without query, and whether it is of one layer.

    Raises:
        EntryRefused: it is neither.
    """
    parts = urlsplit(address)
    found = _LAYER.fullmatch(parts.path)
    if found is None:
        raise EntryRefused("its address is not of a FeatureServer or MapServer", _ASK)
    path = f"{found['service']}{found['number'] or ''}"
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), found["number"] is not None


def _kind(value: Any) -> str:
    kinds = {list: "a list", dict: "an object", type(None): "missing", bool: "true or false"}
    return kinds.get(type(value), "a number")
