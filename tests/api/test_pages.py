"""The Python in the pages about the API, engines and hosts runs as it is printed there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import stemline
from stemline.client.address import parse_server
from stemline_server.testing import serve_engines

PAGES = Path(__file__).resolve().parents[2] / "docs"
_TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("page", "count"), [("python-api.md", 8), ("write-a-host.md", 5)])
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
        assert "MEDIA_MISSING" in said and "missing.wav. Check the path." in said
        assert "dialogue found" in said and "new tracks: dialogue A1" in said


def _titled_blocks(page: str) -> dict[str, str]:
    return dict(_TITLED.findall((PAGES / page).read_text(encoding="utf-8")))


def test_the_engine_of_its_page_runs_and_so_does_the_test_there(project: Path) -> None:
    blocks = _titled_blocks("write-an-engine.md")
    names: dict[str, Any] = {"__name__": "example"}
    for file in ("quiet_engine/__init__.py", "test_quiet.py"):
        exec(compile(blocks[file], file, "exec"), names)  # noqa: S102 - the page's own code
    names["test_half_of_the_mix_leaves_half"](project / "function")
    with (
        serve_engines(names["QuietEngine"](), state=project / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        result = stemline.separate("interview.wav", {"all": "anything"}, output="quiet", client=client)
    assert result.stems[0].found and result.null.dbfs == -240


def test_the_generator_of_its_page_runs_and_so_does_the_test_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = _titled_blocks("write-a-generator.md")
    (project / "rain_generator").mkdir()
    (project / "rain_generator" / "__init__.py").write_text(blocks["rain_generator/__init__.py"], encoding="utf-8")
    monkeypatch.syspath_prepend(str(project))
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(blocks["test_rain.py"], "test_rain.py", "exec"), names)  # noqa: S102 - the page's own code
    names["test_a_minute_of_rain_has_its_length"](project)
    table = tomllib.loads(blocks["pyproject.toml"])
    assert table["project"]["entry-points"] == {"stemline.generators": {"rain": "rain_generator:RainGenerator"}}


def test_the_package_of_the_engine_page_announces_its_engine() -> None:
    table = tomllib.loads(_titled_blocks("write-an-engine.md")["pyproject.toml"])
    assert table["project"]["entry-points"] == {"stemline.engines": {"quiet": "quiet_engine:QuietEngine"}}
    assert table["build-system"]["build-backend"] and table["project"]["name"] and table["project"]["version"]


def test_the_small_bridge_of_the_host_page_gets_its_tracks(project: Path) -> None:
    (project / "small_bridge.py").write_text(_titled_blocks("write-a-host.md")["small_bridge.py"], encoding="utf-8")
    command = Path(sys.executable).parent / "stemline"
    ended = subprocess.run(
        [sys.executable, "small_bridge.py", str(command), "interview.wav"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
        timeout=120,
    )
    dialogue, residual, end = ended.stdout.splitlines()
    assert dialogue.startswith("dialogue A1") and residual.startswith("residual A1") and end.startswith("done")
    assert len(list((project / "out" / "stems").glob("*.wav"))) == 2


def test_the_server_addresses_of_its_page_reach_other_machines() -> None:
    page = (PAGES / "server.md").read_text(encoding="utf-8")
    addresses = re.findall(r"(?:--server |STEMLINE_SERVER=)([^\s`]+)", page)
    assert len(addresses) == 3
    for address in addresses:
        assert parse_server(address.replace("HOST:PORT", "studio:7861")).tls, address
