"""The journal of a run of `zoning bench all`: a file of JSON lines, so that an interrupted run can continue.

The first line describes the run. Each further line is one round of one measurement, or says that the run ended. A line
that was cut off by a crash is ignored.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoning_assets.errors import SettingInvalid


@dataclass(frozen=True)
class Round:
    """One round of one measurement.

    Attributes:
        measurement: its name.
        command: as a user types it.
        began: ISO 8601 with zone.
        seconds: of the whole command, with its preparations.
        load_before, load_after: of the last minute; `load_after` contains the measurement itself.
        commit: of the clone.
        document: the JSON document of the command; empty: it wrote none.
        error: why it failed, or which limits of its own it broke; None: neither.
    """

    measurement: str
    command: str
    began: str
    seconds: float
    load_before: float
    load_after: float
    commit: str
    document: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has figures."""
        return bool(self.document.keys() - {"error", "exit_status"})


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        about: scale, asked (the options), began, machine, versions, load_start.
        rounds: in the order of their ends.
        is_ended: whether it was not interrupted.
    """

    about: Mapping[str, Any]
    rounds: tuple[Round, ...] = ()
    is_ended: bool = False

    def of(self, measurement: str) -> list[Round]:
        """The rounds of a measurement with figures; the last failed one if there are none."""
        own = [each for each in self.rounds if each.measurement == measurement]
        return [each for each in own if each.is_done] or own[-1:]

    def done(self, measurement: str) -> int:
        """The number of rounds with figures."""
        return sum(each.is_done for each in self.of(measurement))


@dataclass(frozen=True)
class Journal:
    """The file of one run."""

    path: Path

    @classmethod
    def create(cls, folder: Path, about: Mapping[str, Any]) -> "Journal":
        """Begin the journal of a new run."""
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / f"run-{time.time_ns()}.jsonl")
        journal._append({"run": about})
        return journal

    @classmethod
    def interrupted(cls, folder: Path, asked: Mapping[str, Any]) -> "Journal | None":
        """The journal of the newest run, if it has the same options and was interrupted; else None."""
        files = sorted(folder.glob("*.jsonl"))
        run = cls(files[-1]).read() if files else None
        return cls(files[-1]) if run and run.about.get("asked") == asked and not run.is_ended else None

    @classmethod
    def newest(cls, folder: Path, scale: str) -> "Journal":
        """The journal of the newest run.

        Raises:
            SettingInvalid: there is none, or it has another scale.
        """
        where = "zoning bench all --resume"
        files = sorted(folder.glob("*.jsonl"))
        if not files:
            raise SettingInvalid("there is no run to continue", where=where, do="leave out --resume")
        known = cls(files[-1]).read().about.get("scale")
        if known != scale:
            raise SettingInvalid(f"the last run has the scale {known}", where=where, do=f"add --scale {known}")
        return cls(files[-1])

    def add(self, round_: Round) -> None:
        """Append a round."""
        self._append(asdict(round_))

    def end(self) -> None:
        """Record that the run ended, so that the same command begins a new one."""
        self._append({"ended": True})

    def read(self) -> Run:
        """The run so far.

        Raises:
            SettingInvalid: the file is damaged at its start.
        """
        lines = list(self._lines())
        if not lines or "run" not in lines[0]:
            raise SettingInvalid("it does not describe a run", where=str(self.path), do="delete it")
        rounds = tuple(Round(**each) for each in lines[1:] if "measurement" in each)
        return Run(lines[0]["run"], rounds, "ended" in lines[-1])

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def _append(self, value: Mapping[str, Any]) -> None:
        """Write a line; it begins on a new line also after a line that was cut off."""
        before = self.path.read_bytes()[-1:] if self.path.exists() else b""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if before not in (b"", b"\n") else "") + json.dumps(value) + "\n")
