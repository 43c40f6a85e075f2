"""Proposals of `zoning onboard`, kept for an hour: who has read one and wants it written need not wait for it again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_LIVES = timedelta(hours=1)


@dataclass(frozen=True)
class Proposed:
    """What `zoning onboard` found at an address. `proposal`: Proposal.as_dict; `trial`: of its first page."""

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

    def called(self, name: str | None) -> "Proposed":
        """The same proposal of another id."""
        if name is None or name == self.id:
            return self
        text = self.toml
        for key in ("id", "name"):
            text = text.replace(f"{key} = {_quoted(self.id)}", f"{key} = {_quoted(name)}", 1)
        trial = {**self.trial, "jurisdiction": name}
        return Proposed(self.at, {**self.proposal, "id": name, "toml": text}, trial)


def keep(home: Path, url: str, proposed: Proposed) -> None:
    """Keep a proposal for a while."""
    file = _file(home, url)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # an address may hold a token
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(proposed), default=str), encoding="utf-8")
    draft.replace(file)


def find(home: Path, url: str, now: datetime) -> Proposed | None:
    """The proposal that was made of this address within the last hour."""
    try:
        found = Proposed(**json.loads(_file(home, url).read_text(encoding="utf-8")))
        age = now - datetime.fromisoformat(found.at)
        return found if timedelta(0) <= age < _LIVES and found.id and found.toml else None
    except (OSError, ValueError, TypeError, KeyError):  # none, or not one of this version
        return None


def made(proposal: Mapping[str, Any], trial: Mapping[str, Any]) -> Proposed:
    """A proposal of now."""
    return Proposed(datetime.now(UTC).isoformat(timespec="seconds"), proposal, trial)


def _file(home: Path, url: str) -> Path:
    return home / "onboard" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
