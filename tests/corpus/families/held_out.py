"""Families that are in the held-out part only."""

from __future__ import annotations

from ..building import Service

SERVICES: tuple[Service, ...] = ()
