"""The smtplib guard: messages are effects, and a mirrored request talks to no mail server.

`sendmail` (which `send_message` calls) and `data` are judged; whatever else would go over the wire is
answered by the pretended server of `guards.mail`. A client that a mirrored request connected is not
connected for anybody else: a live request that uses it gets `SMTPServerDisconnected`, as after an idle time.
One that others connected it does not close.

Knows smtplib. Must not know what a message is called.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.context import current
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, admit
from mirrorproof.guards.mail import heard, message_write, pretended, pretends

__all__ = ["SmtplibGuard"]


class SmtplibGuard(Guard):
    """Guards smtplib's SMTP, SMTP_SSL and LMTP."""

    name = "smtplib"
    module = "smtplib"
    covers = "smtplib.SMTP, SMTP_SSL and LMTP: messages, and everything else that they say to a server"

    def install(self) -> None:
        import smtplib

        self.guard(smtplib.SMTP, "sendmail", _sent, lambda *_: {})
        self.guard(smtplib.SMTP, "data", _sent_data, lambda *_: (250, b"2.0.0 Ok: queued"))
        self.wrap(smtplib.SMTP, "mail", _mail)
        self.wrap(smtplib.SMTP, "rcpt", _rcpt)
        self.wrap(smtplib.SMTP, "connect", _connect)
        self.wrap(smtplib.LMTP, "connect", _connect)
        self.wrap(smtplib.SMTP, "starttls", _starttls)
        self.wrap(smtplib.SMTP, "send", _send)
        self.wrap(smtplib.SMTP, "getreply", _getreply)
        self.wrap(smtplib.SMTP, "quit", _quit)
        self.wrap(smtplib.SMTP, "close", _close)


def _host(client: Any) -> str | None:
    return client.__dict__.get("_host") or None


def _sent(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    named = dict(zip(("from_addr", "to_addrs", "msg"), args, strict=False)) | kwargs
    return message_write(_host(client), named["from_addr"], named["to_addrs"], named["msg"])


def _sent_data(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    return message_write(_host(client), None, _recipients(client), args[0] if args else kwargs["msg"])


def _recipients(client: Any) -> list[str]:
    return list(client.__dict__.get("_mirrorproof_recipients", ()))


def _mail(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    heard(client, None)
    return wrapped(*args, **kwargs)


def _rcpt(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    heard(client, str(args[0] if args else kwargs["recip"]))
    return wrapped(*args, **kwargs)


def _connect(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    host = args[0] if args else kwargs.get("host", "localhost")
    if not pretends(host.partition(":")[0]):
        return wrapped(*args, **kwargs)
    client.__dict__.setdefault("_host", host)
    return 220, b"mirrorproof ESMTP"


def _starttls(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not pretends(_host(client)):
        return wrapped(*args, **kwargs)
    if client.sock is None:  # a live session keeps what it learnt from its server
        client.helo_resp = client.ehlo_resp = None
        client.esmtp_features, client.does_esmtp = {}, False
    return pretended(b"STARTTLS")


def _send(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not pretends(_host(client)):
        return wrapped(*args, **kwargs)
    said = args[0] if args else kwargs["s"]
    line = said.encode("utf-8", "replace") if isinstance(said, str) else bytes(said)
    if pretended(line)[0] == 354 and (context := current()) is not None:  # DATA, by hand
        admit(context, message_write(_host(client), None, _recipients(client), b""))
    client.__dict__["_mirrorproof_said"] = line[:64]
    return None


def _getreply(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not pretends(_host(client)):
        return wrapped(*args, **kwargs)
    line = client.__dict__.pop("_mirrorproof_said", b"")
    if line[:4].upper() in (b"EHLO", b"LHLO") and client.sock is not None and client.ehlo_resp:
        return 250, client.ehlo_resp
    return pretended(line)


def _is_others(client: Any) -> bool:
    """Whether the client has a session, which is none of the mirrored request's that runs here."""
    return getattr(client, "sock", None) is not None and pretends(_host(client))


def _quit(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return pretended(b"QUIT") if _is_others(client) else wrapped(*args, **kwargs)


def _close(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return None if _is_others(client) else wrapped(*args, **kwargs)
