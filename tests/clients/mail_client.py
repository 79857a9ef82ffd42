"""smtplib and aiosmtplib, with a mail server that keeps what it is sent."""

from __future__ import annotations

import smtplib
from contextlib import AsyncExitStack, ExitStack
from email.message import EmailMessage
from typing import Any

import aiosmtplib
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import AuthResult

from clients.servers import free_port
from clients.table import Case, Client


class MailPeer:
    """A real mail server on loopback: counts sessions and keeps messages."""

    about = "an SMTP server on loopback (aiosmtpd) that keeps messages and counts sessions"

    def __init__(self) -> None:
        self.sessions = 0
        self.messages: list[tuple[str, list[str], bytes]] = []
        peer = self

        class Counting(Controller):
            def factory(self) -> Server:
                peer.sessions += 1
                return super().factory()

        self._controller = Counting(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            authenticator=lambda *_: AuthResult(success=True),
            auth_require_tls=False,
        )
        self._controller.start()
        self.host, self.port = self._controller.hostname, self._controller.port

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 kept"

    def look(self) -> Any:
        return self.sessions, len(self.messages)

    def stop(self) -> None:
        self._controller.stop()


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", "ann@example.org", "Order 7"
    message.set_content("Thank you.")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="bill.pdf")
    return message


def _open(peer: MailPeer) -> smtplib.SMTP:
    return smtplib.SMTP(peer.host, peer.port)


def _nothing(peer: MailPeer) -> Any:
    return ExitStack()


def _nothing_async(peer: MailPeer) -> Any:
    return AsyncExitStack()


def _send_message(client: smtplib.SMTP, peer: MailPeer) -> None:
    assert client.send_message(_message()) == {}


def _sendmail(client: smtplib.SMTP, peer: MailPeer) -> None:
    assert client.ehlo()[0] == 250
    assert client.login("ann", "secret")[0] == 235
    assert client.sendmail("shop@example.com", ["ann@example.org", "bob@example.org"], "Hello") == {}
    assert client.noop()[0] == 250


def _by_hand(client: smtplib.SMTP, peer: MailPeer) -> None:
    client.ehlo_or_helo_if_needed()
    assert client.mail("shop@example.com")[0] == 250
    assert client.rcpt("ann@example.org")[0] == 250
    assert client.data("Hello")[0] == 250


def _whole_session(client: Any, peer: MailPeer) -> None:
    with smtplib.SMTP() as session:
        session.connect(peer.host, peer.port)
        assert session.send_message(_message()) == {}


def _open_async(peer: MailPeer) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(hostname=peer.host, port=peer.port)


async def _send_message_async(client: aiosmtplib.SMTP, peer: MailPeer) -> None:
    assert client.is_connected
    assert (await client.send_message(_message()))[0] == {}


async def _sendmail_async(client: aiosmtplib.SMTP, peer: MailPeer) -> None:
    assert (await client.ehlo()).code == 250
    assert (await client.login("ann", "secret")).code == 235
    refused, answer = await client.sendmail("shop@example.com", ["ann@example.org"], "Hello")
    assert refused == {}
    assert isinstance(answer, str)


async def _by_hand_async(client: aiosmtplib.SMTP, peer: MailPeer) -> None:
    await client.mail("shop@example.com")
    await client.rcpt("ann@example.org")
    assert (await client.data("Hello")).code == 250


async def _send_async(client: Any, peer: MailPeer) -> None:
    sent = aiosmtplib.send(_message(), hostname=peer.host, port=peer.port, username="ann", password="secret")
    assert (await sent)[0] == {}


PEERS = {"mail": MailPeer}
MAIL = ("mail.send",)
CLIENTS = [
    Client(name="smtplib", guard="smtplib", peer="mail", cases=(
        Case(name="SMTP.send_message", client=_open, write=_send_message, kinds=MAIL),
        Case(name="SMTP.sendmail, logged in", client=_open, write=_sendmail, kinds=MAIL),
        Case(name="SMTP.mail, rcpt, data", client=_open, write=_by_hand, kinds=MAIL),
        Case(name="SMTP.connect", client=_nothing, write=_whole_session, kinds=MAIL, kept=False),
    )),
    Client(name="aiosmtplib", guard="aiosmtplib", peer="mail", cases=(
        Case(name="SMTP.send_message", client=_open_async, write=_send_message_async, kinds=MAIL),
        Case(name="SMTP.sendmail, logged in", client=_open_async, write=_sendmail_async, kinds=MAIL),
        Case(name="SMTP.mail, rcpt, data", client=_open_async, write=_by_hand_async, kinds=MAIL),
        Case(name="send", client=_nothing_async, write=_send_async, kinds=MAIL, kept=False),
    )),
]  # fmt: skip
