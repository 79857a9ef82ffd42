"""The documents say what the code says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_on_settings_is_what_the_code_describes() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "settings_page.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text() == made, "run `make docs`"


def test_the_page_on_guards_is_what_the_guards_and_the_table_of_the_tests_say() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "guards_page.py"))["page"]()
    assert (ROOT / "docs" / "guards.md").read_text() == made, "run `make docs`"


def test_every_link_to_a_file_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert len(pages) >= 5
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
