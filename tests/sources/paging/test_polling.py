"""An answer in the making is waited for, twelve times at most."""

from pathlib import Path

import orjson
import pytest

from tests.sources.portals import asking
from tests.support.http_desk import Desk
from zoning_assets.errors import PortalBusy, Stopping
from zoning_assets.sources.paging import polling as feed_asking

PREPARING, OK = (202, b"{}", {}), (200, b'{"count": 7}', {})


async def test_an_answer_in_the_making_is_waited_for(tmp_path: Path) -> None:
    """A portal that answers 202 is asked again, after the time it names or longer and longer pauses."""
    desk = Desk(PREPARING, PREPARING, (202, b"", {"Retry-After": "7"}), OK)
    async with asking(desk, "/layer", tmp_path) as request:
        answer = await feed_asking.query(request, request.feed.url, {"a": "b"}, orjson.loads)
        assert [pause for pause in request.http.sleep.__self__.slept if pause >= 0.5] == [1.0, 2.0, 7.0]
    assert (answer.value, desk.asked) == ({"count": 7}, [("GET", {"a": "b"})] * 4)


@pytest.mark.parametrize(("headers", "times"), [({}, 12), ({"Retry-After": "3600"}, 1)])
async def test_an_answer_that_never_comes_is_given_up(tmp_path: Path, headers: dict[str, str], times: int) -> None:
    """After twelve polls, or a wish to wait an hour, the run ends and says so."""
    desk = Desk((202, b"", headers))
    async with asking(desk, "/layer", tmp_path) as request:
        with pytest.raises(PortalBusy, match=f"HTTP 202, {times} requests"):
            await feed_asking.query(request, request.feed.url, {}, orjson.loads)
    assert len(desk.asked) == times


async def test_nobody_polls_while_the_program_stops(tmp_path: Path) -> None:
    """A program that was asked to stop does not wait for an answer in the making."""
    desk = Desk(PREPARING)
    async with asking(desk, "/layer", tmp_path) as request:
        request.http.shared.drain()
        with pytest.raises(Stopping):
            await feed_asking.query(request, request.feed.url, {}, orjson.loads)
    assert desk.asked == []
