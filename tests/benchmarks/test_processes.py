"""The cost of a command is that of all processes that it started."""

import os
import sys

import pytest

from benchmarks import processes

BUSY = "import time\nwhile time.process_time() < 0.5: pass"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BUSY!r}])"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no child subreaper")
def test_a_process_that_outlives_the_command_counts() -> None:
    assert processes.run([sys.executable, "-c", PARENT], os.environ).cpu_s > 0.5
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # nothing is left
