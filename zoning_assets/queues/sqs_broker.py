"""Amazon SQS: `sqs://REGION`, or `sqs://REGION/PREFIX` if several installations share an account.

Keys, roles and AWS_ENDPOINT_URL_SQS come from the usual AWS settings. SQS keeps a message for at most 14 days.
Sources of the limits: Amazon SQS Developer Guide, "Amazon SQS message quotas" (messages per call, retention), "Amazon
SQS standard queue quotas" (long polling) and "Amazon SQS batch actions" (bytes per call: 1 MiB). The older limit of
256 KiB per call is used here, which queues with the former default settings accept too.
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
from zoning_assets.queues.broker import Depth, Message, headers_of, message_of

#: Limits: messages per call, bytes per call, seconds of a long poll, seconds that a message is kept.
_MAX_BATCH, _MAX_BATCH_BYTES, _MAX_POLL_S, _RETENTION_S = 10, 262_144, 20, 14 * 24 * 3600
_POLL_S = 0.2
#: The most bytes of a message's attributes.
_ATTRIBUTE_BYTES = 6_000


class SqsBroker:
    """The SQS queue `PREFIX-NAME`; the prefix is `zoning` if the URL has none."""

    def __init__(self, url: str, name: str, lease_s: float) -> None:
        parts = urlsplit(url)
        self._region, prefix = parts.hostname, parts.path.strip("/") or "zoning"
        self._name, self._lease_s = f"{prefix}-{name.replace('.', '-')}", max(math.ceil(lease_s), 1)
        self._stack = AsyncExitStack()
        self._client: tuple[Any, str] | None = None

    async def put(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        async with self._opened() as (sqs, url):
            for batch in _batches(messages):
                entries = [
                    {"Id": str(at), "MessageBody": each.body, "MessageAttributes": _attributes(each)}
                    for at, each in enumerate(batch)
                ]
                self._check(await sqs.send_message_batch(QueueUrl=url, Entries=entries))

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """See Broker."""
        until, found = time.monotonic() + wait_s, list[Message]()
        async with self._opened() as (sqs, url):
            while len(found) < most:
                left = until - time.monotonic()
                poll_s = 0 if found else max(0, min(int(left), _MAX_POLL_S))
                answer = await sqs.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=min(_MAX_BATCH, most - len(found)),
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
                    await asyncio.sleep(min(_POLL_S, max(left, 0)))
        return found

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        async with self._opened() as (sqs, url):
            for entries in _receipts(messages, {}):
                self._check(await sqs.delete_message_batch(QueueUrl=url, Entries=entries))

    async def release(self, messages: Sequence[Message]) -> None:
        """See Broker. It counts as a delivery."""
        async with self._opened() as (sqs, url):
            for entries in _receipts(messages, {"VisibilityTimeout": 0}):
                self._check(await sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries))

    async def peek(self, most: int) -> list[Message]:
        """See Broker. It counts as a delivery."""
        found = await self.take(most, 0.0)
        if found:
            await self.release(found)
        return found

    async def count(self) -> Depth:
        """See Broker. The numbers are approximate, and the age of the oldest message is unknown."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        async with self._opened() as (sqs, url):
            counts = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names)))["Attributes"]
        return Depth(*(int(counts[name]) for name in names))

    async def close(self) -> None:
        """See Broker."""
        self._client = None
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
            if self._client is None:
                self._client = await self._open()
            yield self._client
        except (BotoCoreError, ClientError, OSError) as error:
            await self.close()
            raise self._error(network(error) or "it refused the request") from None

    async def _open(self) -> tuple[Any, str]:
        client = get_session().create_client("sqs", region_name=self._region)
        sqs = await self._stack.enter_async_context(client)
        kept = {"MessageRetentionPeriod": str(_RETENTION_S)}
        return sqs, str((await sqs.create_queue(QueueName=self._name, Attributes=kept))["QueueUrl"])


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Split messages into batches that fit into one call."""
    batch: list[Message] = []
    size = 0
    for each in messages:
        more = len(each.body.encode()) + _ATTRIBUTE_BYTES
        if batch and (len(batch) == _MAX_BATCH or size + more > _MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += more
    if batch:
        yield batch


def _attributes(message: Message) -> dict[str, Any]:
    return {key: {"DataType": "String", "StringValue": value} for key, value in headers_of(message).items()}


def _receipts(messages: Sequence[Message], more: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    for at in range(0, len(messages), _MAX_BATCH):
        batch = messages[at : at + _MAX_BATCH]
        yield [{"Id": str(number), "ReceiptHandle": each.receipt, **more} for number, each in enumerate(batch)]


def _message(got: Mapping[str, Any]) -> Message:
    headers = {key: value.get("StringValue") for key, value in (got.get("MessageAttributes") or {}).items()}
    count = str((got.get("Attributes") or {}).get("ApproximateReceiveCount", 1))
    return message_of(got["Body"], headers, deliveries=int(count), receipt=got["ReceiptHandle"])
