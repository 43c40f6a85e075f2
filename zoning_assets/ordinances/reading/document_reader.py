"""A stranger's document to running text, within limits. The parsers run in a child process that may die alone."""

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
from zoning_assets.ordinances.reading.document import Document, joined


@dataclass(frozen=True)
class Limits:
    """What reading one document may take."""

    bytes: int = 50_000_000
    characters: int = 10_000_000
    pages: int = 2_000
    memory_bytes: int = 1 << 30  # address space of the child
    cpu_s: int = 60
    wall_s: float = 90.0


#: What cannot be read, by name: what it is, what to do.
REFUSALS = {
    "large": ("is larger than allowed", "split it, or raise the limit"),
    "long": ("holds more text than allowed", "split it, or raise the limit"),
    "pages": ("has more pages than allowed", "split it, or raise the limit"),
    "encrypted": ("is encrypted", "ask the city for a copy without a password"),
    "scanned": ("has no text in it: it is scanned; OCR it first", "OCR it, then try again"),
    "malformed": ("is malformed", "download it again, or print it to a new PDF"),
    "time": ("takes too long to read", "print it to a new PDF, or raise the limit"),
    "memory": ("needs too much memory to read", "print it to a new PDF, or raise the limit"),
    "unknown": ("is neither HTML nor PDF", "give the page or the PDF itself"),
}
#: Bytes of JSON that a character may take when written.
_WRITTEN_BYTES = 6


def read(body: bytes, *, name: str = "document", limits: Limits = Limits()) -> Document:
    """The running text of an HTML page or of a PDF with text; which of them it is, its content says.

    Args:
        body: the document as it was downloaded.
        name: for messages only.
        limits: of size, time and memory.

    Raises:
        DocumentRefused: it is neither, or cannot be read within the limits; the message says which.
    """
    if len(body) > limits.bytes:
        raise refusal("large", name)
    if not (html_text.looks_like(body) or is_pdf(body)):
        raise refusal("unknown", name)
    said = _said_by_child(body, name, limits)
    if "refused" in said:
        raise refusal(str(said["refused"]), name, str(said.get("detail", "")))
    document = joined(said["pages"])
    if not any(map(str.isalnum, document.text)):
        raise refusal("scanned" if is_pdf(body) else "malformed", name)
    return document


def is_pdf(body: bytes) -> bool:
    """Whether bytes are a PDF, whose mark may stand after some rubbish."""
    return b"%PDF-" in body[:1024]


def refusal(why: str, name: str, detail: str = "") -> DocumentRefused:
    """The error for a key of `REFUSALS`."""
    what, do = REFUSALS.get(why, REFUSALS["malformed"])
    return DocumentRefused(f"{what}: {detail[:200]}" if detail else what, where=name[:200], do=do)


def _said_by_child(body: bytes, name: str, limits: Limits) -> dict[str, Any]:
    with tempfile.TemporaryFile() as answer:
        status = _run_child(body, answer, name, limits)
        if status in {-signal.SIGXCPU, -signal.SIGKILL}:
            raise refusal("time", name)
        answer.seek(0)
        try:
            said = json.load(answer)
        except ValueError:  # it died before it answered
            raise refusal("malformed" if status < 0 else "memory", name) from None
    return said if isinstance(said, dict) else {"refused": "malformed"}


def _run_child(body: bytes, answer: IO[bytes], name: str, limits: Limits) -> int:
    """The exit status of the child that reads the body and writes to the file."""
    written = limits.characters * _WRITTEN_BYTES
    numbers = (limits.memory_bytes, limits.cpu_s, written, limits.pages, limits.characters)
    command = [sys.executable, "-P", "-m", "zoning_assets.ordinances.reading.parser_process", *map(str, numbers)]
    # Of the environment only what Python needs: a parser that is taken over finds no passwords.
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            input=body,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env=environ,
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise refusal("time", name) from None
    return done.returncode
