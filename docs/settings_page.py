"""Writes docs/settings.md from the descriptions in the code: `make docs`.

Knows where settings are described. Must not describe any itself.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from mirrorproof.decision import Mode
from mirrorproof.rulings import CannedAnswer, EffectRule
from mirrorproof.settings import Settings, describe
from mirrorproof_sidecar.commands import recorder
from mirrorproof_sidecar.settings import RecorderSettings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Each can be given in up to three ways, the first of which wins:

1. as a flag: for the middleware an argument of `MirrorMiddleware` or `Settings.load`, for the recorder an
   option of `mirrorproof recorder`. These have no option:
   {without_option};
2. as the variable `MIRRORPROOF_<NAME>`. A list is separated by commas there; `modes`, `databases` and
   `effect_rules` are JSON;
3. in a table of the one TOML file that `MIRRORPROOF_CONFIG` names.

What is not known is an error that names the key.

This page is made from the code by `make docs`.
"""
SHAPES = """
### The shape of `modes` and `effect_rules`

`modes` maps globs of the request's path to modes ({modes}), in their order:

```toml
[middleware.modes]
"/search/*" = "observe"
"/admin/*" = "read_only"
```

`databases` maps globs of a database's URL to how mirrored requests use it, in their order too:

```toml
[middleware.databases]
"postgresql://db-v2:5432/*" = "off"              # v2's own: really written
"postgresql://*/ledger" = "read_only"
"postgresql://*" = "rollback_at_commit"
```

`effect_rules` is a list of rules for what mirrored requests would change outside; the first whose `kind`,
`target`, `host`, `method`, `path`, `queue` and `table` (globs) all fit counts. Kinds and targets are those of
the ledger, docs/guards.md names them. `action` is `suppress` (not done, and answered by `answer` for HTTP, by
`returns` for other clients, else as the client answers on success), `allow` (really done) or `block` (the
application gets an error). As a variable:
`MIRRORPROOF_EFFECT_RULES='[{{"host": "pay.test", "answer": {{"status": 201, "body": "{{\\"id\\": 1}}"}}}}]'`.

```toml
[[middleware.effect_rules]]          # what a payment gateway would have answered
host = "pay.example"
method = "POST"
path = "/charges"
answer = {{status = 201, headers = {{content-type = "application/json"}}, body = '{{"id": "mirrored"}}'}}

[[middleware.effect_rules]]          # a POST that only reads
method = "POST"
path = "/*/_search"
action = "allow"

[[middleware.effect_rules]]          # nothing may pretend to have sent this
kind = "queue.publish"
queue = "refunds"
action = "block"
```

| field of `effect_rules` | default |
| --- | --- |
{rules}
| field of `answer` | default |
| --- | --- |
{answer}"""
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
    modes = ", ".join(f"`{mode}`" for mode in Mode if mode is not Mode.LIVE)
    return SHAPES.format(modes=modes, rules=_fields(EffectRule), answer=_fields(CannedAnswer))


def _fields(kind: type[msgspec.Struct]) -> str:
    fields = msgspec.structs.fields(kind)
    return "".join(f"| `{field.name}` | {_default(field)} |\n" for field in fields)


def _default(field: msgspec.structs.FieldInfo) -> str:
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if default is None or default is msgspec.UNSET:
        return ""
    return f"`{str(default) if isinstance(default, StrEnum) else repr(default)}`"


def _section(title: str, kind: type[msgspec.Struct]) -> str:
    rows = "".join(
        f"| `{name}` | {f'`{default}`' if default not in ('', 'None', '()') else ''} | {text} |\n"
        for name, default, text in describe(kind)
    )
    return f"\n## {title}\n\n| setting | default | meaning |\n| --- | --- | --- |\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
