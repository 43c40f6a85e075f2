"""Extract the visible text of an HTML page: blocks and table rows become lines, cells are separated by bars."""

import re
from collections.abc import Iterator

from lxml import etree, html

_HIDDEN_TAGS = frozenset({"script", "style", "template", "noscript", "head", "svg", "iframe", "object", "select"})
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
_HIDING_STYLE = re.compile(r"display:none|visibility:hidden|font-size:0(?![.\d])|opacity:0(?![.\d])")
#: Elements of one document, counted by `<`; each needs over a hundred bytes of memory.
MAX_NODES = 1_000_000


def is_html(body: bytes) -> bool:
    """Whether the bytes are an HTML page, detected from their start."""
    head = body[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith(b"<") and bool(re.search(rb"<(!doctype html|html|head|body|div|p|table|h[1-6])\b", head))


def text_of(body: bytes) -> str:
    """Return the visible text of a page. Entities, other files and elements hidden by style are not read.

    Raises:
        ValueError: the page has no elements, too many elements, or is nested too deep.
        MemoryError: there is not enough memory.
    """
    if body.count(b"<") > MAX_NODES:
        message = f"more than {MAX_NODES:,} elements"
        raise ValueError(message)
    parser = html.HTMLParser(
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding=_encoding(body)
    )
    try:
        root = html.document_fromstring(body, parser)
    except etree.LxmlError as error:
        if "unknown error" in str(error):  # the message of libxml2 if memory is exhausted
            raise MemoryError from error
        message = " ".join(str(error).split())[:200] or "no elements"
        raise ValueError(message) from error
    if any(entry.type_name == "ERR_NAME_TOO_LONG" or "depth" in entry.message for entry in parser.error_log):
        message = "nested too deep"
        raise ValueError(message)
    return "".join(_visible_text(root))


def _encoding(body: bytes) -> str | None:
    """Return the encoding: UTF-8 if the bytes are valid UTF-8, None if the page declares one, else Windows-1252."""
    try:
        body.decode()
    except UnicodeDecodeError:
        declared = re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{3,20})", body[:4096], re.IGNORECASE)
        return None if declared else "cp1252"
    return "utf-8"


def _visible_text(root: html.HtmlElement) -> Iterator[str]:
    """Yield the pieces of text in order. Not recursive, because a hostile page may be nested very deep."""
    hidden = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        unseen = _is_hidden(element)
        if event == "start":
            hidden += unseen
            if not hidden:
                yield _separator_before(element) + _collapse_spaces(element, element.text)
        else:
            hidden -= unseen
            if not hidden:
                yield _separator_after(element) + _collapse_spaces(element.getparent(), element.tail)


def _is_hidden(element: html.HtmlElement) -> bool:
    if not isinstance(element.tag, str) or element.tag in _HIDDEN_TAGS or "hidden" in element.attrib:
        return True
    return bool(_HIDING_STYLE.search(element.get("style", "").lower().replace(" ", "")))


def _collapse_spaces(element: html.HtmlElement | None, text: str | None) -> str:
    """Collapse white space as a browser does, except in preformatted text."""
    return text or "" if element is not None and element.tag == "pre" else _SPACES.sub(" ", text or "")


def _separator_before(element: html.HtmlElement) -> str:
    return "" if element.tag in _INLINE or element.tag in _CELLS else "\n"


def _separator_after(element: html.HtmlElement) -> str:
    if element.tag in _CELLS:
        return " | " if element.getnext() is not None else ""
    return "" if element.tag in _INLINE else "\n"
