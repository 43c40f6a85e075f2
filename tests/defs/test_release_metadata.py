"""The metadata of `changes`: links to the map that a person can open."""

from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from zoning_assets.defs import release_metadata
from zoning_assets.pipeline.change_detection import ReleaseChanges

PLACE = "us-xx-mytown"


def release(**facets: str) -> ReleaseChanges:
    """A release with changes: id -> facet."""
    changes = pd.DataFrame({"id": list(facets), "facet": list(facets.values())})
    return ReleaseChanges(len(facets), {}, 0.0, 0.0, 0.0, (), changes)


def views(map_url: str | None, detected: ReleaseChanges | None) -> dict[str, dict[str, list[str]]]:
    """The links, with what the page reads behind the #."""
    links = release_metadata.map_links(map_url, PLACE, detected)
    assert all(link.url.startswith("https://map.example.org/#") for link in links.values())
    return {name: parse_qs(urlsplit(link.url).fragment) for name, link in links.items()}


@pytest.mark.parametrize("map_url", ["https://map.example.org", "https://map.example.org/"])
def test_the_metadata_links_to_the_place_and_to_its_first_zoning_change(map_url: str) -> None:
    assert views(map_url, release(a="parcel", b="base", c="base")) == {
        "open_map": {"jurisdiction": [PLACE]},
        "open_first_change": {"jurisdiction": [PLACE], "change": ["b"]},
    }


def test_without_a_change_only_the_place_is_linked() -> None:
    for nothing in (None, release()):
        assert list(views("https://map.example.org", nothing)) == ["open_map"]


@pytest.mark.parametrize("map_url", [None, "javascript:alert(1)", "map.example.org"])
def test_without_an_address_there_is_no_link(map_url: str | None) -> None:
    assert release_metadata.map_links(map_url, PLACE, release(a="base")) == {}
