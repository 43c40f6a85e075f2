"""Extract the text of an untrusted document within limits. The parsers run in a child process, which may crash."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Any

from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances.reading import html_text
from zoning_assets.ordinances.reading.document import Document, join_pages


@dataclass(frozen=True)
class Limits:
    """The limits for reading one document."""

    bytes: int = 50_000_000
    characters: int = 10_000_000
    pages: int = 2_000
    memory_bytes: int = 1 << 30  # address space of the child
    cpu_s: int = 60
    wall_s: float = 90.0


#: Reason why a document is refused -> message, and what to do.
REFUSALS = {
    "large": ("is larger than allowed", "split it, or raise the limit"),
    "long": ("has more text than allowed", "split it, or raise the limit"),
    "pages": ("has more pages than allowed", "split it, or raise the limit"),
    "encrypted": ("is encrypted", "ask the city for a copy without a password"),
    "scanned": ("has no text: it is scanned; OCR it first", "apply OCR, then try again"),
    "malformed": ("is malformed", "download it again, or print it to a new PDF"),
    "time": ("takes too long to read", "print it to a new PDF, or raise the limit"),
    "memory": ("needs too much memory to read", "print it to a new PDF, or raise the limit"),
    "unknown": ("is neither HTML nor PDF", "use the HTML page or the PDF file"),
}
#: The most bytes of one character in JSON.
_JSON_BYTES_PER_CHARACTER = 6


def read_document(body: bytes, *, name: str = "document", limits: Limits = Limits()) -> Document:
    """Return the text of an HTML page or of a PDF with text. The format is detected from the content.

    Args:
        body: the document as it was downloaded.
        name: for messages only.
        limits: of size, time and memory.

    Raises:
        DocumentRefused: the document has another format, or cannot be read within the limits.
    """
    if len(body) > limits.bytes:
        raise refusal("large", name)
    if not (html_text.is_html(body) or is_pdf(body)):
        raise refusal("unknown", name)
    result = _parse_in_child(body, name, limits)
    if "refused" in result:
        raise refusal(str(result["refused"]), name, str(result.get("detail", "")))
    document = join_pages(result["pages"])
    if not any(map(str.isalnum, document.text)):
        raise refusal("scanned" if is_pdf(body) else "malformed", name)
    return document


def is_pdf(body: bytes) -> bool:
    """Whether the bytes are a PDF; other bytes may be before its signature."""
    return b"%PDF-" in body[:1024]


def refusal(why: str, name: str, detail: str = "") -> DocumentRefused:
    """Return the error for a key of REFUSALS."""
    what, do = REFUSALS.get(why, REFUSALS["malformed"])
    return DocumentRefused(f"{what}: {detail[:200]}" if detail else what, where=name[:200], do=do)


def _parse_in_child(body: bytes, name: str, limits: Limits) -> dict[str, Any]:
    with tempfile.TemporaryFile() as output:
        status = _run_child(body, output, name, limits)
        if status in {-signal.SIGXCPU, -signal.SIGKILL}:
            raise refusal("time", name)
        output.seek(0)
        try:
            result = json.load(output)
        except ValueError:  # the child died before it wrote a result
            raise refusal("malformed" if status < 0 else "memory", name) from None
    return result if isinstance(result, dict) else {"refused": "malformed"}


def _run_child(body: bytes, output: IO[bytes], name: str, limits: Limits) -> int:
    """Run the child, which reads the body and writes its result to a file; return its exit status."""
    written = limits.characters * _JSON_BYTES_PER_CHARACTER
    numbers = (limits.memory_bytes, limits.cpu_s, written, limits.pages, limits.characters)
    command = [sys.executable, "-P", "-m", "zoning_assets.ordinances.reading.parser_process", *map(str, numbers)]
    # Only the variables that Python needs, so that a compromised parser finds no passwords in its environment.
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            input=body,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=environ,
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise refusal("time", name) from None
    return done.returncode
