"""What is the same for every contestant: a process that is told where the portal and its database are, does the work,
and prints one JSON line about it.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """Where things are. `layer`: the URL of the parcel layer; `folder`: the contestant's own, may hold earlier work."""

    layer: str
    database: str
    folder: Path
    started: float  # time.monotonic() just before the process was started

    @property
    def arguments(self) -> list[str]:
        """As they stand on the command line."""
        return [self.layer, self.database, str(self.folder), repr(self.started)]


def main(prepare: Callable[[Task], Any], work: Callable[[Task, Any], dict[str, Any]]) -> None:
    """Prepare (not counted), work (counted), tell."""
    layer, database, folder, started = sys.argv[1:]
    task = Task(layer, database, Path(folder), float(started))
    prepared = prepare(task)
    begun = time.monotonic()
    told = work(task, prepared)
    seconds = time.monotonic() - begun
    print(json.dumps({"seconds": seconds, "startup_s": begun - task.started, **told}), flush=True)
