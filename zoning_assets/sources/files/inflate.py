"""Decompress the members of a zip in pieces of bounded size, with every method that occurs in practice.

The standard library decompresses bzip2 and LZMA block by block without a limit, and does not support Deflate64 (used by
Windows above 2 GB), Zstandard and XZ. What belongs here: methods. What does not: names and sizes (zip_archive).
"""

import bz2
import copy
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol

import inflate64
import zstandard

CHUNK_BYTES = 2**20
#: The most memory that a method may use for its history.
MOST_MEMORY = 128 * 2**20
#: Deflate64 makes at most 2^16 bytes of about two bytes; a piece of this size becomes at most 30 MB.
_DEFLATE64_BYTES = 1024
_READ_BYTES = 2**16

#: Unsupported method -> its name. Source: .ZIP File Format Specification (APPNOTE.TXT), 4.4.5.
_NAMES = {
    1: "Shrink",
    **dict.fromkeys((2, 3, 4, 5), "Reduce"),
    6: "Implode",
    10: "PKWARE Implode",
    96: "JPEG",
    98: "PPMd",
}


class _Stream(Protocol):
    """The common interface of bz2 and lzma decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class TooMuchMemoryError(ValueError):
    """A member needs more than MOST_MEMORY to be decompressed."""


def is_known(method: int) -> bool:
    """Whether this compression method is supported."""
    return method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or method in _METHODS


def name_of(method: int) -> str:
    """The name of a method, for messages."""
    return _NAMES.get(method, f"method {method}")


def pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Decompress a member.

    Raises:
        zipfile.BadZipFile: it is damaged, or its checksum (CRC-32) differs from the zip's.
        TooMuchMemoryError: it needs too much memory.
    """
    if entry.compress_type not in _METHODS:
        with archive.open(entry) as source:  # checks the CRC itself
            while piece := source.read(CHUNK_BYTES):
                yield piece
        return
    sum_, packed = 0, copy.copy(entry)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, entry.compress_size
    del packed.CRC  # it is that of the decompressed bytes
    try:
        with archive.open(packed) as source:
            for piece in _METHODS[entry.compress_type](source):
                sum_ = zlib.crc32(piece, sum_)
                yield piece
    except (lzma.LZMAError, zstandard.ZstdError, OSError, struct.error, EOFError) as damage:
        message = f"{entry.filename[:80]!r}: {damage}"
        raise zipfile.BadZipFile(message) from damage
    if sum_ != entry.CRC:
        message = f"Bad CRC-32 for file {entry.filename[:80]!r}"
        raise zipfile.BadZipFile(message)


def _deflate64(source: IO[bytes]) -> Iterator[bytes]:
    stream = inflate64.Inflater()
    while not stream.eof and (data := source.read(_DEFLATE64_BYTES)):
        yield stream.inflate(data)


def _bzip2(source: IO[bytes]) -> Iterator[bytes]:
    return _streamed(bz2.BZ2Decompressor(), source)


def _xz(source: IO[bytes]) -> Iterator[bytes]:
    return _streamed(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY), source)


def _lzma(source: IO[bytes]) -> Iterator[bytes]:
    """LZMA in a zip begins with: version, size of the properties, a byte of three numbers, dictionary size."""
    size = struct.unpack("<xxH", source.read(4))[0]
    numbers, memory = struct.unpack("<BI", source.read(size)[:5])
    if memory > MOST_MEMORY:
        message = f"it needs {memory:,} bytes of memory to be unpacked"
        raise TooMuchMemoryError(message)
    properties = {"lc": numbers % 9, "lp": numbers // 9 % 5, "pb": numbers // 45, "dict_size": max(memory, 4096)}
    filters = [{"id": lzma.FILTER_LZMA1, **properties}]
    return _streamed(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), source)


def _zstandard(source: IO[bytes]) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor(max_window_size=MOST_MEMORY).stream_reader(source, read_size=_READ_BYTES) as stream:
        while piece := stream.read(CHUNK_BYTES):
            yield piece


def _streamed(stream: _Stream, source: IO[bytes]) -> Iterator[bytes]:
    while not stream.eof:
        data = source.read(_READ_BYTES) if stream.needs_input else b""
        if stream.needs_input and not data:
            return  # LZMA need not mark its end; size and checksum are compared later
        yield stream.decompress(data, CHUNK_BYTES)


_METHODS: dict[int, Callable[[IO[bytes]], Iterator[bytes]]] = {
    9: _deflate64,
    12: _bzip2,
    14: _lzma,
    93: _zstandard,
    95: _xz,
}
