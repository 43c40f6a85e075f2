"""Save proposals as jurisdiction files: one file an address and an id, and never over another file."""

import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoning_assets.cli import proposals
from zoning_assets.cli.display import terminal
from zoning_assets.cli.proposals import CachedProposal
from zoning_assets.errors import SettingInvalid, ZoningError
from zoning_assets.model import PARCELS
from zoning_assets.redaction import without_secrets

if TYPE_CHECKING:
    from zoning_assets.onboarding.address_list import ListedAddress
    from zoning_assets.onboarding.many_portals import PortalResult

PROPOSED, WRITTEN, EXISTS, FAILED = "proposed", "written", "exists", "failed"
#: The comment that `address_list.origin` writes.
_ORIGIN = re.compile(r"^# Address ([0-9a-f]{16}):", re.MULTILINE)
#: The most characters of a cell on a terminal, so that a line has at most 80.
_CELLS = {"id": 22, "layer": 14, "key": 11, "CRS": 10}
_ADDRESS_CELL, _WHY_CELL = 24, 44


@dataclass(frozen=True)
class PortalReport:
    """What became of an address: its proposal, or why there is none and what to do."""

    where: str  # the line of the list, or the entry of the catalogue
    address: str  # without secrets
    state: str
    id: str | None = None
    proposal: dict[str, Any] = field(default_factory=dict)
    trial: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    why: str = ""
    do: str = ""
    requests: int = 0
    seconds: float = 0.0

    @classmethod
    def of_invalid(cls, where: str, text: str, error: ZoningError) -> "PortalReport":
        """The report of a line or an entry that is not valid."""
        return cls(where, terminal.printable(shown(text)), FAILED, why=error.what, do=error.do)

    @classmethod
    def of_error(cls, result: "PortalResult", error: ZoningError) -> "PortalReport":
        """The report of an address whose portal did not deliver a layer."""
        listed = result.listed
        report = cls(listed.where, shown(listed.address), FAILED, listed.id, why=error.what, do=error.do)
        return report.with_cost(result.requests, result.seconds)

    def with_cost(self, requests: int, seconds: float) -> "PortalReport":
        """The report with the number of requests and the time in seconds."""
        return replace(self, requests=requests, seconds=seconds)

    def row(self) -> dict[str, Any]:
        """A row of the table of proposals."""
        feed = self._feed()
        cells = {"id": self.id, "layer": feed.get("layer"), "key": self._key(), "CRS": _crs(feed.get("crs"))}
        cut = {name: _cut(value, _CELLS[name]) for name, value in cells.items()}
        return {**cut, "rows": feed.get("rows"), "result": self.state, "address": self._short()}

    def failed_row(self) -> dict[str, Any]:
        """A row of the table of addresses that need a person."""
        return {
            "line": self.where,
            "why": _cut(self.why, _WHY_CELL),
            "address": self._short(),
            "do": self.do,
        }

    def as_dict(self) -> dict[str, Any]:
        """The member of `proposals` in the JSON document."""
        feed = self._feed()
        found = {"address": self.address, "id": self.id, "layer": feed.get("layer"), "key": self._key()}
        found |= {"crs": feed.get("crs"), "rows": feed.get("rows"), "result": self.state, "written": self.path}
        cost = {"requests": self.requests, "seconds": self.seconds}
        return {"line": self.where, **found, **cost, "trial": self.trial, "toml": self.proposal.get("toml")}

    def as_failed(self) -> dict[str, Any]:
        """The member of `failed` in the JSON document."""
        cost = {"requests": self.requests, "seconds": self.seconds}
        return {"line": self.where, "address": self.address, "id": self.id, "why": self.why, "do": self.do, **cost}

    def _short(self) -> str:
        """The address; on a terminal its beginning without the scheme."""
        if not terminal.is_terminal():
            return self.address
        return str(_cut(self.address.partition("://")[2] or self.address, _ADDRESS_CELL))

    def _feed(self) -> dict[str, Any]:
        feeds = self.proposal.get("feeds") or {}
        return dict(feeds.get(PARCELS) or next(iter(feeds.values()), {}))

    def _key(self) -> str | None:
        columns = self._feed().get("columns", {}).get("key")
        return str(columns[0]["column"]) if columns else None


@dataclass
class Filing:
    """The folder of the user's files, and what is proposed for it.

    Attributes:
        folder: the folder; it need not exist.
        write: whether files are written.
        known: digest of an address (address_list.address_digest) -> the file that was proposed for it or names it.
        taken: id -> where it was proposed.
        filed: digest of an address, and the layer -> what was proposed for it. A catalogue may list a layer twice.
    """

    folder: Path
    write: bool
    known: dict[str, Path]
    taken: dict[str, str] = field(default_factory=dict)
    filed: dict[tuple[str, str | None], PortalReport] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, *, write: bool) -> "Filing":
        """Read which addresses the files of a folder have."""
        files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
        return cls(folder, write, {digest: path for path in files for digest in _digests(path)})

    def find(self, listed: "ListedAddress") -> PortalReport | None:
        """The report of an address that has a file; None: it has none."""
        from zoning_assets.onboarding.address_list import address_digest  # noqa: PLC0415

        path = self.known.get(address_digest(listed.address))
        if path is None:
            return None
        self.taken[path.stem] = listed.where
        return PortalReport(listed.where, shown(listed.address), EXISTS, path.stem, path=str(path))

    def file(self, listed: "ListedAddress", found: CachedProposal, lacks: str = "") -> PortalReport:
        """Save a proposal, or only report it; one whose test failed, or that `lacks` something, needs a person."""
        from zoning_assets.onboarding.address_list import address_digest  # noqa: PLC0415

        address, proposal, trial = shown(listed.address), dict(found.proposal), dict(found.trial)
        key = (address_digest(listed.address), listed.layer)
        if same := self.filed.get(key):
            return PortalReport(listed.where, address, EXISTS, same.id, path=same.path)
        report = PortalReport(listed.where, address, PROPOSED, found.id, proposal, trial)
        if fault := _fault(proposal, trial):
            do = f"`zoning onboard {address}` shows the proposal; correct it, then save it"
            return replace(report, state=FAILED, why=fault, do=do)
        if lacks:
            return replace(report, state=FAILED, why=lacks, do="--probe asks the portal")
        path = self.folder / f"{found.id}.toml"
        first = self.taken.setdefault(found.id, listed.where)
        if first != listed.where or path.exists():
            owner = first if first != listed.where else f"the file {path.name}"
            do = "write another id after the address in a list (`zoning onboard --list`)"
            return replace(report, state=FAILED, why=f"{owner} has the id {found.id} already", do=do)
        if self.write:
            try:
                proposals.write(path, found.toml)
            except SettingInvalid as error:
                return replace(report, state=FAILED, why=error.what, do=error.do)
            report = replace(report, state=WRITTEN, path=str(path))
        self.filed[key] = report
        return report


def _fault(proposal: dict[str, Any], trial: dict[str, Any]) -> str:
    """Why a tested proposal is not saved without a person; empty: it is."""
    if error := trial.get("error"):
        return f"the test with one page failed: {error}"
    if trial.get("fetched") and not trial.get("accepted"):
        return f"no row of the first page was accepted: {trial.get('why')}"
    if trial and not proposal.get("bounds"):
        return "the portal does not state where its rows are"
    return ""


def _digests(path: Path) -> list[str]:
    """The digests of the addresses that a file names: that of its proposal, and those of its feeds."""
    from zoning_assets.onboarding.address_list import address_digest  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
        feeds = tomllib.loads(text).get("feeds", {})
        urls = [each["url"] for each in feeds.values() if "://" in each.get("url", "")]
        return _ORIGIN.findall(text) + [address_digest(each) for each in urls]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):  # not a jurisdiction file
        return []


def shown(address: str) -> str:
    """The address without secrets; a text that is no address as it is."""
    try:
        return without_secrets(address) if "://" in address else address
    except ValueError:
        return address.partition("?")[0]


def _crs(crs: Any) -> Any:
    return "WKT" if isinstance(crs, str) and len(crs) > _CELLS["CRS"] else crs


def _cut(value: Any, most: int) -> Any:
    """A text that fits a cell of a terminal; elsewhere it is complete."""
    if not terminal.is_terminal() or not isinstance(value, str) or len(value) <= most:
        return value
    return f"{value[: most - 1]}…"
