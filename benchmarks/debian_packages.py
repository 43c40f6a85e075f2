"""External programs from Debian's signed packages: unpacked below `.zoning`, never installed."""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from zoning_assets.errors import MachineRefused
from zoning_assets.local_postgres import packages
from zoning_assets.local_postgres.data_folder import locked


def unpacked(tree: Path, wanted: Sequence[str], beside: Sequence[str] = ()) -> Path:
    """Unpack packages, with the dependencies that the machine does not have, into a folder; once.

    Args:
        tree: the folder; `usr` of the packages is below it.
        wanted: names of packages.
        beside: packages to unpack if they are dependencies, even if the machine has them.

    Returns:
        `tree`.

    Raises:
        ZoningError: the packages are not available.
    """
    if not packages.possible():
        raise MachineRefused("this is not Debian", where=", ".join(wanted), do="install it yourself")
    tree.parent.mkdir(parents=True, exist_ok=True)
    with locked(tree.parent / "lock"):
        if not tree.is_dir():
            _unpack(tree, wanted, beside)
    return tree


def _unpack(tree: Path, wanted: Sequence[str], beside: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="zoning-apt-") as top, tempfile.TemporaryDirectory(dir=tree.parent) as name:
        draft = Path(name) / "tree"
        draft.mkdir()
        for deb in _downloaded(Path(top), wanted, beside):
            packages.run(["dpkg-deb", "-x", str(deb), str(draft)], dict(os.environ), tree.parent)
        shutil.move(draft, tree)


def _downloaded(top: Path, wanted: Sequence[str], beside: Sequence[str]) -> list[Path]:
    """Download the packages and their dependencies; return the files."""
    environ = packages.private_apt(top)
    (top / "status").write_text(without((top / "status").read_text(), {*wanted, *beside}))
    packages.run(["apt-get", "-q", "update"], environ, top)
    plan = packages.run(["apt-get", "-q", "-s", "--no-install-recommends", "install", *wanted], environ, top)
    needed = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    (top / "debs").mkdir()
    packages.run(["apt-get", "-q", "download", *needed], environ, top / "debs")
    return sorted((top / "debs").glob("*.deb"))


def without(status: str, names: Collection[str]) -> str:
    """Return dpkg's status without these packages, and without those that depend on them: apt makes no plan for a
    machine where a package lacks a dependency."""
    entries, gone = status.split("\n\n"), set(names)
    while leaving := [entry for entry in entries if _named(entry, "Package") & gone or _named(entry, "Depends") & gone]:
        gone |= {name for entry in leaving for name in _named(entry, "Package")}
        entries = [entry for entry in entries if entry not in leaving]
    return "\n\n".join(entries)


def _named(entry: str, field: str) -> set[str]:
    """The packages that a field of an entry names."""
    found = re.search(rf"^{field}: (.*)", entry, re.MULTILINE)
    return set(re.findall(r"(?:^|[,|] *)([a-z0-9][a-z0-9+.-]*)", found[1])) if found else set()
