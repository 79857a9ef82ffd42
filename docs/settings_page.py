"""Writes docs/settings.md from the descriptions in the code: `make docs`.

Knows where settings are described. Must not describe any itself.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mirrorproof.settings import Settings, describe
from mirrorproof_sidecar.settings import RecorderSettings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Each can be given as a flag (an argument of `MirrorMiddleware` or `Settings.load`; an option of `mirrorproof
recorder`), as the variable `MIRRORPROOF_<NAME>`, or in a table of the one TOML file that
`MIRRORPROOF_CONFIG` names; in that order. In a variable a list is separated by commas; `modes` and `canned`
are JSON there. What is not known is an error that names the key.

This page is made from the code by `make docs`.
"""
SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("The middleware and the guards: table `[middleware]`", Settings),
    ("The recorder: table `[recorder]`", RecorderSettings),
)


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(title, kind) for title, kind in SECTIONS)


def _section(title: str, kind: type[msgspec.Struct]) -> str:
    rows = "".join(
        f"| `{name}` | {f'`{default}`' if default not in ('', 'None', '()') else ''} | {text} |\n"
        for name, default, text in describe(kind)
    )
    return f"\n## {title}\n\n| setting | default | meaning |\n| --- | --- | --- |\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
