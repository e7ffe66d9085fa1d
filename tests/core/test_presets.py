"""Presets: built-in and own ones, exchanged as files that are untrusted."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import stemline
from stemline.errors import StemlineError
from stemline_app.cli import main


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STEMLINE_CACHE", str(tmp_path / "cache"))


def test_an_own_preset_replaces_the_built_in_one_of_its_name_until_it_is_removed() -> None:
    built_in = stemline.find_preset("dog")
    stemline.save_presets([stemline.Preset("DOG", {"dog": "growling"}, {"dog": -math.inf, "residual": 3})])
    assert stemline.find_preset("dog") == stemline.Preset("DOG", {"dog": "growling"}, {"dog": -math.inf, "residual": 3})
    assert len(stemline.list_presets()) == len({preset.name.casefold() for preset in stemline.list_presets()})
    stemline.remove_preset("Dog")
    assert stemline.find_preset("dog") == built_in
    with pytest.raises(StemlineError, match="You have no preset"):
        stemline.remove_preset("dog")


def test_presets_survive_export_and_import(tmp_path: Path) -> None:
    presets = (stemline.Preset("Näht ☂", {"rain": "rain"}), stemline.Preset("B", {"a": "x"}, {"a": -math.inf}))
    stemline.write_presets(tmp_path / "show.json", presets)
    assert stemline.read_presets(tmp_path / "show.json") == presets


@pytest.mark.parametrize(
    ("stems", "amounts"),
    [
        ({}, {}),
        ({"a": "x"}, {"b": -3}),
        ({"a": "x"}, {"a": math.nan}),
        ({"a": "x"}, {"a": 1000}),
        ({"residual": "x"}, {}),
        ({"a": "x\x00y"}, {}),
        ({"a": "x" * 100_000}, {}),
    ],
)
def test_a_preset_that_no_run_accepts_is_refused(stems: dict[str, str], amounts: dict[str, float]) -> None:
    with pytest.raises(StemlineError):
        stemline.Preset("p", stems, amounts)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "[]", "null", DEEP, "\x00\x01", '{"stemline_presets": {}, "version": 1}', '{"stemline_presets": []}',
        '{"stemline_presets": [1], "version": 1}',
        '{"stemline_presets": [{"name": "a", "stems": {"a": 1}}], "version": 1}',
        '{"stemline_presets": [{"name": "a", "stems": {"a": "x"}, "amounts": {"a": true}}], "version": 1}',
        json.dumps({"stemline_presets": [{"name": "a", "stems": {"a": "x"}}] * 1001, "version": 1}),
        " " * 2_000_000,
    ],
)  # fmt: skip
def test_a_hostile_preset_file_is_one_sentence_and_changes_nothing(tmp_path: Path, content: str) -> None:
    stemline.save_presets([stemline.Preset("Mine", {"rain": "rain"})])
    (tmp_path / "bad.json").write_text(content, encoding="utf-8")
    assert main(["presets", "import", str(tmp_path / "bad.json")]) == 2
    assert [preset.name for preset in stemline.presets.own_presets()] == ["Mine"]


def test_presets_are_saved_listed_and_exchanged_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "save", "Quiet fridge", "--stem", "fridge=fridge hum", "--remix", "fridge=-14"]) == 0
    assert main(["presets", "export", str(tmp_path / "mine.json")]) == 0
    assert main(["presets", "remove", "quiet fridge"]) == 0
    assert main(["presets", "import", str(tmp_path / "mine.json")]) == 0
    capsys.readouterr()
    assert main(["presets", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["results"][0]
    assert first == {"name": "Quiet fridge", "stems": {"fridge": "fridge hum"}, "amounts": {"fridge": -14.0}}
    assert main(["separate", "x.wav", "--preset", "no such", "-o", str(tmp_path)]) == 2
    assert "Quiet fridge" in capsys.readouterr().err
