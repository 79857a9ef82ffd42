"""Thresholds: what v2 may do worse before a verdict is `fail`, and how much may be missing before it is
`undecided`.

Pure. Knows TOML's plain data, defaults and bounds; each limit is described in its field. Must not know
evidence.
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mirrorproof.errors import SettingsError

__all__ = ["Limits", "Thresholds"]

_Rate = Annotated[float, Meta(ge=0)] | UnsetType
_MAX_ENDPOINTS: Final = 500


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What holds for one endpoint, or for all together. What is left out is inherited; `inf` switches off."""

    max_difference_rate: Annotated[
        _Rate, Meta(description="Share of pairs whose answers or effects truly differ, of those in which "
                                "neither version failed.")
    ] = UNSET  # fmt: skip
    max_effect_difference_rate: Annotated[
        _Rate, Meta(description="The same for effects alone, of those pairs in which both sides' were seen.")
    ] = UNSET
    max_error_increase: Annotated[
        _Rate,
        Meta(description="By how much v2's rate of failures (5xx or no whole answer) may be above v1's."),
    ] = UNSET
    max_p50_slowdown: Annotated[
        _Rate, Meta(description="By which part of v1's median v2's may be longer: 0.25 is a quarter.")
    ] = UNSET
    max_p95_slowdown: Annotated[_Rate, Meta(description="The same for the 95th percentile.")] = UNSET
    latency_slack_ms: Annotated[
        _Rate, Meta(description="Milliseconds that v2 may be slower on top of that: what a dry run costs, "
                                "and what nobody notices.")
    ] = UNSET  # fmt: skip
    mirrored_share: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | UnsetType,
        Meta(
            description="Which part of v1's requests is mirrored, as the VirtualService says; not in [all]."
        ),
    ] = UNSET
    max_unpaired: Annotated[
        _Rate, Meta(description="Share of either side's requests that may be without a partner, beside those "
                                "that `mirrored_share` leaves out.")
    ] = UNSET  # fmt: skip
    max_incomparable: Annotated[
        _Rate, Meta(description="Share of pairs that may be incomparable, for whatever reason.")
    ] = UNSET
    max_truncated: Annotated[
        _Rate, Meta(description="Share of exchanges whose body may be cut at the bound of the capture.")
    ] = UNSET
    max_yielded: Annotated[
        _Rate, Meta(description="Share of mirrored requests that may be given up so that v1 need not wait.")
    ] = UNSET
    max_conflicts: Annotated[
        _Rate,
        Meta(description="Share of pairs that may be set aside since v1 was first with the same change."),
    ] = UNSET

    def over(self, below: Limits) -> Limits:
        """These limits, and where they say nothing those `below`."""
        given = ((name, getattr(self, name)) for name in Limits.__struct_fields__)
        own = {name: value for name, value in given if value is not UNSET}
        return msgspec.structs.replace(below, **own)

    def number(self, name: str) -> float:
        """A limit that is set here or inherited. Raises `KeyError` where it is neither."""
        value = getattr(self, name)
        if value is UNSET:
            raise KeyError(name)
        return float(value)


class EndpointLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of the endpoints that `match` fits, such as `GET /orders/{id}`, and `service` where it is given.

    In both `*` stands for any characters.
    """

    match: Annotated[str, Meta(min_length=1, max_length=500)]
    service: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


_EACH: Final = Limits(
    max_difference_rate=0.01, max_effect_difference_rate=0.01, max_error_increase=0.01, max_p50_slowdown=0.25,
    max_p95_slowdown=0.5, latency_slack_ms=10.0, mirrored_share=1.0, max_unpaired=0.05, max_incomparable=0.05,
    max_truncated=0.05, max_yielded=0.05, max_conflicts=0.05,
)  # fmt: skip
_ALL: Final = Limits(
    max_difference_rate=0.001, max_effect_difference_rate=0.001, max_error_increase=0.005,
).over(_EACH)  # fmt: skip


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that a verdict is measured by. `Thresholds()` has the defaults."""

    alpha: Annotated[
        float, Meta(gt=0, le=0.5, description="The chance of a wrong `fail`, and of a wrong `pass`, over all "
                                              "looks and all endpoints.")
    ] = 0.05  # fmt: skip
    minor_share: Annotated[
        float, Meta(ge=0, le=1, description="An endpoint with less than this share of the requests does not "
                                            "hold up a `pass` while it is undecided.")
    ] = 0.01  # fmt: skip
    require_counters: Annotated[
        bool, Meta(description="No `pass` unless capturing processes have reported what they lost.")
    ] = True
    max_dropped: Annotated[float, Meta(ge=0, description="Of the captured exchanges.")] = 0.01
    max_unmarked: Annotated[
        float, Meta(ge=0, description="Of the shadow's requests, those without a well-formed mark.")
    ] = 0.05
    max_without_id: Annotated[
        float, Meta(ge=0, description="Of all requests, those that have no id to be paired by.")
    ] = 0.05
    max_observer_errors: Annotated[
        float,
        Meta(ge=0, description="Errors of mirrorproof's own observing code, for each captured exchange."),
    ] = 0.01
    all: Annotated[Limits, Meta(description="For all endpoints together.")] = Limits()
    each: Annotated[Limits, Meta(description="For every endpoint on its own.")] = Limits()
    endpoint: Annotated[
        tuple[EndpointLimits, ...],
        Meta(max_length=_MAX_ENDPOINTS, description="For single endpoints; the first that fits counts."),
    ] = ()

    def __post_init__(self) -> None:
        if self.all.mirrored_share is not UNSET:
            raise ValueError("`mirrored_share` in [all] has no meaning: set it in [each] or an [[endpoint]]")
        for limits in (self.all, self.each, *self.endpoint):
            for name in Limits.__struct_fields__:
                if isinstance(value := getattr(limits, name), float) and math.isnan(value):
                    raise ValueError(f"`{name}` has to be a number; `inf` switches a limit off")

    @classmethod
    def from_dict(cls, data: object) -> Thresholds:
        """From plain data, as TOML gives it. Raises `SettingsError` that names the key."""
        try:
            return msgspec.convert(data, cls)
        except (msgspec.ValidationError, RecursionError) as error:
            raise SettingsError(f"thresholds: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` takes."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @property
    def together(self) -> Limits:
        """What holds for all endpoints together, nothing left out."""
        return self.all.over(_ALL)

    def of(self, endpoint: str, service: str = "") -> Limits:
        """What holds for `endpoint` (`GET /orders/{id}`) of `service`, nothing left out."""
        each = self.each.over(_EACH)
        for limits in self.endpoint:
            if _fits(limits.match, endpoint) and _fits(limits.service or "*", service):
                return limits.over(each)
        return each


def _fits(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))
