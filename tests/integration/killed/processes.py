"""Who runs, from /proc."""

from collections.abc import Iterator
from pathlib import Path


def _stats() -> Iterator[tuple[int, int, int]]:
    """Process, parent, session; of all that are no zombies."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                yield int(entry.name), int(fields[1]), int(fields[3])


def in_session(session: int) -> list[int]:
    """What a program started, it included, though it may be dead."""
    return sorted(pid for pid, _, of in _stats() if of == session)


def below(parent: int) -> list[int]:
    """Children, and theirs."""
    pairs = [(pid, of) for pid, of, _ in _stats()]
    found, new = set[int](), {parent}
    while new := {pid for pid, of in pairs if of in new} - found:
        found |= new
    return sorted(found)


def command(pid: int) -> str:
    """Its command line; empty where it is gone."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
