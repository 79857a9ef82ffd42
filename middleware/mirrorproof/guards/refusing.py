"""A client whose writes are refused in a mirrored request, since nothing here can answer in its place yet.

Theory of operation. A refusal is an error that the application sees, so its mirrored answer may differ from
v1's; but nothing is written, which the last line of defence could not promise: this client keeps
connections open. Live requests' writes are not recorded, and say so. A rule that allows one lets it through.

Knows where py-amqp sends. Must not know its answers.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, refuse_unanswered
from mirrorproof.rulings import Where

__all__ = ["AmqpGuard"]


class AmqpGuard(Guard):
    """Guards py-amqp's channels, for those who go past kombu."""

    name = "amqp"
    module = "amqp.channel"
    distribution = "amqp"
    tested = ("5.4", "5.4")
    covers = "Channel.basic_publish past kombu's Producer: refused"

    def install(self) -> None:
        from amqp.channel import Channel

        for name in ("_basic_publish", "basic_publish", "basic_publish_confirm"):
            self.wrap(Channel, name, _publish_amqp)


def _publish_amqp(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    key = kwargs.get("routing_key") or (args[2] if len(args) > 2 else "")
    refuse_unanswered(Write("queue.publish", f"routing key {key}", where=Where(queue=key)))
    return wrapped(*args, **kwargs)
