"""The text a person would see of an HTML page: blocks and table rows as lines, cells parted by bars."""

import re
from collections.abc import Iterator

from lxml import etree, html

_UNSEEN = frozenset({"script", "style", "template", "noscript", "head", "svg", "iframe", "object", "select"})
_INLINE = frozenset(
    [
        "a",
        "abbr",
        "b",
        "big",
        "cite",
        "code",
        "em",
        "font",
        "i",
        "ins",
        "label",
        "mark",
        "q",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "wbr",
    ]
)
_SPACES = re.compile(r"\s+")
_CELLS = frozenset({"td", "th"})
_HIDING = re.compile(r"display:none|visibility:hidden|font-size:0(?![.\d])|opacity:0(?![.\d])")
#: Elements of one document, counted by `<`; each takes a hundred bytes and more in memory.
MOST_NODES = 1_000_000


def looks_like(body: bytes) -> bool:
    """Whether bytes are a page of HTML, by what stands at their beginning."""
    head = body[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith(b"<") and bool(re.search(rb"<(!doctype html|html|head|body|div|p|table|h[1-6])\b", head))


def text_of(body: bytes) -> str:
    """What a page shows; entities of its own, other files and what is hidden by style are not looked at.

    Raises:
        ValueError: it has no elements, too many, or is nested too deep.
        MemoryError: it needs more than there is.
    """
    if body.count(b"<") > MOST_NODES:
        message = f"more than {MOST_NODES:,} elements"
        raise ValueError(message)
    parser = html.HTMLParser(
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding=_coding(body)
    )
    try:
        root = html.document_fromstring(body, parser)
    except etree.LxmlError as error:
        if "unknown error" in str(error):  # all that libxml2 says when it runs out of memory
            raise MemoryError from error
        message = " ".join(str(error).split())[:200] or "no elements"
        raise ValueError(message) from error
    if any(entry.type_name == "ERR_NAME_TOO_LONG" or "depth" in entry.message for entry in parser.error_log):
        message = "nested too deep"
        raise ValueError(message)
    return "".join(_shown(root))


def _coding(body: bytes) -> str | None:
    """UTF-8 where the bytes are; else what the page itself says, which lxml looks for."""
    try:
        body.decode()
    except UnicodeDecodeError:
        declared = re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{3,20})", body[:4096], re.IGNORECASE)
        return None if declared else "cp1252"
    return "utf-8"


def _shown(root: html.HtmlElement) -> Iterator[str]:
    """Pieces of text in order. Not recursive: a hostile page is nested deeper than Python's stack."""
    hidden = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        unseen = _is_unseen(element)
        if event == "start":
            hidden += unseen
            if not hidden:
                yield _before(element) + _spaced(element, element.text)
        else:
            hidden -= unseen
            if not hidden:
                yield _after(element) + _spaced(element.getparent(), element.tail)


def _is_unseen(element: html.HtmlElement) -> bool:
    if not isinstance(element.tag, str) or element.tag in _UNSEEN or "hidden" in element.attrib:
        return True
    return bool(_HIDING.search(element.get("style", "").lower().replace(" ", "")))


def _spaced(element: html.HtmlElement | None, text: str | None) -> str:
    """Text as it is shown: only where it is preformatted is a line's end one."""
    return text or "" if element is not None and element.tag == "pre" else _SPACES.sub(" ", text or "")


def _before(element: html.HtmlElement) -> str:
    return "" if element.tag in _INLINE or element.tag in _CELLS else "\n"


def _after(element: html.HtmlElement) -> str:
    if element.tag in _CELLS:
        return " | " if element.getnext() is not None else ""
    return "" if element.tag in _INLINE else "\n"
