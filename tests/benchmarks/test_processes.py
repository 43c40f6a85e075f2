"""The cost of a command is that of all processes that it started."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks import processes

BUSY = "import time\nwhile time.process_time() < 0.5: pass"
PARENT = f"""
import pathlib, subprocess, sys
busy = subprocess.Popen([sys.executable, "-c", {BUSY!r}])
pathlib.Path(sys.argv[1]).write_text(str(busy.pid))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no child subreaper")
def test_a_process_that_outlives_the_command_counts(tmp_path: Path) -> None:
    assert processes.run([sys.executable, "-c", PARENT, str(tmp_path / "pid")], os.environ).cpu_s > 0.5
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()  # its status was read
