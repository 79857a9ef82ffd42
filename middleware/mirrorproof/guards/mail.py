"""What the guards of mail clients share: what a message is called, and a mail server that is not there.

A mirrored request opens no session with a mail server. What its client says is answered by `pretended`, as a
server with the usual extensions would, so that the client's own code runs in full; a message is an effect.

Pure, but for asking the current context. Must not know any one client.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from email.utils import parseaddr
from fnmatch import fnmatchcase
from typing import Any, Final

from mirrorproof.context import Action, current
from mirrorproof.guards.acting import Write
from mirrorproof.redaction import Redactor
from mirrorproof.rulings import RuleAction, Where
from mirrorproof.wording import readable

__all__ = ["KIND", "heard", "message_write", "pretended", "pretends"]

KIND: Final = "mail.send"
_EXTENSIONS: Final = b"\nSIZE 104857600\n8BITMIME\nSMTPUTF8\nPIPELINING\nDSN\nSTARTTLS\nAUTH PLAIN LOGIN"
_REPLIES: Final = {
    b"EHLO": (250, b"mirrorproof" + _EXTENSIONS),
    b"LHLO": (250, b"mirrorproof" + _EXTENSIONS),
    b"AUTH": (235, b"2.7.0 Authentication successful"),
    b"STARTTLS": (220, b"2.0.0 Ready to start TLS"),
    b"DATA": (354, b"End data with <CR><LF>.<CR><LF>"),
    b"VRFY": (252, b"2.0.0 Cannot VRFY user"),
    b"QUIT": (221, b"2.0.0 Bye"),
}
_RANDOM_FIELD: Final = re.compile(
    rb"^(?:message-id|date|received|dkim-signature)[ \t]*:.*(?:\r?\n[ \t].*)*\r?\n?",
    re.IGNORECASE | re.MULTILINE,
)
_RANDOM_NAME: Final = re.compile(
    rb"boundary=\"?([^\"\s;]{1,200})|^content-id[ \t]*:\s*<([^>]{1,500})>", re.IGNORECASE | re.MULTILINE
)
_SUBJECT: Final = re.compile(rb"^subject[ \t]*:[ \t]*(.*)", re.IGNORECASE | re.MULTILINE)
_ADDRESS: Final = re.compile(r"[^\s@<>\"']+@(?=[^\s@<>\"']+)")
_MAX_NAMES: Final = 200


def pretends(host: str | None) -> bool:
    """Whether what runs here may not talk to the mail server `host`.

    It may where a rule allows mail to some recipients: then each message is judged.
    """
    context = current()
    if context is None:
        return False
    if context.ruling(KIND, "", Where(host=host)).action not in (Action.SUPPRESS, Action.REFUSE):
        return False
    return not any(
        rule.action is RuleAction.ALLOW
        and fnmatchcase(KIND, rule.kind)
        and (rule.host == "*" or fnmatchcase(host or "", rule.host))
        for rule in context.settings.effect_rules
    )


def pretended(line: bytes) -> tuple[int, bytes]:
    """What a mail server answers to a command that it accepts."""
    return _REPLIES.get(line[:8].split(None, 1)[0].upper() if line.strip() else b"", (250, b"2.0.0 Ok"))


def heard(client: Any, recipient: str | None) -> None:
    """Note a recipient of the message in the making; `None` starts a new one."""
    if recipient is None:
        client.__dict__["_mirrorproof_recipients"] = []
    else:
        client.__dict__.setdefault("_mirrorproof_recipients", []).append(recipient)


def message_write(
    host: str | None, sender: str | None, recipients: str | Iterable[str], message: Any
) -> Write:
    """A message as an effect. Addresses are in the digest only; a domain is all that can be read."""
    everybody = [recipients] if isinstance(recipients, str) else list(recipients)
    domains = sorted({_domain(each) for each in everybody})
    raw = message.encode("utf-8", "surrogateescape") if isinstance(message, str) else bytes(message)
    found = _SUBJECT.search(raw)
    subject = _ADDRESS.sub("…@", found[1].strip().decode("utf-8", "replace")) if found else ""
    context, target = current(), ", ".join(domains)
    redactor = Redactor.shared(context.settings.redact if context else ())
    words = readable({"recipients": len(everybody), "subject": subject}, redactor)
    return Write(
        KIND,
        target,
        [sender or "", sorted(everybody), _message_digest(raw)],
        summary=f"{KIND} {target} ({words})",
        where=Where(host=host),
    )


def _domain(address: str) -> str:
    return (parseaddr(address)[1] or address).rpartition("@")[2].strip("> ").lower() or "?"


def _message_digest(raw: bytes) -> str:
    """Equal for equal messages: without what a mail library makes up, ids, the date and boundaries."""
    head, blank, body = raw.partition(b"\r\n\r\n" if b"\r\n\r\n" in raw else b"\n\n")
    text = _RANDOM_FIELD.sub(b"", head + b"\n") + blank + body
    names = {name for pair in _RANDOM_NAME.findall(text)[:_MAX_NAMES] for name in pair if name}
    for number, name in enumerate(sorted(names, key=text.find)):
        text = text.replace(name, b"name-%d" % number)
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()
