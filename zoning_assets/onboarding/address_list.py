"""Read a list of portals: one address a line, with an id after it if a person chose one. Pure."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from zoning_assets.errors import SettingInvalid, ZoningError
from zoning_assets.jurisdictions.keys import ID
from zoning_assets.onboarding import portal_detection
from zoning_assets.onboarding.toml_text import printable
from zoning_assets.redaction import without_secrets

#: Limits of a list: the US have 3,144 counties, and about 35,000 municipalities.
MOST_LINES, MOST_BYTES = 50_000, 16 << 20
_LONGEST_ADDRESS, _LONGEST_ID = 2000, 80
_SCHEMES = ("http", "https", "ftp")
_FORM = "give one address a line, then an id if you want one: https://gis.example.org/.../FeatureServer/0 us-xx-mytown"


@dataclass(frozen=True)
class ListedAddress:
    """An address to propose a file for.

    Attributes:
        address: of a layer, a service, a server or a file.
        where: the line of the list, or the entry of a catalogue.
        id: the id that a person or a catalogue chose; None: derived from the host.
        name: the name of the place; None: the id.
        key: the column that a catalogue names as the key.
        layer: the layer that a catalogue names, of a file with several.
        remarks: what a catalogue states, for comments of the file.
    """

    address: str
    where: str
    id: str | None = None
    name: str | None = None
    key: str | None = None
    layer: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class AddressList:
    """The lines of a list.

    Attributes:
        addresses: the valid ones, each once, in the order of the list.
        invalid: (line, its text, what is wrong) of each invalid line.
        repeated: (line, the first line with this address) of each repeated address.
    """

    addresses: list[ListedAddress] = field(default_factory=list)
    invalid: list[tuple[str, str, ZoningError]] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)


def parse(body: bytes, where: str) -> AddressList:
    """Parse a list. Empty lines and the text after `#` at the start of a line or after a space are ignored.

    Args:
        body: UTF-8 text, with or without a byte order mark, with any line ends.
        where: the file, for messages.

    Raises:
        SettingInvalid: it is not UTF-8 text, it has more than `MOST_LINES` lines, or no line has an address.
    """
    found, ids, first = AddressList(), dict[str, str](), dict[str, str]()
    for line, words in _lines(body, where):
        error = _error(words, line, ids)
        digest = "" if error else address_digest(words[0])
        if error:
            found.invalid.append((line, printable(words[0])[:_LONGEST_ADDRESS], error))
        elif digest in first:
            found.repeated.append((line, first[digest]))
        else:
            first[digest] = line
            chosen = words[1] if len(words) > 1 else None
            ids |= {chosen: line} if chosen else {}
            found.addresses.append(ListedAddress(words[0], line, chosen))
    if not (found.addresses or found.invalid):
        raise SettingInvalid("no line has an address", where=where, do=_FORM)
    return found


def _lines(body: bytes, where: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the words of each line that is not empty."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"it is not UTF-8 text (byte {error.start:,})"
        raise SettingInvalid(what, where=where, do="save it as UTF-8") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MOST_LINES:
        raise SettingInvalid(f"it has more than {MOST_LINES:,} lines", where=where, do="divide it into several lists")
    for number, line in enumerate(lines, 1):
        words = line.split()
        end = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
        if end:
            yield f"line {number}", words[:end]


def _error(words: list[str], line: str, ids: Mapping[str, str]) -> ZoningError | None:
    """What is wrong with a line; None: nothing."""
    if len(words) > 2:
        return SettingInvalid("it has more than an address and an id", where=line, do=_FORM)
    if why := address_fault(words[0]):
        return SettingInvalid(why, where=line, do=_FORM)
    if len(words) > 1 and not is_id(words[1]):
        do = "an id has lower-case letters, digits and hyphens, like us-xx-mytown"
        return SettingInvalid(f"{printable(words[1])[:40]!r} is not an id", where=line, do=do)
    if len(words) > 1 and words[1] in ids:
        return SettingInvalid(f"{ids[words[1]]} has the id {words[1]} already", where=line, do="give another id")
    return None


def is_id(text: str) -> bool:
    """Whether a text can be the id of a jurisdiction, and so the name of its file."""
    return len(text) <= _LONGEST_ID and ID.fullmatch(text) is not None


def address_fault(address: str) -> str | None:
    """Why a text cannot be the address of a portal; None: it can."""
    if len(address) > _LONGEST_ADDRESS or not address.isprintable() or " " in address:
        return f"an address has at most {_LONGEST_ADDRESS:,} printable characters without spaces"
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return "it is not a web address"
    if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
        return "it is not an address that begins with http://, https:// or ftp://"
    return None


def address_digest(address: str) -> str:
    """16 hexadecimal digits that are equal for spellings of one address: host in upper case, a slash at the end, and
    for ArcGIS also the query."""
    parts = urlsplit(address)
    query = "" if portal_detection.kind_of(address) == "arcgis" else parts.query
    plain = (parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), query)
    return hashlib.sha256("\n".join(plain).encode()).hexdigest()[:16]


def origin(address: str) -> str:
    """The comment of a proposed file: the address that it was proposed for, without secrets. A later list finds it."""
    return f"Address {address_digest(address)}: {without_secrets(address)}"
