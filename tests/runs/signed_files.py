"""Sound files of every kind that can carry Content Credentials, and a manifest for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from runs.conftest import noise
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.media.wave.stem_writer import WavWriter
from stemline.trust import content_credentials

Command = Callable[..., tuple[int, dict[str, Any], str]]
RECORD = json.loads((Path(__file__).parents[1] / "core" / "sidecars" / "Hund.json").read_text(encoding="utf-8"))
MANIFEST = content_credentials.stem_manifest({**RECORD, "made_by": "masking", "waveform": []}, "a")
CODECS = {"mp3": "libmp3lame", "m4a": "aac", "mp4": "aac", "mov": "pcm_s16le", "ogg": "libopus", "w64": "pcm_s16le"}
IPTC_TERMS = {
    "algorithmicMedia", "algorithmicallyEnhanced", "composite", "compositeCapture", "compositeSynthetic",
    "compositeWithTrainedAlgorithmicMedia", "computationalCapture", "dataDrivenMedia", "digitalCapture",
    "digitalCreation", "humanEdits", "negativeFilm", "positiveFilm", "print", "screenCapture",
    "trainedAlgorithmicMedia", "virtualRecording",
}  # fmt: skip


def ingredient(media: Path) -> dict[str, Any]:
    return content_credentials.stem_ingredient({"source": {"media": media.name, "audio_sha256": "0" * 64}}, str(media))


def sound_file(path: Path) -> Path:
    """Write two seconds of noise in the format that the suffix names; `float.wav` and `rf64.wav` by their name."""
    if path.suffix in (".wav", ".flac"):
        form = SampleFormat.FLAC if path.suffix == ".flac" else SampleFormat.WAV24
        form = SampleFormat.WAV32F if "float" in path.name else form
        block = np.random.default_rng(1).normal(0, 0.05, (2, 96_000)).astype(np.float32)
        audio = AudioFormat(form, 48_000, 2)
        if "rf64" in path.name:
            from stemline.media import StemTags

            with WavWriter(path, audio, StemTags(), riff_limit=1000) as writer:
                writer.write(block)
            return path
        with open_writer(path, audio) as writer:
            writer.write(block)
        return path
    with av.open(str(noise(path.with_name("plain.wav")))) as given, av.open(str(path), "w") as made:
        stream = made.add_stream(CODECS[path.suffix[1:]], rate=48_000, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        for frame in given.decode(audio=0):
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
