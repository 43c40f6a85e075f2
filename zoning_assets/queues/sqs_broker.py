"""Amazon SQS: `sqs://REGION`, or `sqs://REGION/PREFIX` where several share an account. AWS's own settings hold: keys,
roles, AWS_ENDPOINT_URL_SQS. It keeps a message for 14 days at most.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from zoning_assets.errors import QueueUnavailable
from zoning_assets.os_errors import network
from zoning_assets.queues.broker import Depth, Message, message_of, words_of

#: SQS's own limits: messages in a call, bytes in a call, seconds of a long poll, seconds that a message is kept.
_MOST, _LARGEST, _LONGEST_S, _KEPT_S = 10, 262_144, 20, 14 * 24 * 3600
_LOOK_S = 0.2
#: What comes beside the body, at most.
_BESIDE = 6_000


class Line:
    """The queue `PREFIX-NAME`; `zoning` where the URL says no prefix."""

    def __init__(self, url: str, name: str, lease_s: float) -> None:
        parts = urlsplit(url)
        self._region, prefix = parts.hostname, parts.path.strip("/") or "zoning"
        self._name, self._lease_s = f"{prefix}-{name.replace('.', '-')}", max(math.ceil(lease_s), 1)
        self._stack = AsyncExitStack()
        self._kept: tuple[Any, str] | None = None

    async def put(self, messages: Sequence[Message]) -> None:
        """See Line."""
        async with self._opened() as (sqs, url):
            for batch in _batches(messages):
                entries = [
                    {"Id": str(at), "MessageBody": each.body, "MessageAttributes": _attributes(each)}
                    for at, each in enumerate(batch)
                ]
                self._check(await sqs.send_message_batch(QueueUrl=url, Entries=entries))

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """See Line."""
        until, found = time.monotonic() + wait_s, list[Message]()
        async with self._opened() as (sqs, url):
            while len(found) < most:
                left = until - time.monotonic()
                poll_s = 0 if found else max(0, min(int(left), _LONGEST_S))
                answer = await sqs.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=min(_MOST, most - len(found)),
                    WaitTimeSeconds=poll_s,
                    VisibilityTimeout=self._lease_s,
                    AttributeNames=["ApproximateReceiveCount"],
                    MessageAttributeNames=["All"],
                )
                got = [_message(each) for each in answer.get("Messages", [])]
                found += got
                if not got and (found or time.monotonic() >= until):
                    break
                if not got:
                    await asyncio.sleep(min(_LOOK_S, max(left, 0)))
        return found

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Line."""
        async with self._opened() as (sqs, url):
            for entries in _receipts(messages, {}):
                self._check(await sqs.delete_message_batch(QueueUrl=url, Entries=entries))

    async def release(self, messages: Sequence[Message]) -> None:
        """See Line. It counts as a delivery."""
        async with self._opened() as (sqs, url):
            for entries in _receipts(messages, {"VisibilityTimeout": 0}):
                self._check(await sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries))

    async def peek(self, most: int) -> list[Message]:
        """See Line. It counts as a delivery."""
        found = await self.take(most, 0.0)
        if found:
            await self.release(found)
        return found

    async def count(self) -> Depth:
        """See Line. About as many: SQS counts roughly, and does not say how old the oldest is."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        async with self._opened() as (sqs, url):
            said = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names)))["Attributes"]
        return Depth(*(int(said[name]) for name in names))

    async def close(self) -> None:
        """See Line."""
        self._kept = None
        await self._stack.aclose()

    def _check(self, answer: Mapping[str, Any]) -> None:
        if failed := answer.get("Failed"):
            raise self._error(str(failed[0].get("Message") or failed[0].get("Code")))

    def _error(self, what: str) -> QueueUnavailable:
        do = "check ZONING_QUEUE_URL and the rights of these AWS keys, or wait"
        return QueueUnavailable(what, where=f"SQS queue {self._name} in {self._region}", do=do)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Any, str]]:
        try:
            if self._kept is None:
                self._kept = await self._open()
            yield self._kept
        except (BotoCoreError, ClientError, OSError) as error:
            await self.close()
            raise self._error(network(error) or "it refuses to work with us") from None

    async def _open(self) -> tuple[Any, str]:
        client = get_session().create_client("sqs", region_name=self._region)
        sqs = await self._stack.enter_async_context(client)
        kept = {"MessageRetentionPeriod": str(_KEPT_S)}
        return sqs, str((await sqs.create_queue(QueueName=self._name, Attributes=kept))["QueueUrl"])


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """As many as fit into a call."""
    batch: list[Message] = []
    size = 0
    for each in messages:
        more = len(each.body.encode()) + _BESIDE
        if batch and (len(batch) == _MOST or size + more > _LARGEST):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += more
    if batch:
        yield batch


def _attributes(message: Message) -> dict[str, Any]:
    return {key: {"DataType": "String", "StringValue": value} for key, value in words_of(message).items()}


def _receipts(messages: Sequence[Message], more: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    for at in range(0, len(messages), _MOST):
        batch = messages[at : at + _MOST]
        yield [{"Id": str(number), "ReceiptHandle": each.receipt, **more} for number, each in enumerate(batch)]


def _message(got: Mapping[str, Any]) -> Message:
    words = {key: value.get("StringValue") for key, value in (got.get("MessageAttributes") or {}).items()}
    count = str((got.get("Attributes") or {}).get("ApproximateReceiveCount", 1))
    return message_of(got["Body"], words, deliveries=int(count), receipt=got["ReceiptHandle"])
