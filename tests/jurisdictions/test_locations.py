"""Groups of jurisdictions: by state, by a file, not at all; files that are wrong are told in one line."""

from pathlib import Path

import pytest

from zoning_assets.errors import SettingInvalid
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations

IDS = ["us-ma-boston", "us-ma-cambridge", "us-nh-keene", "us-tx-kerr"]
FILE = '[locations]\nnew-england = ["us-ma-*", "us-nh-*"]\nboston = ["us-ma-boston"]\n'


def test_without_the_setting_there_is_one() -> None:
    chosen = Locations.of(None)
    assert chosen.all(IDS) == [WHOLE]
    assert chosen.find("us-ma-boston") == WHOLE
    assert (WHOLE.tiles, chosen.is_grouped) == ("tiles", False)


def test_by_state() -> None:
    chosen = Locations.of("state")
    assert [each.name for each in chosen.all(IDS)] == ["us-ma", "us-nh", "us-tx"]
    assert chosen.find("us-ma-boston").tiles == "tiles_us_ma"
    assert chosen.all([]) == []


def test_by_a_file(tmp_path: Path) -> None:
    """The first pattern that matches decides; what no pattern matches is the rest."""
    (tmp_path / "groups.toml").write_text(FILE)
    chosen = Locations.of(str(tmp_path / "groups.toml"))
    assert [chosen.find(each).name for each in IDS] == ["new-england"] * 3 + ["rest"]
    assert chosen.all(IDS) == [Location("new-england"), Location("rest")]


@pytest.mark.parametrize(
    "text",
    [
        "", "locations = 1", "[locations]\n", "[locations]\nrest = ['us-*']", "[locations]\n'a b' = ['us-*']",
        "[locations]\n'../x' = ['us-*']", "[locations]\na = 'us-*'", "[locations]\na = [1]", "[locations", "\x00",
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "groups.toml").write_text(text)
    for name in (str(tmp_path / "groups.toml"), str(tmp_path / "none.toml"), str(tmp_path)):
        with pytest.raises(SettingInvalid, match="ZONING_LOCATIONS") as caught:
            Locations.of(name)
        assert "\n" not in str(caught.value)
