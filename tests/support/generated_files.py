"""Files that are generated from the code and committed. `ZONING_WRITE_GENERATED=1 ./zoning test PATH` writes them."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SWITCH = "ZONING_WRITE_GENERATED"


def check_generated(path: str, text: str, test: str) -> None:
    """Compare a file with the text that is generated now; with the switch, write it instead.

    Args:
        path: of the file, from the root of the repository.
        text: what it must hold.
        test: the module that calls this, as `__file__`.
    """
    file = ROOT / path
    if os.environ.get(SWITCH):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    written = file.read_text(encoding="utf-8") if file.exists() else ""
    assert written == text, f"run `{SWITCH}=1 ./zoning test {Path(test).relative_to(ROOT)}` and commit {path}"
