"""Parse XML from untrusted portals: without entities, without network access, within limits of size.

Namespaces are ignored, because each version of a protocol has its own.
"""

import re
from collections.abc import Iterator

from lxml import etree

from zoning_assets.transform.decode import text_encoding

Element = etree._Element  # noqa: SLF001 - lxml gives the class no other name

MAX_BYTES = 64 << 20
#: Elements and attributes of one document, counted by `<` and `=`; each needs over a hundred bytes of memory.
_MAX_NODES = 3_000_000
#: Control characters, literal or as character references; XML 1.0 allows only tab, line feed and carriage return.
_FORBIDDEN = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01])|[xX]0*(?:[0-8bcBC]|0?[eEfF]|1[0-9a-fA-F]));"
)
_ENCODING = re.compile(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.-]+)[\"']")
_TEXT = re.compile(rb"[^<>\"]+")
_DECLARED = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def parse(body: bytes) -> Element:
    """Parse a document and return its root.

    Raises:
        ValueError: the document is not XML, is too large, is in UTF-16 or UTF-32, or declares a document type or
            entities.
    """
    if len(body) > MAX_BYTES or max(body.count(b"<"), body.count(b"=")) > _MAX_NODES:
        message = f"the XML is larger than {MAX_BYTES >> 20} MiB, or than {_MAX_NODES:,} elements"
        raise ValueError(message)
    if _DECLARED.search(body) or b"\0" in body[:256]:
        message = f"XML with a document type, or in UTF-16, is not accepted: {body[:80]!r}"
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
        if (repaired := _repair(body)) != body:
            return parse(repaired)
        message = f"invalid XML: {' '.join(str(error).split())[:200]}"
        raise ValueError(message) from error


def _repair(body: bytes) -> bytes:
    """Remove the control characters that XML forbids, and convert each text to UTF-8."""
    body = _FORBIDDEN.sub(b"", body)
    encoding = _ENCODING.match(body)
    claimed = encoding is None or encoding[1].lower() in (b"utf-8", b"utf8", b"us-ascii")
    if claimed and not text_encoding.is_utf8(body):
        body = _TEXT.sub(lambda text: text_encoding.decode_value(text[0]).encode(), body)
    return body


def name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return str(etree.QName(element).localname)


def children(element: Element, *names: str) -> list[Element]:
    """Return the child elements with these names, or all."""
    return [each for each in element if isinstance(each.tag, str) and (not names or name(each) in names)]


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """Yield the elements inside at any depth with these names, in document order."""
    return (each for each in element.iter(etree.Element) if each is not element and name(each) in names)


def text(element: Element | None, most: int = 1_000_000) -> str:
    """Return all text inside, stripped and cut to a length."""
    return "" if element is None else "".join(map(str, element.itertext()))[:most].strip()


def text_at(element: Element, *path: str) -> str:
    """Return the text at a path of names, using the first matching element of each step; empty if there is none."""
    found: Element | None = element
    for step in path:
        found = next(iter(children(found, step)), None) if found is not None else None
    return text(found)


def attribute(element: Element, wanted: str) -> str:
    """Return an attribute by its name without namespace; empty if there is none."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == wanted:
            return str(value)
    return ""
