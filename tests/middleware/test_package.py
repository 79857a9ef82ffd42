"""What the package offers and what it costs to import it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib.resources import files
from types import ModuleType

import pytest

import mirrorproof
from mirrorproof import errors

PUBLIC = [
    "Guard", "MirrorMiddleware", "MirrorWSGIMiddleware", "Settings", "current", "errors", "install_guards",
    "is_mirrored", "side_effect", "uninstall_guards",
]  # fmt: skip


_NEED_CLIENTS = ("mirrorproof.guards.sqlalchemy.", "mirrorproof.guards.sql.")


def modules() -> list[str]:
    found = pkgutil.walk_packages(mirrorproof.__path__, "mirrorproof.")
    return ["mirrorproof", *(name for _, name, _ in found if not name.startswith(_NEED_CLIENTS))]


def public_names(module: ModuleType) -> list[str]:
    """Functions and classes that are defined here and have a public name."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", modules())
def test_all_is_sorted_and_names_things_that_exist_and_everything_public(name: str) -> None:
    module = importlib.import_module(name)
    offered = module.__all__
    assert offered == sorted(offered, key=lambda each: (not each.isupper(), not each[0].isupper(), each))
    assert len(set(offered)) == len(offered)
    assert [each for each in offered if not hasattr(module, each)] == []
    assert [each for each in public_names(module) if each not in offered] == []


def test_the_package_offers_what_the_design_names_and_nothing_else() -> None:
    assert mirrorproof.__all__ == PUBLIC


def test_every_module_opens_by_saying_what_it_knows() -> None:
    for name in modules():
        assert importlib.import_module(name).__doc__, name


def test_types_are_shipped() -> None:
    assert files("mirrorproof").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", ["mirrorproof", "mirrorproof.testing", "mirrorproof.guards.httpx"])
def test_importing_it_imports_no_client_framework_sdk_or_command_line(name: str) -> None:
    heavy = ["click", "httpx", "httpcore", "sqlalchemy", "starlette", "opentelemetry.sdk", "aiohttp"]
    program = f"import sys, {name}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_error_of_ours_can_be_caught_by_its_root() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.MirrorproofError)
    assert issubclass(errors.SettingsError, ValueError)
    assert issubclass(errors.WireError, ValueError)


def test_a_refused_effect_is_no_value_or_os_error_that_applications_swallow() -> None:
    assert not issubclass(errors.EffectRefusedError, (ValueError, OSError, RuntimeError))
