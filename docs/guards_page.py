"""Writes docs/guards.md from the guards and from the table that the tests drive: `make docs`.

Knows how to lay the page out. Must not describe any client itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from clients.table import Client, all_clients, all_peers

from mirrorproof.guards import Guard, offered_guards

PAGE = Path(__file__).with_name("guards.md")
HEAD = """# What is guarded

A guard stands between a client library and the outside world. In a mirrored request it answers writes as the
client's users get them on success, in the client's own types, and writes each into the ledger; reads pass. In
a live request it only records. It is installed once its client is imported, by `MirrorMiddleware`, by
`install_guards()` or by `mirrorproof run -- CMD…`. `effect_rules` (docs/settings.md) says what may really
happen, what is answered otherwise, and what is refused.

`mirrorproof guards` lists which of these are at work in an environment, and which ways out have none.

| guard | client, and the versions it was tried with | what is covered |
| --- | --- | --- |
"""
TABLE = """
## What was tried

Each line is a way to write that tests/clients holds as code. `make test` runs every one against the server
that is named: mirrored from the request's task, a thread, an executor and a background task, with a client
that was opened in the request and one from before it, after the response, and in mode `read_only`. No write
may reach the server; the application has to see success (an error after the response and in `read_only`);
the ledger has to name the write. Without guards every one of them really writes.

| client | ways to write | the server | kinds in the ledger |
| --- | --- | --- | --- |
"""
GAPS = """
## What these guards do not hold back

"""


def page() -> str:
    """The whole page."""
    clients, peers = all_clients(), all_peers()
    return (
        HEAD
        + "".join(_guard(name, kind) for name, kind in sorted(offered_guards().items()))
        + TABLE
        + "".join(_client(each, peers[each.peer].about) for each in clients)
        + f"\n{len(clients)} clients, {sum(len(each.cases) for each in clients)} ways to write. "
        "SQLAlchemy has a table of its own, tests/middleware/guards/test_sqlalchemy_matrix.py.\n"
        + GAPS
        + "".join(
            dict.fromkeys(f"- **{each.name}**: {each.not_covered}\n" for each in clients if each.not_covered)
        )
        + GENERAL
    )


GENERAL = """\
- **Everything else**: a client without a guard is stopped where it opens a socket, a file or a process
  (setting `unguarded`). What it does on a connection that was open before the request, or in C code that
  Python does not see, is not held back; a shadow's database role, AuthorizationPolicy and network are the
  second layer.
- **A process's own files** are really written: what `logging`'s handlers write, byte code, and the temporary
  files and folders that `tempfile` made for that very request (in a shadow process, for the process too),
  with all that lies in them. What else lies below `/tmp`, a cache or a folder that the service made at
  start-up, is stopped like any other file, unless `unguarded_allow` lists it: `file /tmp/shop/*`.
"""


def _guard(name: str, kind: type[Guard]) -> str:
    low, high = kind.tested
    client = kind.distribution or f"{kind.module.partition('.')[0]} (standard library)"
    tried = "" if not low else f" {low}" if low == high else f" {low} to {high}"
    return f"| `{name}` | {client}{tried} | {_cell(kind.covers)} |\n"


def _client(client: Client, about: str) -> str:
    ways = "; ".join(each.name for each in client.cases)
    kinds = ", ".join(f"`{kind}`" for kind in dict.fromkeys(k for each in client.cases for k in each.kinds))
    return f"| {client.name} | {_cell(ways)} | {_cell(about)} | {kinds} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
