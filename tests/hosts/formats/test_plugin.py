"""The OpenTimelineIO plug-in, as programs of OpenTimelineIO use it: in processes of their own, by its manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest

from hosts.formats.exported import stereo_edit, written
from hosts.otio.support import audio_track, clip, cross, gap, save
from stemline.hosts.base import Selection
from stemline_otio import OtioTarget, open_edit

pytestmark = pytest.mark.smoke

MANIFEST = Path(__file__).parents[3] / "otio_adapters" / "otio_stemline" / "plugin_manifest.json"


def with_plugin(*command: str, **more: str) -> str:
    environment = {**os.environ, "OTIO_PLUGIN_MANIFEST_PATH": str(MANIFEST), **more}
    environment["OTIO_DISABLE_ENTRYPOINTS_PLUGINS"] = "1"
    done = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def convert(source: Path, target: Path, *more: str) -> None:
    with_plugin("-m", "opentimelineio.console.otioconvert", "-i", str(source), "-o", str(target), *more)


def test_a_work_list_is_made_and_read_by_otioconvert(tmp_path: Path) -> None:
    edit = stereo_edit(tmp_path, Fraction(30000, 1001))
    work, back = tmp_path / "cut.stemline", tmp_path / "back.otio"
    convert(edit, work, "-A", 'stems={"dialogue": "speech"}')
    listed = json.loads(work.read_text(encoding="utf-8"))
    assert listed["stems"] == [{"name": "dialogue", "text": "speech"}]
    assert [e["record"] for e in listed["work"]] == [{"start": 10, "length": 50}, {"start": 80, "length": 30}]
    assert {e["rate"] for e in listed["work"]} == {"30000/1001"}
    convert(work, back)
    wanted = open_edit(edit, OtioTarget(tmp_path / "a.otio")).read_clips(Selection()).clips
    found = open_edit(back, OtioTarget(tmp_path / "b.otio")).read_clips(Selection()).clips
    assert [(c.source, c.source_range, c.record_range) for c in found] == [
        (c.source, c.source_range, c.record_range) for c in wanted
    ]


def test_what_cannot_be_separated_is_listed_with_its_reason(tmp_path: Path) -> None:
    muted = clip("a.wav", (0, 10), 25, (0, 100))
    muted.enabled = False
    fast = clip("b.wav", (0, 10), 25, (0, 100), effects=[otio.schema.LinearTimeWarp(time_scalar=2.0)])
    path = save(tmp_path / "x.otio", audio_track("A1", [muted, gap(5, 25), fast, cross(2, 2, 25), fast.deepcopy()]))
    convert(path, tmp_path / "x.stemline")
    work = json.loads((tmp_path / "x.stemline").read_text(encoding="utf-8"))["work"]
    assert [bool(entry["left_out"]) for entry in work] == [True, True, True]
    assert work[1]["source"]["length"] == 20


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stemline_work": 99}'])
def test_what_is_no_work_list_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.stemline"
    path.write_text(text)
    code = (
        "import sys, opentimelineio as o\ntry: o.adapters.read_from_file(sys.argv[1])\nexcept ValueError: print('no')"
    )
    assert with_plugin("-c", code, str(path)) == "no\n"


def test_stems_that_moved_are_linked_again_and_others_left_alone(tmp_path: Path) -> None:
    edit, _ = written(stereo_edit(tmp_path, Fraction(25)), tmp_path)
    timeline = otio.adapters.read_from_file(str(edit))
    stems = [c for t in timeline.tracks if "stemline" in t.metadata for c in t.find_clips()]
    moved = tmp_path / "moved"
    (tmp_path / "out" / "stems").rename(moved)
    for number, stem in enumerate(stems):
        file = moved / Path(stem.media_reference.target_url).name
        stem.metadata["stemline"]["key"] = f"key {file.stem}"
        own = stem.metadata["stemline"]["source"]
        record = {"stem": stem.metadata["stemline"]["stem"], "key": f"key {file.stem}", "file": {"name": file.name}}
        record["source"] = {"start_sample": own["start_sample"], "end_sample": own["end_sample"]}
        if number:
            file.with_suffix(".json").write_text(json.dumps(record))
    otio.adapters.write_to_file(timeline, str(edit))
    out = tmp_path / "linked.otio"
    convert(edit, out, "-m", "stemline", "-M", f'folder="{moved}"')
    linked = otio.adapters.read_from_file(str(out))
    urls = [c.media_reference.target_url for t in linked.tracks if "stemline" in t.metadata for c in t.find_clips()]
    assert urls[0] == stems[0].media_reference.target_url
    assert all(url.startswith(moved.as_uri()) for url in urls[1:])
    assert linked.tracks[0][1].media_reference.is_equivalent_to(timeline.tracks[0][1].media_reference)


def test_hooks_are_there_and_attached_to_nothing() -> None:
    code = (
        "import opentimelineio as o, json\n"
        "m = o.plugins.ActiveManifest()\n"
        "print(json.dumps([[s.name for s in m.hook_scripts], {k: v for k, v in m.hooks.items() if v}]))"
    )
    scripts, attached = json.loads(with_plugin("-c", code))
    assert {"stemline_prepare_write", "stemline_path_map"} <= set(scripts)
    assert not any(name.startswith("stemline") for names in attached.values() for name in names)


def test_a_user_can_attach_the_hooks(tmp_path: Path) -> None:
    edit = stereo_edit(tmp_path, Fraction(25))
    manifest = tmp_path / "own.json"
    hooks = {"pre_adapter_write": ["stemline_path_map", "stemline_prepare_write"]}
    manifest.write_text(json.dumps({"OTIO_SCHEMA": "PluginManifest.1", "hooks": hooks}))
    code = (
        "import sys, opentimelineio as o\n"
        "t = o.adapters.read_from_file(sys.argv[1])\n"
        "m = {'path_map': {sys.argv[3]: '/mnt/show'}, 'format': 'xml'}\n"
        "o.adapters.write_to_file(t, sys.argv[2], hook_function_argument_map=m)"
    )
    with_plugin(
        "-c", code, str(edit), str(tmp_path / "x.otio"), str(tmp_path),
        OTIO_PLUGIN_MANIFEST_PATH=os.pathsep.join([str(manifest), str(MANIFEST)]),
    )  # fmt: skip
    clips = list(otio.adapters.read_from_file(str(tmp_path / "x.otio")).find_clips())
    assert [c.media_reference.target_url for c in clips] == ["/mnt/show/take.wav"] * 2
    assert len({c.metadata["fcp_xml"]["@id"] for c in clips}) == 2


def test_an_edit_with_stems_opens_where_the_plug_in_is_missing(tmp_path: Path) -> None:
    edit, _ = written(stereo_edit(tmp_path, Fraction(25)), tmp_path)
    code = "import sys, opentimelineio as o; print(len(o.adapters.read_from_file(sys.argv[1]).tracks))"
    out = with_plugin("-c", code, str(edit), OTIO_PLUGIN_MANIFEST_PATH="")
    assert out == "3\n"
