"""The child process that parses a document: bytes on stdin, JSON on stdout. It limits its own resources first.

The parent does not trust the result: an untrusted file may crash or compromise a parser, but only in this process.
"""

import io
import json
import resource
import sys

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from zoning_assets.ordinances.reading import html_text


class _DocumentError(Exception):
    """Ends the parsing; the message is a key of document_reader.REFUSALS."""


def main(memory: int, cpu_s: int, written: int, most_pages: int, most_characters: int) -> None:
    """Read stdin and write `{"pages": [...]}` or `{"refused": KEY, "detail": ...}`."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    body = sys.stdin.buffer.read()
    try:
        result: dict[str, object] = {"pages": _pages(body, most_pages, most_characters)}
    except _DocumentError as refused:
        result = {"refused": str(refused)}
    except (MemoryError, RecursionError):
        result = {"refused": "memory"}
    except Exception:  # noqa: BLE001 - parsers raise errors of any class for malformed files
        result = {"refused": "malformed", "detail": "it is damaged, or in another format"}
    sys.stdout.write(json.dumps(result))


def _pages(body: bytes, most_pages: int, most_characters: int) -> list[str]:
    pages = [html_text.text_of(body)] if html_text.is_html(body) else _pdf_pages(body, most_pages, most_characters)
    if sum(map(len, pages)) > most_characters:
        raise _DocumentError("long")
    return pages


def _pdf_pages(body: bytes, most_pages: int, most_characters: int) -> list[str]:
    try:
        reader = PdfReader(io.BytesIO(body))
        # Many cities protect only printing; then the password for reading is empty.
        if reader.is_encrypted and not reader.decrypt(""):
            raise _DocumentError("encrypted")
        if len(reader.pages) > most_pages:
            raise _DocumentError("pages")
        pages: list[str] = []
        for page in reader.pages:
            pages.append(page.extract_text())
            most_characters -= len(pages[-1])
            if most_characters < 0:
                raise _DocumentError("long")
    except (DependencyError, FileNotDecryptedError):
        raise _DocumentError("encrypted") from None
    except LimitReachedError:
        raise _DocumentError("memory") from None
    return pages


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
