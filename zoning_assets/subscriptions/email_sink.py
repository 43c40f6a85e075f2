"""Send the digest of a delivery by SMTP. A repeated delivery has the same Message-ID."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from zoning_assets.errors import DeliveryFailed, SettingInvalid
from zoning_assets.os_errors import network
from zoning_assets.settings import Settings
from zoning_assets.storage.postgis.records.delivery_records import DeliverySession, DeliveryState, DeliveryWindow
from zoning_assets.subscriptions.digest import digest

#: One address of ASCII characters that need no quotes (RFC 5322 dot-atom): it cannot end a header or add an address.
_ADDRESS = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII
)
_TIMEOUT_S = 20.0
_PORTS = {"smtp": 587, "smtps": 465}
_LOCAL = ("localhost", "127.0.0.1", "::1")


def check_address(address: str, where: str) -> str:
    """Return an e-mail address.

    Raises:
        SettingInvalid: it is not exactly one plain address.
    """
    if not _ADDRESS.fullmatch(address) or len(address) > 254:
        raise SettingInvalid("it is not one e-mail address", where=where, do="give it like name@example.org")
    return address


def message_of(session: DeliverySession, window: DeliveryWindow, recipient: str, sender: str) -> EmailMessage:
    """The e-mail of a delivery. Headers contain no text of a portal."""
    events, subscription = window.events, session.subscription
    message = EmailMessage()
    message["From"], message["To"] = sender, recipient
    message["Subject"] = f"Zoning: {len(events)} change{'s' * (len(events) > 1)} ({subscription.name})"
    message["Message-ID"] = f"<{window.after}-{window.to}.{subscription.key}@zoning-assets.invalid>"
    message["Date"] = format_datetime(max(event.at for event in events))
    message["Auto-Submitted"] = "auto-generated"
    footer = f"You get this e-mail because of the subscription {subscription.name}."
    message.set_content(f"{digest(events)}\n-- \n{footer}\n", cte="quoted-printable")
    return message


def send(session: DeliverySession, state: DeliveryState, window: DeliveryWindow, settings: Settings) -> None:
    """Send the digest of the events of a window.

    Raises:
        DeliveryFailed: the mail server did not accept it, or is not set.
    """
    try:
        server = _server(settings)
        sender = check_address(settings.smtp_from or "", "ZONING_SMTP_FROM")
    except SettingInvalid as error:
        raise DeliveryFailed(error.what, where=error.where, do=error.do) from None
    message = message_of(session, window, state.target, sender)
    where = f"mail server {server.hostname}:{_port(server)}"
    try:
        with _connected(server) as client:
            client.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise _failed(f"it responded {error.smtp_code}", where) from None
    except smtplib.SMTPRecipientsRefused:
        raise _failed("it refused the recipient", where) from None
    except (smtplib.SMTPException, OSError) as error:
        raise _failed(network(error) or "it does not support what is needed, or closed the connection", where) from None


def _server(settings: Settings) -> SplitResult:
    try:
        parts = urlsplit(settings.smtp_url or "")
        is_valid = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # such as smtp://host:port
        is_valid = False
    if not is_valid:
        do = "set it to smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST"
        raise SettingInvalid("no mail server is set, or its address is not valid", where="ZONING_SMTP_URL", do=do)
    return parts


@contextmanager
def _connected(server: SplitResult) -> Iterator[smtplib.SMTP]:
    """Connect with TLS; without TLS only to this machine, and never with a password."""
    host, context = server.hostname or "", ssl.create_default_context()
    client: smtplib.SMTP
    if server.scheme == "smtps":
        client = smtplib.SMTP_SSL(host, _port(server), timeout=_TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(host, _port(server), timeout=_TIMEOUT_S)
    with client:
        client.ehlo()
        if server.scheme == "smtp" and (client.has_extn("starttls") or host not in _LOCAL or server.password):
            client.starttls(context=context)
        if server.username:
            client.login(unquote(server.username), unquote(server.password or ""))
        yield client


def _port(server: SplitResult) -> int:
    return server.port or _PORTS[server.scheme]


def _failed(what: str, where: str) -> DeliveryFailed:
    return DeliveryFailed(what, where=where, do="check ZONING_SMTP_URL; the e-mail is sent again automatically")
