"""XML of strangers: read without entities, without the network, and within limits; namespaces are not looked at, as
each version of a protocol has its own."""

import re
from collections.abc import Iterator

from lxml import etree

Element = etree._Element  # noqa: SLF001 - lxml gives the class no other name

MOST_BYTES = 64 << 20
#: Elements and attributes of one document, counted by `<` and `=`; each takes a hundred bytes and more in memory.
_MOST_NODES = 3_000_000
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
        root = etree.fromstring(body, parser)
    except etree.LxmlError as error:
        message = f"no XML: {' '.join(str(error).split())[:200]}"
        raise ValueError(message) from error
    return root


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
