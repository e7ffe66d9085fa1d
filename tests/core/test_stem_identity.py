"""Stem keys and sidecars keep their bytes, so that a new version finds and verifies what an earlier one wrote."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from google.protobuf.descriptor import Descriptor

from stemline._version import __version__
from stemline.client import Client, Job, JobRequest, JobState, JobWarning, Model, Stem
from stemline.clips import RESIDUAL, MediaFacts, MediaSource, SampleRange
from stemline.identity import NOT_IN_THE_KEY, SEPARATION, IdentityField
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.plan import Extent, Part, PlannedJob, StemSegment, undivided
from stemline.prompts import SamplePrompt
from stemline.v1 import separation_pb2 as pb
from stemline.workflow.json_reader import RecordError
from stemline.workflow.recipe import PartSound, Recipe
from stemline.workflow.record import StemRecord
from stemline.workflow.segment_writer import SegmentWork, write_segment
from stemline.workflow.settings import RunSettings
from stemline.workflow.sidecars import read_sidecar

pytestmark = pytest.mark.smoke

SIDECARS = Path(__file__).parent / "sidecars"
NOOP = Model(
    id="noop",
    title="No operation",
    revision="noop-1",
    sample_rate=0,
    multichannel=True,
    takes_spans=True,
    takes_free_text=True,
    available=True,
    loaded=False,
    note="",
    licence="",
)
MEDIA = "media/" + "a" * 64
LENGTH = 4800


def recipe(path: str, settings: RunSettings) -> Recipe:
    """The second tenth of a second of a file, two stems: one of words and spans, one of words."""
    source = MediaSource(path, 0, (), settings.channels == "mono")
    extent = Extent(source, SampleRange(1200, LENGTH))
    segment = StemSegment(source, SampleRange(2400, 3600), SampleRange(1920, 4800), extent, ("clip 1",))
    spans = (SampleRange(0, 480), SampleRange(960, 1200))
    jobs = (
        PlannedJob(extent, "Hund", SamplePrompt("der Hund bellt, größer", spans)),
        PlannedJob(extent, "voice", SamplePrompt("speech", (), (SampleRange(100, 200),))),
    )
    cell = undivided(extent)
    sounds = {job.stem: (PartSound(Part(cell, job.stem, job.prompt), MEDIA),) for job in jobs}
    return Recipe(segment, MediaFacts(48000, 2, LENGTH), jobs, sounds, NOOP, 2, settings)


def settings(**changes: object) -> RunSettings:
    return replace(RunSettings(Path("out")), **changes)  # type: ignore[arg-type]


# Taken from the version before the key got its declared field list. Never change them: change the code.
GOLDEN_KEYS = [
    (
        settings(),
        {
            "Hund": (
                "228943f8f1a0326e1f51fcac52c86e151100fb0ce26cf8e73593a97d0b587609",
                "dacb0c821f4a75970020c17968edf3840d3238dbab557e9dde4a64ba8e0cb612",
            ),
            "voice": (
                "eba82f8ae0bf28582f55f4d8141b02c7cd25db9e05bccd39971d50b5ad02a1e4",
                "d0df4e8d4f63edca1bc248c3cf0fd96a9f7a9a105a202cf7f45abc6c5a6ed54f",
            ),
            "residual": (
                "70800a0125b9b79aba0862717301fe0760a842c73dc065c5f1af54f09e29d915",
                "e6277530472da44ddece4b840850a22d48738f5d98719483c47f9effd77e4d99",
            ),
        },
    ),
    (
        settings(chain=True, seed=(1 << 64) - 1, quality="best"),
        {
            "Hund": (
                "207dff20682c3f933cd77957f42bf30d2e5f31d9a4602de2ce7daffb244e54b8",
                "934460281543b1e1b885f6833721d25fb318433bd5dfd30c5a46ef76a0cc9e72",
            ),
            "voice": (
                "6c36c22dc30566bb8cecb303c7b4f8389453a097670e284668a819c1d640e884",
                "71fd195487e0a80f28d0b53307252e8e55d348b5c40aff1615cf70cf3e6f54a2",
            ),
            "residual": (
                "8f43f56021b0c652e4318e5b6b83ef2bcd0916d110c430ab9517fc8430710d22",
                "53947488effd7fdfb085a5e9e5d228b32cdac1058936cbb8bd1429f36677aef2",
            ),
        },
    ),
    (
        settings(channels="mono", sample_format="flac"),
        {
            "Hund": (
                "fac85b42e4433b7a71614d2a8dc0ccd9fa3e0d7a9f6ba58d2e54284b4c488fef",
                "11984090fe1bc17b118c6733ab1107c4898fd2acf7f6b85e05567a0eb462a304",
            ),
            "voice": (
                "2d953c73b0bc97c6dcca3e030609b2f8091b4f2deda0da715aee34d0a9008b3b",
                "906c5583e0872cf848da925f7e18a795018cd4fe1fcf141e7e74bd4fc16dde9b",
            ),
            "residual": (
                "093e44cdd7cbd580908fba076066221c77bc21eafb188946e3233823bee92f54",
                "d869491b5ba84d43343552eae91224514eb70757fb78b395f1a3fb0d1e217ca7",
            ),
        },
    ),
]


@pytest.mark.parametrize(("run", "digests"), GOLDEN_KEYS)
def test_a_stem_of_an_earlier_version_keeps_its_key(run: RunSettings, digests: dict[str, tuple[str, str]]) -> None:
    made = recipe("/media/take 1.wav", run)
    assert {name: (made.key(name), made.fingerprint(name)) for name in ("Hund", "voice", RESIDUAL)} == digests


class Sounds:
    """Answers `open_media` of the client from arrays."""

    channels = 2

    def __init__(self, extent: npt.NDArray[np.float32]) -> None:
        self._extent = extent

    def open_media(self, name: str) -> Sounds:
        return Sounds(self._extent * np.float32(0.25 if name == "media/1" else 0.5))

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        return self._extent[:, start_sample:end_sample]

    def close(self) -> None:
        pass


def job(name: str, stem: Stem) -> Job:
    return Job(name, JobRequest(MEDIA, SamplePrompt()), JobState.SUCCEEDED, stem=stem, revision="noop-1")


def written_sidecars(folder: Path) -> dict[str, str]:
    """The sidecars of a small set by stem name, without the values that depend on the folder and the version."""
    path = folder / "take.wav"
    ramp = np.linspace(-0.5, 0.5, LENGTH, dtype=np.float32)
    sound = np.round(np.stack([ramp, ramp[::-1]]) * 2**20) / np.float32(2**20)
    with open_writer(path, AudioFormat(SampleFormat.WAV24, 48000, 2)) as writer:
        writer.write(sound.astype(np.float32))
    made = recipe(str(path), settings(seed=7, record_paths="full"))
    paths = {name: folder / name for name in ("Hund", "voice", RESIDUAL)}
    work = SegmentWork(made, paths, {name: made.fingerprint(name) for name in paths})
    warning = JobWarning("LOW_CONFIDENCE", "It may be the wrong sound.")
    jobs = {
        "Hund": (job("jobs/1", Stem("media/1", True, 0.75, "dog", (warning,), (("watermark", "0a1b"),))),),
        "voice": (job("jobs/2", Stem("media/2", False, 0.0, "")),),
    }
    write_segment(work, jobs, cast(Client, Sounds(sound[:, 1200:].astype(np.float32))), lambda: False)
    texts = {}
    for name in paths:
        text = (folder / f"{name}.json").read_text(encoding="utf-8")
        size = str(json.loads(text)["file"]["bytes"])
        text = text.replace(path.as_uri(), "file:///media/take.wav").replace(f'"bytes": {size}', '"bytes": 1')
        text = re.sub(r'("sample_rate": 48000), "audio_sha256": "[0-9a-f]{64}"', r"\1", text)  # added since
        texts[name] = text.replace(f'"engine_version": "{__version__}"', '"engine_version": "0.1.0"')
    return texts


@pytest.mark.parametrize("name", ["Hund", "voice", RESIDUAL])
def test_a_sidecar_is_written_as_earlier_versions_wrote_it(name: str, tmp_path: Path) -> None:
    assert written_sidecars(tmp_path)[name] == (SIDECARS / f"{name}.json").read_text(encoding="utf-8")


def paths_of(descriptor: Descriptor) -> set[str]:
    """The paths of all values in a message; a repeated message is one value."""
    found = set()
    for field in descriptor.fields:
        if field.message_type is not None and not field.is_repeated:
            found |= {f"{field.name}.{path}" for path in paths_of(field.message_type)}
        else:
            found.add(field.name)
    return found


def test_every_field_of_a_request_is_in_the_key_or_exempt() -> None:
    declared = {field.path for field in SEPARATION.fields}
    message = {path.removeprefix("spec.") for path in paths_of(pb.CreateJobRequest.DESCRIPTOR)} - {"kind"}
    assert message - declared == NOT_IN_THE_KEY
    assert not declared & NOT_IN_THE_KEY
    request = {f.name for f in fields(JobRequest)} - {"prompt"} | {f"prompt.{f.name}" for f in fields(SamplePrompt)}
    assert request == message, "the client can ask for what the server can be asked for"


def test_a_missing_field_gives_no_key() -> None:
    values = SEPARATION.values_of(JobRequest(MEDIA, SamplePrompt("dog")), revision="1", pipeline_version=2)
    assert len(SEPARATION.job_key(values)) == 64
    del values["seed"]
    with pytest.raises(ValueError, match="seed"):
        SEPARATION.job_key(values)


def test_a_field_added_later_keeps_the_keys_of_earlier_requests_and_changes_new_ones() -> None:
    later = replace(SEPARATION, fields=(*SEPARATION.fields, IdentityField("prompt.box", default="")))
    values = SEPARATION.values_of(JobRequest(MEDIA, SamplePrompt("dog")), revision="1", pipeline_version=2)
    without, boxed = {**values, "prompt.box": ""}, {**values, "prompt.box": "0,0,1,1"}
    for old, new in ((SEPARATION.stem_key, later.stem_key), (SEPARATION.job_key, later.job_key)):
        assert new(without) == old(values) != new(boxed)
    assert later.group_key(boxed) == SEPARATION.group_key(values)


def test_jobs_of_two_kinds_never_share_a_key() -> None:
    generation = replace(SEPARATION, kind="generate")
    values = SEPARATION.values_of(JobRequest(MEDIA, SamplePrompt("dog")), revision="1", pipeline_version=2)
    assert generation.job_key(values) != SEPARATION.job_key(values)
    assert generation.group_key(values) != SEPARATION.group_key(values)


@pytest.mark.parametrize("name", ["Hund", "voice", RESIDUAL])
def test_a_sidecar_that_is_read_and_written_again_keeps_its_bytes(name: str) -> None:
    text = (SIDECARS / f"{name}.json").read_text(encoding="utf-8")
    assert json.dumps(StemRecord.from_json(json.loads(text)).to_json(), ensure_ascii=False) == text


def objects_in(value: dict[str, Any]) -> list[dict[str, Any]]:
    """An object and all those inside it."""
    return [value, *(inner for part in value.values() if isinstance(part, dict) for inner in objects_in(part))]


def test_values_of_a_later_version_survive_reading_and_writing() -> None:
    record = json.loads((SIDECARS / "Hund.json").read_text(encoding="utf-8"))
    for number, part in enumerate(objects_in(record)):
        part["added"] = {"by": ["a later version", number]}
    record["warnings"][0]["added"] = 1
    assert StemRecord.from_json(record).to_json() == record


def test_a_clip_carries_the_record_without_what_belongs_to_the_sidecar() -> None:
    record = json.loads((SIDECARS / "Hund.json").read_text(encoding="utf-8"))
    names = list(StemRecord.from_json({**record, "added": 1}).clip_json())
    assert names == list(record)[: list(record).index("work")]


@pytest.mark.parametrize("name", ["version", "prompt", "source", "settings", "handle_samples", "file", "null"])
@pytest.mark.parametrize("odd", [None, 1.5, "x", [1], {"name": "../x"}, True])
def test_a_value_of_the_wrong_type_is_not_a_record(name: str, odd: object) -> None:
    record = json.loads((SIDECARS / "Hund.json").read_text(encoding="utf-8"))
    with pytest.raises(RecordError):
        StemRecord.from_json({**record, name: odd})


@pytest.mark.parametrize("odd", ["", "..", "a/b.wav", "/etc/passwd", "a\\b.wav"])
def test_a_sidecar_cannot_name_a_file_of_another_folder(odd: str) -> None:
    record = json.loads((SIDECARS / "Hund.json").read_text(encoding="utf-8"))
    record["file"]["name"] = odd
    with pytest.raises(RecordError):
        StemRecord.from_json(record)


@pytest.mark.parametrize("text", ["[1]", "[" * 100_000, "", '{"state": "writing"}', "\xff"])
def test_a_sidecar_that_holds_something_else_is_ignored(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    assert read_sidecar(tmp_path / "a.json") is None
