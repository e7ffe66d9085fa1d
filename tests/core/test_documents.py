"""Pages that must agree with the code."""

from __future__ import annotations

import re

from conftest import ROOT
from stemline.errors import Code
from stemline_app.cli.main import COMMANDS


def test_every_error_code_is_explained_once() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(str(code) for code in Code)


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"stemline {name}" not in readme] == []
