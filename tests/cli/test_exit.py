"""What still happens at the exit of a command, although no garbage is collected there."""

import subprocess
import sys
from pathlib import Path

#: The command leaves a temporary folder and a finalizer to the exit, each in a reference cycle.
_COMMAND = """
import sys, tempfile, types, weakref
from pathlib import Path
from zoning_assets import cli

class Holder:
    def __init__(self, kept=None):
        self.me, self.kept = self, kept

def run():
    here = Path(sys.argv[1])
    holders = [Holder(tempfile.TemporaryDirectory(dir=here)), Holder()]
    weakref.finalize(holders[1], (here / "finalized").touch)
    print("printed", end="")

app = types.ModuleType("zoning_assets.cli.app")
app.main = run
sys.modules["zoning_assets.cli.app"] = app
cli.main()
"""


def test_finalizers_run_and_temporary_folders_are_deleted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _COMMAND, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("printed", "")
    assert [each.name for each in tmp_path.iterdir()] == ["finalized"]
