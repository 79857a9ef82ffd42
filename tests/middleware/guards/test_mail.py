"""Mail: what a message is called, and that a mirrored request says nothing to a mail server."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

import aiosmtplib
import pytest
from clients.mail_client import MailPeer

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import LateEffectError
from mirrorproof.guards.mail import message_write
from mirrorproof.rulings import EffectRule, RuleAction


@pytest.fixture(scope="module")
def peer() -> Iterator[MailPeer]:
    started = MailPeer()
    yield started
    started.stop()


@pytest.fixture
def guarded() -> Iterator[None]:
    install_guards("smtplib", "aiosmtplib")
    yield
    uninstall_guards()


def mirrored(*rules: EffectRule) -> MirrorContext:
    settings = Settings.load(env={}, role="mixed", effect_rules=rules)
    return MirrorContext(Decision(Mode.DRY_RUN), settings=settings)


def letter(total: str = "10.01") -> bytes:
    """Two parts, a boundary of its own, an inline picture's id, a message id and a date."""
    message = EmailMessage()
    message["From"], message["To"] = "shop@example.com", "ann@example.org"
    message["Subject"] = "Order of ann@example.org"
    message["Message-ID"], message["Date"] = make_msgid(), formatdate(usegmt=True)
    message.set_content(f"Total {total}")
    picture = make_msgid()
    message.add_alternative(f"<img src='cid:{picture[1:-1]}'>", subtype="html")
    message.get_payload()[1].add_related(b"png", "image", "png", cid=picture)  # type: ignore[union-attr, index]
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf")
    return bytes(message)


def digest(message: bytes, to: str = "ann@example.org") -> str:
    return message_write("mail", "shop@example.com", to, message).digest


def test_equal_messages_have_equal_digests_whatever_the_library_made_up() -> None:
    first, second = letter(), letter()
    assert first != second
    assert digest(first) == digest(second)


def test_another_text_or_another_recipient_is_another_effect() -> None:
    assert len({digest(letter()), digest(letter("10.02")), digest(letter(), "bob@example.org")}) == 3


def test_the_ledger_names_domains_and_no_address() -> None:
    write = message_write("mail", "shop@example.com", ["Ann <ann@example.org>", "bob@example.net"], letter())
    assert write.target == "example.net, example.org"
    assert "ann" not in write.line(())
    assert "recipients=2" in write.line(())


def test_a_client_kept_from_before_says_nothing_while_mirrored_and_works_afterwards(
    guarded: None, peer: MailPeer
) -> None:
    with smtplib.SMTP(peer.host, peer.port) as client:
        client.ehlo()
        extensions = dict(client.esmtp_features)
        before = peer.look()
        with entered(mirrored()):
            client.ehlo()
            client.mail("shop@example.com")
            client.rcpt("ann@example.org")
            client.rset()
        assert client.esmtp_features == extensions
        assert client.sendmail("shop@example.com", "bob@example.org", "Live") == {}
    assert peer.look() == (before[0], before[1] + 1)


def test_a_client_that_a_mirrored_request_connected_is_never_a_silent_dry_run_for_a_live_one(
    guarded: None, peer: MailPeer
) -> None:
    with entered(mirrored()):
        client = smtplib.SMTP(peer.host, peer.port)
        client.ehlo()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail("shop@example.com", "bob@example.org", "Live")


def test_starttls_and_extensions_are_there_for_a_mirrored_request(guarded: None, peer: MailPeer) -> None:
    before = peer.look()
    with entered(mirrored()), smtplib.SMTP(peer.host, peer.port) as client:
        assert client.starttls()[0] == 220
        assert client.login("ann", "secret")[0] == 235
        assert client.has_extn("smtputf8")
        assert client.verify("ann")[0] == 252
    with entered(mirrored()), smtplib.SMTP_SSL(peer.host, peer.port) as secure:
        assert secure.noop()[0] == 250
    with entered(mirrored()), smtplib.LMTP("/nowhere/at/all") as local:
        assert local.ehlo()[0] == 250
    assert peer.look() == before


def test_data_by_hand_is_an_effect_too(guarded: None, peer: MailPeer) -> None:
    before = peer.look()
    with entered(mirrored()) as context, smtplib.SMTP(peer.host, peer.port) as client:
        client.mail("shop@example.com")
        client.rcpt("ann@example.org")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Hello\r\n.\r\n")
        assert client.getreply()[0] == 250
        context.end()
        with pytest.raises(LateEffectError):
            client.docmd("data")
    assert peer.look() == before
    assert [effect.target for effect in context.ledger] == ["example.org"] * 2


def test_a_rule_lets_mail_to_one_domain_through_and_no_other(guarded: None, peer: MailPeer) -> None:
    inside = EffectRule(kind="mail.send", target="example.com", action=RuleAction.ALLOW)
    with entered(mirrored(inside)) as context, smtplib.SMTP(peer.host, peer.port) as client:
        client.sendmail("shop@example.com", "ops@example.com", "Inside")
        client.sendmail("shop@example.com", "ann@example.org", "Outside")
    assert peer.messages[-1][1] == ["ops@example.com"]
    assert [effect.outcome.value for effect in context.ledger] == ["executed", "suppressed"]


def test_a_rule_works_for_aiosmtplib_as_well(guarded: None, peer: MailPeer) -> None:
    inside = EffectRule(kind="mail.send", target="example.com", action=RuleAction.ALLOW)

    async def main(*rules: EffectRule) -> Any:
        with entered(mirrored(*rules)):
            async with aiosmtplib.SMTP(hostname=peer.host, port=peer.port) as client:
                await client.sendmail("shop@example.com", "ops@example.com", "Inside")
                await client.sendmail("shop@example.com", "ann@example.org", "Outside")
                return await client.noop()

    before = peer.look()
    assert asyncio.run(main()).code == 250
    assert peer.look() == before
    assert asyncio.run(main(inside)).code == 250
    assert peer.look() == (before[0] + 1, before[1] + 1)


def test_a_connected_aiosmtplib_client_is_only_connected_for_the_mirrored_request(
    guarded: None, peer: MailPeer
) -> None:
    async def main() -> None:
        client = aiosmtplib.SMTP(hostname=peer.host, port=peer.port, start_tls=False)
        with entered(mirrored()):
            await client.connect()
            assert client.is_connected
            assert (await client.starttls()).code == 220
        assert not client.is_connected
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await client.sendmail("shop@example.com", "bob@example.org", "Live")
        client.close()

    before = peer.look()
    asyncio.run(main())
    assert peer.look() == before


def test_a_mirrored_request_does_not_close_a_session_that_others_opened(
    guarded: None, peer: MailPeer
) -> None:
    client = smtplib.SMTP(peer.host, peer.port)
    client.ehlo()
    with entered(mirrored()):
        assert client.quit()[0] == 221
        client.close()
        with client:
            client.noop()
    before = peer.look()
    client.sendmail("shop@example.com", "bob@example.org", "Live")
    assert peer.look() == (before[0], before[1] + 1)
    client.quit()
    assert client.sock is None


async def test_nor_does_one_close_a_session_of_aiosmtplib(guarded: None, peer: MailPeer) -> None:
    client = aiosmtplib.SMTP(hostname=peer.host, port=peer.port)
    await client.connect()
    with entered(mirrored()):
        assert (await client.quit()).code == 221
        client.close()
    before = peer.look()
    await client.sendmail("shop@example.com", "bob@example.org", "Live")
    assert peer.look() == (before[0], before[1] + 1)
    await client.quit()
    assert not client.is_connected
