"""Writes docs/settings.md from the descriptions in the code: `make docs`.

Knows where settings are described. Must not describe any itself.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mirrorproof.decision import Mode
from mirrorproof.settings import CannedAnswer, Settings, describe
from mirrorproof_sidecar.commands import recorder
from mirrorproof_sidecar.settings import RecorderSettings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Each can be given in up to three ways, the first of which wins:

1. as a flag: for the middleware an argument of `MirrorMiddleware` or `Settings.load`, for the recorder an
   option of `mirrorproof recorder`. These have no option:
   {without_option};
2. as the variable `MIRRORPROOF_<NAME>`. A list is separated by commas there; `modes` and `canned` are JSON;
3. in a table of the one TOML file that `MIRRORPROOF_CONFIG` names.

What is not known is an error that names the key.

This page is made from the code by `make docs`.
"""
SHAPES = """
### The shape of `modes` and `canned`

`modes` maps globs of the request's path to modes ({modes}), in their order:

```toml
[middleware.modes]
"/search/*" = "observe"
"/admin/*" = "read_only"
```

`canned` is a list of answers for the HTTP requests that a mirrored request would have sent; the first whose
`host`, `method` and `path` (globs) fit. Without one, the answer is 200 and `{{}}`. As a variable:
`MIRRORPROOF_CANNED='[{{"host": "pay.example", "status": 201, "body": "{{\\"id\\": 1}}"}}]'`.

```toml
[[middleware.canned]]
host = "pay.example"
method = "POST"
path = "/charges"
status = 201
headers = {{content-type = "application/json"}}
body = '{{"id": "mirrored"}}'
```

| field of `canned` | default |
| --- | --- |
{canned}"""
SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("The middleware and the guards: table `[middleware]`", Settings),
    ("The recorder: table `[recorder]`", RecorderSettings),
)


def page() -> str:
    """The whole page."""
    (about_middleware, about_recorder) = (_section(title, kind) for title, kind in SECTIONS)
    return HEAD.format(without_option=_without_option()) + about_middleware + _shapes() + about_recorder


def _without_option() -> str:
    """The recorder's settings that its command has no option for."""
    options = {parameter.name for parameter in recorder.params}
    *names, last = (f"`{name}`" for name, _, _ in describe(RecorderSettings) if name not in options)
    return f"{', '.join(names)} and {last}"


def _shapes() -> str:
    fields = msgspec.structs.fields(CannedAnswer)
    rows = "".join(f"| `{field.name}` | `{_default(field)!r}` |\n" for field in fields)
    modes = ", ".join(f"`{mode}`" for mode in Mode if mode is not Mode.LIVE)
    return SHAPES.format(modes=modes, canned=rows)


def _default(field: msgspec.structs.FieldInfo) -> object:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def _section(title: str, kind: type[msgspec.Struct]) -> str:
    rows = "".join(
        f"| `{name}` | {f'`{default}`' if default not in ('', 'None', '()') else ''} | {text} |\n"
        for name, default, text in describe(kind)
    )
    return f"\n## {title}\n\n| setting | default | meaning |\n| --- | --- | --- |\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
