"""XML of strangers: read without entities, without the network, and within limits; namespaces are not looked at, as
each version of a protocol has its own."""

import re
from collections.abc import Iterator

from lxml import etree

from zoning_assets.transform.decode import text_encoding

Element = etree._Element  # noqa: SLF001 - lxml gives the class no other name

MOST_BYTES = 64 << 20
#: Elements and attributes of one document, counted by `<` and `=`; each takes a hundred bytes and more in memory.
_MOST_NODES = 3_000_000
#: Control characters, as they are or by their number; XML 1.0 has only tab, line feed and carriage return of them.
_FORBIDDEN = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01])|[xX]0*(?:[0-8bcBC]|0?[eEfF]|1[0-9a-fA-F]));"
)
_ENCODING = re.compile(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.-]+)[\"']")
_TEXT = re.compile(rb"[^<>\"]+")
_DECLARED = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def parse(body: bytes) -> Element:
    """The root of a document.

    Raises:
        ValueError: it is no XML, too large, in an encoding that hides what is looked for here, or declares entities.
    """
    if len(body) > MOST_BYTES or max(body.count(b"<"), body.count(b"=")) > _MOST_NODES:
        message = f"the XML is larger than {MOST_BYTES >> 20} MiB, or than {_MOST_NODES:,} elements"
        raise ValueError(message)
    if _DECLARED.search(body) or b"\0" in body[:256]:
        message = f"no XML without a document type: {body[:80]!r}"
        raise ValueError(message)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(body, parser)
    except etree.LxmlError as error:
        if (mended := _mended(body)) != body:
            return parse(mended)
        message = f"no XML: {' '.join(str(error).split())[:200]}"
        raise ValueError(message) from error


def _mended(body: bytes) -> bytes:
    """The document without the control characters that XML forbids, each of its texts in UTF-8."""
    body = _FORBIDDEN.sub(b"", body)
    encoding = _ENCODING.match(body)
    claimed = encoding is None or encoding[1].lower() in (b"utf-8", b"utf8", b"us-ascii")
    if claimed and not text_encoding.is_utf8(body):
        body = _TEXT.sub(lambda text: text_encoding.decoded(text[0]).encode(), body)
    return body


def name(element: Element) -> str:
    """An element's name without its namespace."""
    return str(etree.QName(element).localname)


def children(element: Element, *names: str) -> list[Element]:
    """The elements directly within, of these names, or all."""
    return [each for each in element if isinstance(each.tag, str) and (not names or name(each) in names)]


def within(element: Element, *names: str) -> Iterator[Element]:
    """The elements within at any depth, of these names, in the document's order."""
    return (each for each in element.iter(etree.Element) if each is not element and name(each) in names)


def text(element: Element | None, most: int = 1_000_000) -> str:
    """All text within, trimmed and cut to a length."""
    return "" if element is None else "".join(map(str, element.itertext()))[:most].strip()


def said(element: Element, *path: str) -> str:
    """The text at a path of names, of the first element on each step; empty where there is none."""
    found: Element | None = element
    for step in path:
        found = next(iter(children(found, step)), None) if found is not None else None
    return text(found)


def attribute(element: Element, wanted: str) -> str:
    """An attribute by its name without namespace; empty where there is none."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == wanted:
            return str(value)
    return ""
