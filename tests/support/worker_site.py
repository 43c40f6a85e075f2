"""The commands and runs of an installation, each in a process with a home of its own: nothing stays on its disk."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_REPO = Path(__file__).parents[2]
#: Variables of this process that would point to another installation.
_OTHERS = ("ZONING_", "DAGSTER_", "AWS_", "AZUR", "GOOGLE_")
_MOST_S = 500


@dataclass
class WorkerSite:
    """An installation.

    Attributes:
        folder: of its jurisdiction files, and of the homes of its processes.
        database: its database.
        store: its object store.
        environ: more variables of its processes.
        is_wiped: whether each process has a new home.
    """

    folder: Path
    database: str
    store: str
    environ: Mapping[str, str] = field(default_factory=dict)
    is_wiped: bool = True
    processes: int = 0
    kills: int = 0

    def environment(self) -> dict[str, str]:
        """The variables of the next process."""
        home = self.folder / "home"
        if self.is_wiped:
            shutil.rmtree(home, ignore_errors=True)
        self.processes += 1
        mine = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        return {
            **mine,
            "ZONING_HOME": str(home),
            "ZONING_DATABASE_URL": self.database,
            "ZONING_STORE_URL": self.store,
            "ZONING_JURISDICTIONS": str(self.folder / "toml"),
            **self.environ,
        }

    def add_county(self, id_: str, text: str) -> None:
        """Write a jurisdiction file."""
        (self.folder / "toml").mkdir(parents=True, exist_ok=True)
        (self.folder / "toml" / f"{id_}.toml").write_text(text)

    def zoning(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command to its end."""
        command = [sys.executable, "-m", "zoning_assets.cli", *words]
        return subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=_MOST_S, check=False, cwd=_REPO
        )

    def done(self, *words: str) -> str:
        """A command that ends well: what it printed."""
        ended = self.zoning(*words)
        assert ended.returncode == 0, (words, ended.stderr[-3000:], ended.stdout[-1000:])
        return ended.stdout

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """A command in a process group of its own."""
        return self._started(["-m", "zoning_assets.cli", *words], subprocess.DEVNULL)

    def step(self, assets: str, which: str, *ids: str, kill_when: Callable[[], bool] | None = None) -> bool:
        """A run of assets (see step_child.py). With `kill_when` all its processes are killed when that is reached.

        Returns:
            Whether it ended well, and was not killed.
        """
        process = self._started(["-m", "tests.support.step_child", assets, which, *ids])
        ends = time.monotonic() + _MOST_S
        while process.poll() is None and time.monotonic() < ends:
            if kill_when and kill_when():
                os.killpg(process.pid, signal.SIGKILL)
                self.kills += 1
                break
            time.sleep(0.01)
        _, said = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGKILL), (assets, which, said.decode()[-3000:])
        return process.returncode == 0

    def _started(self, words: list[str], stderr: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, *words],
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            cwd=_REPO,
        )
