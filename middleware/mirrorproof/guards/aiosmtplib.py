"""The aiosmtplib guard: messages are effects, and a mirrored request talks to no mail server.

`SMTP.sendmail` (which `send_message` and `aiosmtplib.send` call) and `SMTP.data` are judged; every other
command is answered by the pretended server of `guards.mail`. A client that a mirrored request connected is
not connected for anybody else, and one that others connected is not closed.

Knows aiosmtplib. Must not know what a message is called.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write
from mirrorproof.guards.mail import heard, message_write, pretended, pretends

__all__ = ["AiosmtplibGuard"]


class AiosmtplibGuard(Guard):
    """Guards aiosmtplib's SMTP, and with it `aiosmtplib.send`."""

    name = "aiosmtplib"
    module = "aiosmtplib"
    distribution = "aiosmtplib"
    tested = ("5", "5")
    covers = "aiosmtplib.SMTP and send: messages, and everything else that they say to a server"

    def install(self) -> None:
        from aiosmtplib import SMTP

        self.guard(SMTP, "sendmail", _sent, lambda *_: ({}, "2.0.0 Ok: queued"))
        self.guard(SMTP, "data", _sent_data, lambda *_: _response(250, b"2.0.0 Ok: queued"))
        self.wrap(SMTP, "mail", _mail)
        self.wrap(SMTP, "rcpt", _rcpt)
        self.wrap(SMTP, "connect", _connect)
        self.wrap(SMTP, "starttls", _starttls)
        self.wrap(SMTP, "execute_command", _execute)
        self.wrap(SMTP, "close", _close)
        really = SMTP.__dict__["is_connected"].fget
        self.replace(SMTP, "is_connected", property(lambda client: really(client) or _pretending(client)))


def _response(code: int, text: bytes) -> Any:
    from aiosmtplib import SMTPResponse

    return SMTPResponse(code, text.decode())


def _pretending(client: Any) -> bool:
    return "_mirrorproof_connected" in client.__dict__ and pretends(client.hostname)


def _sent(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    named = dict(zip(("sender", "recipients", "message"), args, strict=False)) | kwargs
    return message_write(client.hostname, named["sender"], named["recipients"], named["message"])


def _sent_data(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    recipients = client.__dict__.get("_mirrorproof_recipients", ())
    return message_write(client.hostname, None, recipients, args[0] if args else kwargs["message"])


def _mail(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    heard(client, None)
    return wrapped(*args, **kwargs)


def _rcpt(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    heard(client, str(args[0] if args else kwargs["recipient"]))
    return wrapped(*args, **kwargs)


async def _connect(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if client.is_connected or not pretends(kwargs.get("hostname") or client.hostname):
        return await wrapped(*args, **kwargs)
    if kwargs.get("hostname"):
        client.hostname = kwargs["hostname"]
    client.__dict__["_mirrorproof_connected"] = True
    return _response(220, b"mirrorproof ESMTP")


async def _starttls(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not pretends(client.hostname):
        return await wrapped(*args, **kwargs)
    return _response(*pretended(b"STARTTLS"))


async def _execute(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not pretends(client.hostname):
        return await wrapped(*args, **kwargs)
    if args and args[0].upper() == b"EHLO" and client.protocol is not None and client.last_ehlo_response:
        return client.last_ehlo_response
    return _response(*pretended(args[0] if args else b""))


def _close(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    client.__dict__.pop("_mirrorproof_connected", None)
    if client.transport is not None and pretends(client.hostname):  # a session that others opened
        return None
    return wrapped(*args, **kwargs)
