"""The Python in the pages about the API runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("page", "count"), [("python-api.md", 7), ("write-a-host.md", 5)])
def test_examples_of_a_page_run_one_after_the_other(
    project: Path, page: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = _BLOCK.findall((PAGES / page).read_text(encoding="utf-8"))
    assert len(blocks) == count
    names: dict[str, object] = {"__name__": "example"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # noqa: S102 - the page's own code
        for name, value in list(names.items()):
            if name.startswith("test_") and callable(value):
                names.pop(name)
                value()
    if page == "python-api.md":
        said = capsys.readouterr().out
        assert "MEDIA_MISSING" in said and "dialogue found" in said and "new tracks: dialogue A1" in said
