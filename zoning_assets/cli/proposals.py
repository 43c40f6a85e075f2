"""Proposals of `zoning onboard`, cached for an hour, so that `--write` need not read the portal again."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from zoning_assets import jurisdictions, os_errors
from zoning_assets.errors import SettingInvalid

_KEPT_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class CachedProposal:
    """A proposal for an address. `proposal`: Proposal.as_dict; `trial`: the result of the test with one page."""

    at: str  # ISO 8601
    proposal: Mapping[str, Any]
    trial: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The jurisdiction's id."""
        return str(self.proposal["id"])

    @property
    def toml(self) -> str:
        """The file's text."""
        return str(self.proposal["toml"])

    def with_id(self, name: str | None) -> "CachedProposal":
        """Return the proposal with another id; None: unchanged."""
        if name is None or name == self.id:
            return self
        text = self.toml
        for key in ("id", "name"):
            text = text.replace(f"{key} = {_quoted(self.id)}", f"{key} = {_quoted(name)}", 1)
        trial = {**self.trial, "jurisdiction": name}
        return CachedProposal(self.at, {**self.proposal, "id": name, "toml": text}, trial)


def keep(home: Path, url: str, proposed: CachedProposal) -> None:
    """Save a proposal."""
    file = _file(home, url)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # an address may contain a token
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(proposed), default=str), encoding="utf-8")
    draft.replace(file)


def find(home: Path, url: str, now: datetime, kept_for: timedelta = _KEPT_FOR) -> CachedProposal | None:
    """Return the proposal for this address, if it is less than an hour (or `kept_for`) old."""
    try:
        found = CachedProposal(**json.loads(_file(home, url).read_text(encoding="utf-8")))
        age = now - datetime.fromisoformat(found.at)
        return found if timedelta(0) <= age < kept_for and found.id and found.toml else None
    except (OSError, ValueError, TypeError, KeyError):  # no proposal, or the format of another version
        return None


def write(file: Path, text: str) -> None:
    """Validate the text as a jurisdiction file, then write it. A file that exists is never changed.

    Raises:
        SettingInvalid: the file exists already, or cannot be written.
        JurisdictionInvalid: the text is not valid, for example because of its id.
    """
    from zoning_assets.sources import FEED_TYPES  # noqa: PLC0415

    if file.exists():
        raise SettingInvalid("this file exists already", where=str(file), do="give another --id, or move it away")
    with tempfile.TemporaryDirectory(prefix="zoning-onboard-") as scratch:
        draft = Path(scratch) / file.name
        draft.write_text(text, encoding="utf-8")
        jurisdictions.read(draft, FEED_TYPES)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        why, _ = os_errors.machine(error) or ("", "")
        what = f"it cannot be written: {why or error.strerror}"
        raise SettingInvalid(what, where=str(file), do="choose another folder (ZONING_JURISDICTIONS)") from error


def create(proposal: Mapping[str, Any], trial: Mapping[str, Any]) -> CachedProposal:
    """Create a proposal with the current time."""
    return CachedProposal(datetime.now(UTC).isoformat(timespec="seconds"), proposal, trial)


def _file(home: Path, url: str) -> Path:
    return home / "onboard" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
