"""Unpack a zip from a portal to a folder, or refuse it with a message of one line.

What belongs here: everything that can be wrong with an archive. What does not: its files (format_detection).
"""

import re
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import inflate

MOST_MEMBERS = 2_000  # a FileGDB has about ten files for each table
MOST_RATIO = 300  # bytes after and before decompression; blank .dbf columns reach 100, a zip bomb 1,000 and more
FREE_BYTES = 100 * 2**20  # smaller zips may exceed the ratio, for example with one wide blank column

#: Files that operating systems create; they are never data.
_LITTER = re.compile(r"^__MACOSX/|(^|/)(\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)
_ENCRYPTED, _UTF8 = 0x1, 0x800
#: Errors of the standard library for a damaged archive; NotImplementedError: an unsupported method or version.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, ValueError)


def unpack(  # noqa: PLR0913 - what, where to, and the bounds
    path: Path,
    into: Path,
    *,
    where: str,
    most_bytes: int,
    most_members: int = MOST_MEMBERS,
    packed: int | None = None,
) -> Path:
    """Unpack the zip at `path` to the folder `into`, and return it.

    `into` appears only when it is complete. An existing folder is reused, so its name must depend on the content. Names
    are relative paths with `/`, although the zip may have backslashes. A zip inside stays a zip.

    Args:
        path: the zip.
        into: the folder to create.
        where: the name of the file in messages.
        most_bytes: the most bytes after decompression.
        most_members: the most files.
        packed: the size of the download in bytes, if the zip was inside another one.

    Raises:
        FileRefused: it is not a zip, is damaged, too large or encrypted, or has unsafe names.
    """
    if into.is_dir():
        return into
    into.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=into.parent))
    try:
        _unpack(path, draft, where, most_bytes, most_members, packed or path.stat().st_size)
        _publish(draft, into)
    except inflate.TooMuchMemoryError as refusal:
        raise _refused(f"the zip cannot be unpacked: {refusal}", where, "ask for one packed with deflate") from refusal
    except _DAMAGE as damage:
        raise _refused(f"the zip is damaged or not a zip ({damage})", where, "download it again") from damage
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return into


def _publish(draft: Path, into: Path) -> None:
    """Rename the folder. If another process was faster, its folder is equal: the name depends on the content."""
    try:
        draft.rename(into)
    except OSError:
        if not into.is_dir():
            raise


def _unpack(  # noqa: PLR0913 - what, where to, and the bounds
    path: Path, draft: Path, where: str, most_bytes: int, most_members: int, packed: int
) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        members = [entry for entry in entries if not _LITTER.search(_name(entry)) and _name(entry) != "./"]
        if len(members) > most_members:
            raise _refused(f"the zip has {len(members):,} members; at most {most_members:,} are allowed", where)
        _check_sizes(members, packed, where, most_bytes)
        for entry in members:
            _check_kind(entry, where)
        names = [_safe_name(entry, where) for entry in members]
        _check_distinct(names, where)
        left = most_bytes
        for entry, name in zip(members, names, strict=True):
            left -= _write(archive, entry, draft / name, where, left)


def _check_sizes(members: Iterable[zipfile.ZipInfo], packed: int, where: str, most_bytes: int) -> None:
    """Check the sizes that the zip states. `_write` checks the actual sizes."""
    declared = sum(entry.file_size for entry in members)
    if declared > most_bytes:
        raise _refused(f"the zip expands to {declared:,} bytes; at most {most_bytes:,} are allowed", where)
    # Relative to the size of the file, because the packed sizes of overlapping members count the same bytes many times.
    if declared > FREE_BYTES and declared > MOST_RATIO * packed:
        raise _refused(
            f"the zip expands {declared // max(packed, 1):,}-fold; at most {MOST_RATIO}-fold is allowed", where
        )


def _check_kind(entry: zipfile.ZipInfo, where: str) -> None:
    name = _shown(entry)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.flag_bits & _ENCRYPTED:
        raise _refused(f"the zip's member {name} is encrypted", where, "ask the publisher for one without a password")
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise _refused(f"the zip's member {name} is a link or a device, not a file", where)
    if not inflate.is_known(entry.compress_type):
        method = inflate.name_of(entry.compress_type)
        do = "ask the publisher for one packed with deflate"
        raise _refused(f"the zip's member {name} is packed with {method}, which is not supported", where, do)


def _name(entry: zipfile.ZipInfo) -> str:
    """The member's name with `/` between folders (.NET before 4.6.1 and PowerShell write backslashes), decoded as UTF-8
    if it is UTF-8 without the flag (macOS), and composed (NFC) as in jurisdiction files.
    """
    raw = entry.orig_filename  # `filename` is cut at a NUL
    if not entry.flag_bits & _UTF8:
        with suppress(UnicodeError):
            raw = raw.encode("cp437").decode()
    return unicodedata.normalize("NFC", raw).replace("\\", "/")


def _safe_name(entry: zipfile.ZipInfo, where: str) -> PurePosixPath:
    """The member's name as a relative path that is safe on any system."""
    raw = _name(entry)
    parts = PurePosixPath(raw).parts
    if raw.startswith("/") or ".." in parts or re.match(r"^[A-Za-z]:", raw):
        raise _refused(f"the zip's member {_shown(entry)} has a path outside its folder", where)
    if not parts or not raw.isprintable() or ":" in raw or any(len(part.encode()) > 200 for part in parts):
        raise _refused(f"the zip's member {_shown(entry)} has a name that is not safe to write", where)
    return PurePosixPath(*parts)


def _check_distinct(names: list[PurePosixPath], where: str) -> None:
    """Check that no name occurs twice, ignoring case."""
    seen: set[str] = set()
    for name in names:
        key = str(name).casefold()
        if key in seen:
            raise _refused(f"the zip has two members named {str(name)!r}", where)
        seen.add(key)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, where: str, left: int) -> int:
    """Write a member, at most `left` bytes; return the bytes written. `inflate` checks the CRC after the last byte."""
    try:
        if _name(entry).endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        return _inflate(archive, entry, target, where, left)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as clash:
        raise _refused(f"the zip's member {_shown(entry)} is both a file and a folder", where) from clash


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, where: str, left: int) -> int:
    written = 0
    with target.open("xb") as sink:
        for piece in inflate.pieces(archive, entry):
            written += len(piece)
            if written > min(left, entry.file_size):
                raise _refused("the zip expands beyond what it declares and what is allowed", where)
            sink.write(piece)
    if written != entry.file_size:
        raise _refused(f"the zip's member {_shown(entry)} is shorter than declared", where, "download it again")
    return written


def _shown(entry: zipfile.ZipInfo) -> str:
    """The name for messages: quoted, control characters escaped, shortened."""
    return repr(entry.orig_filename[:80])


def _refused(what: str, where: str, do: str = "look at the file before you trust it") -> FileRefused:
    return FileRefused(what, where=where, do=do)
