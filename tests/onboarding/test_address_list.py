"""A list of portals: what people paste is read, and a bad line never stops the others."""

import pytest

from zoning_assets.errors import SettingInvalid
from zoning_assets.onboarding import address_list

LIST = (
    "\ufeff# our counties\r\n"
    "\r\n"
    "https://gis.a.gov/arcgis/rest/services/P/FeatureServer/0 us-xx-a   # the assessor\r\n"
    "\thttps://gis.b.gov/files/parcels.zip\r"
    "https://GIS.A.gov/arcgis/rest/services/P/FeatureServer/0/?f=json\n"
    "https://gis.c.gov/x us-xx-a\n"
    "https://gis.d.gov/x ../../etc/passwd\n"
    "https://gis.e.gov/x us-xx-e and more\n"
    "file:///etc/passwd\n"
    "https://gis.f.gov:99999/x\n"
    "https://gis.g.gov/#layer\n"
)


def test_a_list_as_people_write_it() -> None:
    """A byte order mark, all kinds of line ends, comments, and the same address twice in other letters."""
    found = address_list.parse(LIST.encode(), "list.txt")
    assert [(each.where, each.address, each.id) for each in found.addresses] == [
        ("line 3", "https://gis.a.gov/arcgis/rest/services/P/FeatureServer/0", "us-xx-a"),
        ("line 4", "https://gis.b.gov/files/parcels.zip", None),
        ("line 11", "https://gis.g.gov/#layer", None),
    ]
    assert found.repeated == [("line 5", "line 3")]
    assert {line: error.what for line, _, error in found.invalid} == {
        "line 6": "line 3 has the id us-xx-a already",
        "line 7": "'../../etc/passwd' is not an id",
        "line 8": "it has more than an address and an id",
        "line 9": "it is not an address that begins with http://, https:// or ftp://",
        "line 10": "it is not a web address",
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"# nothing\n\n", "no line has an address"),
        (b"\xff\xfe\x00", "it is not UTF-8 text"),
        (b"\n" * (address_list.MOST_LINES + 1), "it has more than 50,000 lines"),
    ],
    ids=["empty", "not text", "too long"],
)
def test_what_is_no_list_is_one_line(body: bytes, says: str) -> None:
    with pytest.raises(SettingInvalid, match=says):
        address_list.parse(body, "list.txt")


def test_a_download_is_known_by_its_query_and_a_layer_is_not() -> None:
    """Two files of one script are two portals; two formats of one layer are one."""
    digest = address_list.address_digest
    assert digest("https://a.gov/get.asp?file=A") != digest("https://a.gov/get.asp?file=B")
    layer = "https://a.gov/arcgis/rest/services/P/MapServer/1"
    assert digest(layer) == digest(f"{layer}?f=pjson") == digest(f"{layer}/")


def test_the_comment_of_an_address_has_no_secret() -> None:
    text = address_list.origin("https://me:word@a.gov/get?token=secret")
    assert text.endswith(": https://a.gov/get")
    assert address_list.address_digest("https://me:word@a.gov/get?token=secret") in text
