"""The generated pages of docs/reference are those of the code."""

import re
from pathlib import Path

import pytest

from tests.conftest import read_toml
from zoning_assets.cli.reference import PAGES
from zoning_assets.cli.reference.settings_page import VARIABLES
from zoning_assets.cli.reference.toml_page import FEED
from zoning_assets.errors import JurisdictionInvalid

CLONE = Path(__file__).parents[3]

FILE = """
id = "us-xx-mytown"
name = "My Town"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "parcels.zip"
key = "ML"
"""


@pytest.mark.parametrize("name", PAGES)
def test_the_written_page_is_the_generated_one(name: str, database: str) -> None:
    written = (CLONE / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](database), "run `./zoning docs`"


def test_the_settings_are_those_that_the_code_reads() -> None:
    code = [path.read_text(encoding="utf-8") for path in (CLONE / "zoning_assets").rglob("*.py")]
    # Of the container with PostGIS, and of benchmarks.
    internal = {"ZONING_DATABASE_PASSWORD", "ZONING_DATABASE_PORT", "ZONING_SHARED"}
    read = set(re.findall(r"\bZONING_[A-Z_]*[A-Z]\b", "\n".join(code))) - internal
    assert read == {name for name in VARIABLES if name.startswith("ZONING_")}


@pytest.mark.parametrize("key", ["hidden_rows", "on_repeated_key", "on_null_key", "strategy", "format", "axes"])
def test_the_choices_on_the_page_are_those_of_the_reader(key: str, tmp_path: Path) -> None:
    """The error that a wrong value gets lists the choices; the page names each of them."""
    with pytest.raises(JurisdictionInvalid, match=r"is not one of: (.+);") as refused:
        read_toml(tmp_path, f'{FILE}{key} = "nonsense"\n', "us-xx-mytown")
    choices = re.search(r"is not one of: ([\w, -]+)", str(refused.value))
    assert choices
    assert all(f"`{choice}`" in FEED[key] for choice in choices[1].split(", "))
