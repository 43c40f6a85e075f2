"""The entity tag of answers that depend only on what is published."""

import hashlib
import time
from dataclasses import dataclass, field

import asyncpg
from fastapi import Request

from zoning_assets.api.json_response import matches
from zoning_assets.storage.postgis.records.map_queries import STATE

#: So many seconds one reading of the state is used. A tag is never newer than the data that it is sent with.
_FRESH_S = 0.5


@dataclass
class PublishedState:
    """Reads a short text that changes when something is published, judged or decided."""

    pool: asyncpg.Pool | None = None
    _text: str = ""
    _until: float = field(default=0.0)

    async def text(self) -> str:
        """The state: the newest batch, release, decision and amendment."""
        if time.monotonic() >= self._until:
            assert self.pool is not None  # noqa: S101 - the server opens it before the first request
            self._text = str(await self.pool.fetchval(STATE))
            self._until = time.monotonic() + _FRESH_S
        return self._text

    async def tag_of(self, request: Request) -> str:
        """The tag of a request's answer: weak, because numbers may be spelled differently."""
        query = request.scope["query_string"].decode("latin-1")
        asked = f"{await self.text()}|{request.scope['path']}|{query}|{request.headers.get('accept', '')}"
        return f'W/"{hashlib.sha256(asked.encode()).hexdigest()[:32]}"'

    def matches(self, request: Request, tag: str) -> bool:
        """Whether the client has the answer with this tag."""
        return matches(request.headers.get("if-none-match"), tag)
