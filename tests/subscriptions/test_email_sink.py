"""E-mails: a digest of plain sentences, sent once a window, at a real SMTP server (aiosmtpd)."""

import email
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email import policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.subscriptions.log_rows import change, deliver, retract, subscribe, tell
from zoning_assets.errors import SettingInvalid
from zoning_assets.storage.postgis.records import subscription_records
from zoning_assets.subscriptions.email_sink import check_address

ATTACK = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\u202eevil\u2066=cmd"


class Inbox:
    """A handler of aiosmtpd that keeps what it accepts."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.refusal: str | None = None

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its name there
        if self.refusal:
            return self.refusal
        self.envelopes.append(envelope)
        return "250 OK"

    @property
    def messages(self) -> list[Any]:
        return [email.message_from_bytes(each.content, policy=policy.default) for each in self.envelopes]


@contextmanager
def serving(handler: Inbox, **options: Any) -> Iterator[int]:
    """An SMTP server on loopback; its port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, str]]:
    handler = Inbox()
    with serving(handler) as port:
        yield handler, f"smtp://127.0.0.1:{port}"


def test_a_digest_is_sent_once(database: str, inbox: tuple[Inbox, str]) -> None:
    handler, smtp = inbox
    subscribe(database, "email", "ann@example.org")
    retracted = change("r", "7", kind="added", facet="parcel", old=None, new="7")
    tell(
        database,
        change("a", "1"),
        change("b", "2"),
        change("s", "3", "3a", kind="split", facet="parcel", old="3", new="3a"),
    )
    tell(database, retracted)
    retract(database, "r")
    assert [each.delivered for each in deliver(database, smtp=smtp)] == [5]
    deliver(database, smtp=smtp)
    (message,) = handler.messages
    assert handler.envelopes[0].rcpt_tos == ["ann@example.org"]
    assert (message["To"], message["From"]) == ("ann@example.org", "zoning@example.org")
    assert message["Subject"] == "Zoning: 5 changes (it)"
    text = message.get_content()
    assert "- 2 parcels were rezoned from R-1 to R-2 (800 m2; parcels 1, 2)." in text
    assert "2 parcels were split: 3 became 3a" in text
    assert "Retracted: it is no longer so that parcel 7 was added to the parcel layer" in text


def test_an_attack_has_no_header_no_markup_and_no_other_direction(database: str, inbox: tuple[Inbox, str]) -> None:
    handler, smtp = inbox
    subscribe(database, "email", "ann@example.org")
    tell(database, change("a", ATTACK, old=ATTACK, new=ATTACK, jurisdiction="us-\r\nBcc: x@example.org"))
    deliver(database, smtp=smtp)
    (message,) = handler.messages
    assert handler.envelopes[0].rcpt_tos == ["ann@example.org"]
    assert message["Bcc"] is None
    assert message.get_content_type() == "text/plain"
    assert not message.is_multipart()
    text = message.get_content()
    assert "x Bcc: all@example.org <script>alert(1)</script> evil =cmd" in text
    assert not {"\u202e", "\u2066"} & set(text)
    assert not any(line.startswith("Bcc") for line in text.splitlines())


def test_what_a_server_refuses_is_sent_again_unchanged(database: str, inbox: tuple[Inbox, str]) -> None:
    handler, smtp = inbox
    subscribe(database, "email", "ann@example.org")
    tell(database, change("a", "1"))
    handler.refusal = "451 later"
    (result,) = deliver(database, smtp=smtp)
    assert "it responded 451" in (result.error or "")
    tell(database, change("b", "2"))
    handler.refusal = None
    deliver(database, smtp=smtp)
    subjects = [message["Subject"] for message in handler.messages]
    assert subjects == ["Zoning: 1 change (it)", "Zoning: 1 change (it)"]
    assert len({message["Message-ID"] for message in handler.messages}) == 2


def test_once_a_day_means_once_a_day(database: str, inbox: tuple[Inbox, str]) -> None:
    handler, smtp = inbox
    subscribe(database, "email", "ann@example.org", daily=True)
    tell(database, change("a", "1"))
    deliver(database, smtp=smtp, is_forced=False)
    tell(database, change("b", "2"))
    (result,) = deliver(database, smtp=smtp, is_forced=False)
    assert result.skipped == "it is delivered once a day"
    assert len(handler.messages) == 1


def test_a_password_is_not_sent_without_tls_nor_shown(database: str) -> None:
    """This server offers no STARTTLS: the login is not tried."""
    seen: list[Any] = []

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        seen.append(data)
        return AuthResult(success=True)

    subscribe(database, "email", "ann@example.org")
    tell(database, change("a", "1"))
    with serving(Inbox(), authenticator=authenticate, auth_require_tls=False) as port:
        (result,) = deliver(database, smtp=f"smtp://ann:hidden-word@127.0.0.1:{port}")
    assert seen == []
    assert result.error
    assert "hidden-word" not in result.error + repr(subscription_records.subscriptions(database))


def test_without_a_mail_server_the_message_waits(database: str) -> None:
    subscribe(database, "email", "ann@example.org")
    tell(database, change("a", "1"))
    (result,) = deliver(database)
    assert (result.error or "").startswith("ZONING_SMTP_URL: no mail server is set")
    for wrong in ("smtp://host:port", "smtp://[x", "http://host"):
        (result,) = deliver(database, smtp=wrong)
        assert (result.error or "").startswith("ZONING_SMTP_URL: no mail server is set, or its address is not valid")
    for _ in range(20):
        assert deliver(database)[0].skipped is None, "the lock of a delivery ends with it"
    (result,) = deliver(database, smtp="smtp://127.0.0.1:1")
    assert "it refuses the connection" in (result.error or "")


@pytest.mark.parametrize(
    "address",
    ["", "ann", "a@b, c@d", "ann@example.org\r\nBcc: x@y", "Ann <ann@example.org>", "ann@exam ple.org", "ä@example.org",
     "ann@example.org;x", '"a b"@example.org', "a@b@c", f"{'a' * 300}@example.org"],
)  # fmt: skip
def test_only_one_plain_address_is_an_address(address: str) -> None:
    with pytest.raises(SettingInvalid):
        check_address(address, "TARGET")
