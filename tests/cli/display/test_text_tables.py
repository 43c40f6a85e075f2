"""Tables: fitted to a terminal without cutting an id, whole in a pipe, and never a portal's command to the terminal."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.console import Console

from zoning_assets.cli.display.text_tables import build

_AT = datetime(2026, 11, 29, 20, 47, 13, tzinfo=UTC)
_ROW = {
    "id": "012f04f4aaaabbbbccccdddd",
    "parcels": ["01-00024-08 A", "01-00024-09 B", "01-00024-10 C", "01-00024-11 D"],
    "fresh": True,
    "rows": 1_234_567,
    "at": _AT,
    "why": "the ground is wider than the tolerance, and the parcel layer says the same",
    "nothing": None,
}


def _lines(rows: list[dict[str, object]], width: int | None) -> tuple[list[str], list[str]]:
    table, left_out = build(rows, width)
    console = Console(width=width or 10_000, no_color=True)
    with console.capture() as printed:
        console.print(table)
    return printed.get().splitlines(), left_out


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_id_is_cut(width: int) -> None:
    lines, left_out = _lines([_ROW, _ROW], width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert _ROW["id"] in text
    assert "…" not in text
    for parcel in ("01-00024-08 A", "01-00024-09 B") if "parcels" not in left_out else ():
        assert parcel in text


def test_what_has_no_room_is_named() -> None:
    """Columns are left out from the right, and each by name; those without any value are not worth a name."""
    lines, left_out = _lines([_ROW], 60)
    assert left_out
    shown = set(lines[0].split())
    assert not shown & set(left_out)
    assert "nothing" not in {*shown, *left_out}
    assert list(_ROW)[1:-1] == [name for name in _ROW if name in shown and name != "id"] + left_out


def test_a_pipe_gets_everything_on_one_line_a_row() -> None:
    lines, left_out = _lines([_ROW], None)
    assert (len(lines), left_out) == (3, [])
    row = lines[2]
    assert all(str(each) in row for each in (_ROW["id"], *_ROW["parcels"], _AT.isoformat(), _ROW["why"]))
    assert "nothing" in lines[0]


def test_times_on_a_terminal_are_in_utc_and_say_so() -> None:
    """Times have a zone everywhere: ISO 8601."""
    new_york = _AT.astimezone(timezone(timedelta(hours=-5)))
    assert _lines([{"a": _AT, "b": new_york}], 80)[0][2].split() == ["2026-11-29", "20:47Z"] * 2


def test_values_are_for_people() -> None:
    """Yes and no, thousands, nothing where there is nothing."""
    row = _lines([{"a": True, "b": False, "c": 1_234_567, "d": None, "e": 0.25, "f": 2.0}], 80)[0][2]
    assert row.split() == ["yes", "no", "1,234,567", "0.25", "2"]


def test_what_a_portal_says_cannot_command_the_terminal() -> None:
    """No escape sequence, no markup, no emoji, no line of its own."""
    text = "\n".join(_lines([{"says": "a\x1b]0;owned\x07b\r\nc [bold]d[/bold] :smile: \u202eexe"}], 80)[0])
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    assert "[bold]d[/bold] :smile:" in text


@pytest.mark.parametrize("wide", ["漢字の区画", "é" * 5])
def test_wide_letters_are_counted_as_wide(wide: str) -> None:
    lines, _ = _lines([{"id": wide, "more": "words " * 20}], 40)
    assert wide in lines[2]
