"""Long sound is separated in cells: the joined samples depend on the media and the prompt alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest

import stemline
from runs.conftest import noise
from stemline.clips import RESIDUAL, ClipRange, MediaSource, TimeRange
from stemline.hosts.base import HostCapabilities
from stemline.hosts.edits import EditOptions
from stemline.media import open_audio
from stemline.plan import PlanSettings
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings
from stemline.workflow.sidecars import read_sidecar
from stemline_server.engines.base import EnginePrompt, Waveform
from stemline_server.testing import FunctionEngine, LocalServer, serve_engines

RATE, LENGTH_S = 8000, 42
CELL_S, CONTEXT_S = 10, 1
FADE = RATE // 20
PATIENCE_S = 60.0


def at_its_own_level(mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
    """A target that depends on all that the engine hears."""
    return mix * np.float32(0.25 + np.abs(mix).mean())


@pytest.fixture
def take(tmp_path: Path) -> Path:
    return noise(tmp_path / "take.wav", seconds=LENGTH_S, sample_rate=RATE, channels=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    engine = FunctionEngine(at_its_own_level, cell_s=CELL_S, context_s=CONTEXT_S)
    with serve_engines(engine, state=tmp_path / "state") as running:
        yield running


@pytest.fixture
def client(server: LocalServer) -> Iterator[stemline.Client]:
    with stemline.connect(server.address, token=server.token) as connection:
        yield connection


def whole(path: str | Path) -> np.ndarray:
    with open_audio(MediaSource(str(path))) as reader:
        return reader.read(0, reader.length_samples)


def seconds(start: float, end: float) -> slice:
    return slice(round(start * RATE), round(end * RATE))


def computed(client: stemline.Client) -> int:
    """Return how many different sounds the server has separated."""
    return len({job.request.media for job in client.jobs()})


def cut(path: Path, take: Path, *uses: tuple[int, int]) -> Path:
    track = otio.schema.Track(name="A1", kind="Audio")
    at = otio.opentime.RationalTime
    available = otio.opentime.TimeRange(at(0, 25), at(LENGTH_S * 25, 25))
    for start, end in uses:
        used = otio.opentime.TimeRange(at(start * 25, 25), at((end - start) * 25, 25))
        track.append(otio.schema.Clip(f"{start}", otio.schema.ExternalReference(take.as_uri(), available), used))
    timeline = otio.schema.Timeline("cut")
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(path))
    return path


def test_joined_cells_are_the_estimates_of_their_cells_and_null(
    client: stemline.Client, take: Path, tmp_path: Path
) -> None:
    result = stemline.separate(take, {"a": "x"}, output=tmp_path / "out", client=client)
    mix, stem = whole(take), whole(result.paths["a"])
    assert result.null.peak == 0

    def estimate(start: int, end: int) -> np.ndarray:
        """The estimate of one cell, on the place of the media."""
        first, last = max(0, start - CONTEXT_S), min(LENGTH_S, end + CONTEXT_S)
        out = np.zeros_like(mix)
        out[:, seconds(first, last)] = at_its_own_level(mix[:, seconds(first, last)], RATE, EnginePrompt("x"))
        return out

    bounds = [0, 10, 20, 30, LENGTH_S]  # the last two seconds are less than half a cell
    cells = [estimate(start, end) for start, end in pairwise(bounds)]
    expected = cells[0]
    for cell, start in zip(cells[1:], bounds[1:], strict=False):
        weights = np.clip((np.arange(mix.shape[1]) - (start * RATE - FADE // 2) + 0.5) / FADE, 0, 1)
        expected = expected + (cell - expected) * weights
    np.testing.assert_allclose(stem, expected, atol=2**-22)


def test_a_part_has_the_samples_of_the_whole(client: stemline.Client, take: Path, tmp_path: Path) -> None:
    edit = cut(tmp_path / "cut.otio", take, (3, 38))
    options = EditOptions(audition_s=12)
    part = stemline.separate_edit(edit, {"a": "x"}, output=tmp_path / "out", options=options, client=client)
    heard = computed(client)
    full = stemline.separate_edit(edit, {"a": "x"}, output=tmp_path / "out", client=client)
    first = whole(part.clips[0].stems[0].path)
    np.testing.assert_array_equal(first, whole(full.clips[0].stems[0].path)[:, : first.shape[1]])
    assert 0 < heard < computed(client) <= 4, "the full run computes the other cells only"


def test_a_clip_that_grows_computes_only_new_cells(client: stemline.Client, take: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = stemline.separate_edit(cut(tmp_path / "a.otio", take, (3, 17)), {"a": "x"}, output=out, client=client)
    assert computed(client) == 2
    grown = stemline.separate_edit(cut(tmp_path / "b.otio", take, (3, 36)), {"a": "x"}, output=out, client=client)
    assert computed(client) == 4
    assert grown.clips[0].null.peak == 0
    old = whole(before.clips[0].stems[0].path)
    np.testing.assert_array_equal(old, whole(grown.clips[0].stems[0].path)[:, : old.shape[1]])

    trimmed = stemline.separate_edit(cut(tmp_path / "c.otio", take, (5, 30)), {"a": "x"}, output=out, client=client)
    assert trimmed.clips[0].reused
    assert computed(client) == 4


def test_short_extents_and_marked_prompts_stay_whole(client: stemline.Client, take: Path, tmp_path: Path) -> None:
    stemline.separate(take, {"a": "x"}, output=tmp_path / "short", range=(3, 9), client=client)
    assert computed(client) == 1
    marked = {"a": "x", "b": stemline.Prompt("y", [stemline.Span(1, 2)])}
    result = stemline.separate(take, marked, output=tmp_path / "marked", client=client)
    assert {job.request.media for job in client.jobs() if job.request.prompt.text == "y"} == {
        job.request.media for job in client.jobs() if job.request.prompt.plus
    }
    assert computed(client) == 1 + 4 + 1, "four cells for one stem, all of the sound for the other"
    assert result.null.peak == 0

    chained = stemline.separate(
        take, {"a": "x", "b": "y"}, output=tmp_path / "chain", settings=stemline.Settings(chain=True), client=client
    )
    assert chained.null.peak == 0
    assert computed(client) == 1 + 4 + 1


def test_stems_of_a_version_without_cells_are_found(take: Path, tmp_path: Path) -> None:
    edit = cut(tmp_path / "cut.otio", take, (3, 38))
    shorter = cut(tmp_path / "shorter.otio", take, (5, 30))
    for cell_s in (0, CELL_S):
        engine = FunctionEngine(at_its_own_level, cell_s=cell_s, context_s=CONTEXT_S)
        with (
            serve_engines(engine, state=tmp_path / f"state{cell_s}") as running,
            stemline.connect(running.address, token=running.token) as client,
        ):
            result = stemline.separate(take, {"a": "x"}, output=tmp_path / "files", client=client)
            batch = stemline.separate_edit(edit, {"a": "x"}, output=tmp_path / "edits", client=client)
            if not cell_s:
                continue
            assert result.reused
            assert batch.clips[0].reused
            again = stemline.separate_edit(shorter, {"a": "x"}, output=tmp_path / "edits", client=client)
            assert again.clips[0].reused
            assert computed(client) == 0


def test_a_finished_run_is_found_without_computing(client: stemline.Client, take: Path, tmp_path: Path) -> None:
    stemline.separate(take, {"a": "x"}, output=tmp_path / "out", client=client)
    for job in list(client.jobs()):
        client.delete_job(job.name)
        if job.stem:
            client.delete_media(job.stem.media)
    again = stemline.separate(take, {"a": "x"}, output=tmp_path / "out", client=client)
    assert again.reused
    assert computed(client) == 0
    with pytest.raises(stemline.OutputError):
        stemline.separate(take, {"a": "y"}, output=tmp_path / "out", client=client)
    assert computed(client) == 0, "the file in the way is found before the work"


def test_sound_near_the_playhead_comes_first_and_is_that_of_the_files(
    server: LocalServer, client: stemline.Client, take: Path, tmp_path: Path
) -> None:
    with stemline.start(take, {"a": "x"}, output=tmp_path / "out", near=25, client=client) as run:
        blocks = [(block, run.done) for block in run.blocks()]
        result = run.result()
    assert isinstance(result, stemline.Result)
    assert blocks[0][0].start_sample == 25 * RATE
    assert not blocks[0][1], "heard before the end of the run"
    jobs = sorted(client.jobs(), key=lambda job: job.created or 0)
    assert jobs[0].request.origin_sample == (20 - CONTEXT_S) * RATE
    for name, path in result.paths.items():
        own = sorted((block for block, _ in blocks if block.stem == name), key=lambda block: block.start_sample)
        np.testing.assert_array_equal(np.concatenate([block.samples for block in own], axis=1), whole(path))


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, take: Path) -> None:
    separated: list[float] = []

    def slow(mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
        time.sleep(0.5)
        separated.append(float(mix[0, 0]))
        return at_its_own_level(mix, rate, prompt)

    engine = FunctionEngine(slow, cell_s=CELL_S, context_s=CONTEXT_S)
    with (
        serve_engines(engine, state=tmp_path / "state") as running,
        stemline.connect(running.address, token=running.token) as client,
    ):
        program = (
            "import sys, stemline; take, out, address, token = sys.argv[1:];"
            "client = stemline.connect(address, token=token);"
            "stemline.separate(take, {'a': 'x'}, output=out, client=client)"
        )
        argv = [sys.executable, "-c", program, take, tmp_path / "out", running.address, running.token]
        with subprocess.Popen(list(map(str, argv))) as process:
            deadline = time.monotonic() + PATIENCE_S
            while not separated and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
        assert not list((tmp_path / "out").glob("*.wav"))
        result = stemline.separate(take, {"a": "x"}, output=tmp_path / "out", client=client)
    assert result.null.peak == 0
    assert len(separated) == len(set(separated)) == 4, "no cell is computed twice"


def test_stems_in_cells_are_recorded_as_such(client: stemline.Client, take: Path, tmp_path: Path) -> None:
    result = stemline.separate(take, {"a": "x"}, output=tmp_path / "out", client=client)
    for path in result.paths.values():
        record = read_sidecar(Path(path).with_suffix(".json"))
        assert isinstance(record, stemline.Record)
        assert record.file is not None
        assert record.file.cell_samples == CELL_S * RATE
    verdict = stemline.verify(result.paths[RESIDUAL], source=take)
    assert verdict.record is not None


def test_the_full_run_of_the_panel_finds_what_an_audition_computed(
    server: LocalServer, client: stemline.Client, take: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PyQt5")
    from stemline_panel.model.request import RunRequest, audition_range, run_separation

    monkeypatch.setenv("STEMLINE_TOKEN", server.token)
    times = TimeRange(Fraction(3), Fraction(12))
    clip = ClipRange("c", "c", "A1", MediaSource(str(take)), times, times, Fraction(25))
    settings = RunSettings(tmp_path / "out", server=server.address)
    full = RunRequest((StemRequest("a", TimelinePrompt("x")),), (clip,), settings)
    part = replace(
        full,
        clips=(audition_range(clip, Fraction(8), Fraction(3)),),
        settings=replace(settings, output_dir=tmp_path / "part", plan=PlanSettings(handle=Fraction(0))),
        audition=True,
        whole=full.clips,
        whole_handle=settings.plan.handle,
    )
    host = HostCapabilities("test", "1")
    heard = run_separation(part, host, lambda _: None, lambda: False).result.clips[0]
    before = computed(client)
    complete = run_separation(full, host, lambda _: None, lambda: False).result.clips[0]
    assert (before, computed(client)) == (1, 2), "the full run computes the other cell only"
    held, first = whole(heard.stems[0].path), heard.place.file_range.start_sample
    first -= complete.place.file_range.start_sample
    np.testing.assert_array_equal(held, whole(complete.stems[0].path)[:, first : first + held.shape[1]])
