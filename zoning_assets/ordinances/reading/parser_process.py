"""The child process that reads a document: bytes on stdin, JSON on stdout. It limits itself before it reads.

Nothing here is trusted by the parent: what a parser of strangers' files does, it does to this process only.
"""

import io
import json
import resource
import sys

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from zoning_assets.ordinances.reading import html_text


class _Refused(Exception):
    """Ends the reading; the message is a key of `reading.REFUSALS`."""


def main(memory: int, cpu_s: int, written: int, most_pages: int, most_characters: int) -> None:
    """Read stdin and write `{"pages": [...]}` or `{"refused": KEY, "detail": ...}`."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    body = sys.stdin.buffer.read()
    try:
        said: dict[str, object] = {"pages": _pages(body, most_pages, most_characters)}
    except _Refused as refused:
        said = {"refused": str(refused)}
    except (MemoryError, RecursionError):
        said = {"refused": "memory"}
    except Exception:  # noqa: BLE001 - a parser fails on a stranger's file in every way there is
        said = {"refused": "malformed", "detail": "it is damaged, or no document of this kind"}
    sys.stdout.write(json.dumps(said))


def _pages(body: bytes, most_pages: int, most_characters: int) -> list[str]:
    pages = [html_text.text_of(body)] if html_text.looks_like(body) else _pdf_pages(body, most_pages, most_characters)
    if sum(map(len, pages)) > most_characters:
        raise _Refused("long")
    return pages


def _pdf_pages(body: bytes, most_pages: int, most_characters: int) -> list[str]:
    try:
        reader = PdfReader(io.BytesIO(body))
        # Many cities lock only printing: the reader's password is then empty.
        if reader.is_encrypted and not reader.decrypt(""):
            raise _Refused("encrypted")
        if len(reader.pages) > most_pages:
            raise _Refused("pages")
        pages: list[str] = []
        for page in reader.pages:
            pages.append(page.extract_text())
            most_characters -= len(pages[-1])
            if most_characters < 0:
                raise _Refused("long")
    except (DependencyError, FileNotDecryptedError):
        raise _Refused("encrypted") from None
    except LimitReachedError:
        raise _Refused("memory") from None
    return pages


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
