"""Answers that a look was given are used once by the run after it, at the cost that they had, and not for long."""

from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.support.http_client import QUICK, client
from tests.support.http_desk import Clock, Desk, served
from zoning_assets.errors import PortalError
from zoning_assets.http import Client, ResponseCache, Tally
from zoning_assets.http.response_cache import CheckLimitReached


class Twice:
    """One look and one run at a portal; each a client of its own."""

    def __init__(self, desk: Any) -> None:
        self.desk, self.clock = desk, Clock()
        self.kept = ResponseCache(clock=self.clock)
        self.of_look, self.of_run = Tally(), Tally()

    async def ask(self, asking: Client, **params: str) -> Any:
        answer = await asking.query(QUICK, self.url, params, read=orjson.loads)
        return answer.value

    async def work(self, tally: Tally, do: Any) -> Any:
        async with client(self.clock) as shared:
            return await do(shared.shared.for_work(tally, kept=self.kept))

    async def run(self, look: Any, run: Any, wait_s: float = 0.0) -> tuple[Any, Any]:
        """What both return, one after the other."""
        async with served(self.desk) as self.url:
            first = await self.work(self.of_look, look)
            self.kept.close()
            self.clock.now_s += wait_s
            return first, await self.work(self.of_run, run)


def numbered() -> Desk:
    """Each answer is another one."""
    return Desk(*((200, orjson.dumps(number), {}) for number in range(9)))


async def test_each_answer_is_used_once_in_its_order() -> None:
    """Also where the look asked the same twice; then the portal is asked everything."""
    twice = Twice(numbered())

    async def three(asking: Client) -> list[int]:
        return [await twice.ask(asking, q="a"), await twice.ask(asking, q="b"), await twice.ask(asking, q="a")]

    async def more(asking: Client) -> list[int]:
        return [*await three(asking), await twice.ask(asking, q="a"), await twice.ask(asking, q="c")]

    assert await twice.run(three, more) == ([0, 1, 2], [0, 1, 2, 3, 4])
    assert (twice.of_look.requests, twice.of_run.requests, len(twice.desk.asked)) == (3, 5, 5)
    assert twice.of_run.bytes == 5


@pytest.mark.parametrize(("wait_s", "answer"), [(59.0, 0), (61.0, 1)])
async def test_an_answer_is_not_used_for_long(wait_s: float, answer: int) -> None:
    """A run may wait for hours between the look and its first question."""
    twice = Twice(numbered())
    assert await twice.run(twice.ask, twice.ask, wait_s) == (0, answer)


async def test_what_is_asked_after_a_page_is_asked_of_the_portal() -> None:
    """A proof that is made of what was said before the pages is none."""
    twice = Twice(numbered())

    async def look(asking: Client) -> list[int]:
        return [await twice.ask(asking, q="count"), await twice.ask(asking, q="count")]

    async def run(asking: Client) -> list[int]:
        return [await twice.ask(asking, q=each) for each in ("count", "page", "count")]

    assert await twice.run(look, run) == ([0, 1], [0, 2, 3])


async def test_a_refusal_is_kept_with_what_it_cost() -> None:
    """A portal that is down is not tried six times twice."""
    twice = Twice(Desk((503, b"ill", {})))

    async def refused(asking: Client) -> str:
        with pytest.raises(PortalError) as error:
            await twice.ask(asking)
        return str(error.value)

    first, second = await twice.run(refused, refused)
    assert first == second
    assert twice.of_look == twice.of_run
    assert len(twice.desk.asked) == twice.of_look.requests == 6


async def test_a_look_asks_few_questions() -> None:
    """A layer that can be opened only by reading it is read by the run, which goes on where the look ended."""
    twice = Twice(Desk((200, b"1", {})))

    async def all_pages(asking: Client) -> int:
        return sum([await twice.ask(asking, page=str(page)) for page in range(30)])

    async def look(asking: Client) -> None:
        with pytest.raises(CheckLimitReached):
            await all_pages(asking)

    assert await twice.run(look, all_pages) == (None, 30)
    assert (twice.of_look.requests, len(twice.desk.asked)) == (10, 30)


async def test_what_is_said_of_a_file_is_kept_and_the_file_is_not() -> None:
    asked = list[str]()

    async def desk(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.Response(headers={"ETag": f'"{len(asked)}"'})

    twice = Twice(desk)

    async def look(asking: Client) -> str:
        return (await asking.fetch_headers(QUICK, twice.url, {})).headers["ETag"]

    assert await twice.run(look, look) == ('"1"', '"1"')
    assert asked == ["HEAD"]


async def test_without_a_look_each_question_is_asked() -> None:
    desk, clock = numbered(), Clock()
    async with served(desk) as url, client(clock) as asking:
        assert [(await asking.query(QUICK, url, {}, read=orjson.loads)).value for _ in range(2)] == [0, 1]
