"""Make the example edit in examples/interview: a short street interview, rendered and computed here.

    python examples/make_interview.py               media and edit from the speech in examples/interview/speech
    python examples/make_interview.py --say         render that speech first (needs `flite`)

Street, rain and music are computed from fixed seeds, so that a second run gives the same sound.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import opentimelineio as otio
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parent / "interview"
SAMPLE_RATE = 48000
FRAME_RATE = 25
SPEECH_RATE = 16000
LINES = {
    "anna_1": ("slt", "When the rain started, we had been waiting for the tram for nearly an hour."),
    "anna_2": ("slt", "And then he began to play, right there, under the bridge."),
    "ben": ("rms", "I play here every evening. People stop, they listen, and sometimes somebody starts to dance."),
}
RECORDER_START_FRAME = 10 * 3600 * FRAME_RATE  # the field recorder's timecode: 10:00:00:00
CAMERA_SECONDS, RECORDER_SECONDS, STREET_SECONDS = 12, 9, 8

Codec = Literal["flac", "pcm_s16le"]
Sound = NDArray[np.float64]  # [samples] or [channels, samples]


def say() -> None:
    """Render the speech with the free synthesiser flite, as FLAC."""
    for name, (voice, text) in LINES.items():
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / "line.wav"
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(wav)], check=True)
            write_audio(FOLDER / "speech" / f"{name}.flac", read_audio(wav, SPEECH_RATE)[None], "flac", SPEECH_RATE)


def read_audio(path: Path, sample_rate: int) -> Sound:
    """Return the first channel of a file at `sample_rate`."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=sample_rate)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float64)


def spoken(name: str, seconds: float, at: float) -> Sound:
    """Return a line of speech in a small room, `at` seconds into silence."""
    dry = read_audio(FOLDER / "speech" / f"{name}.flac", SAMPLE_RATE)
    echo = np.random.default_rng(7).standard_normal(SAMPLE_RATE // 8) * np.exp(-np.arange(SAMPLE_RATE // 8) / 900)
    wet = np.convolve(dry, np.concatenate([[1.0], 0.02 * echo]))
    line = np.zeros(int(seconds * SAMPLE_RATE))
    start = int(at * SAMPLE_RATE)
    wet = wet[: line.size - start]
    line[start : start + wet.size] = wet
    return 0.1 * line / float(np.sqrt(np.mean(wet**2)))


def coloured(seconds: float, seed: int, low: float, high: float, slope: float) -> Sound:
    """Return noise from `low` to `high` Hz that falls with frequency to the power of `slope`; its RMS is 1."""
    length = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    gain = np.where((frequencies > low) & (frequencies < high), np.maximum(frequencies, 1) ** -slope, 0)
    noise = np.fft.irfft(spectrum * gain, length)
    return noise / float(np.sqrt(np.mean(noise**2)))


def street(seconds: float) -> Sound:
    """Return a rumble of traffic, one car that passes from left to right, a far horn: [2, samples]."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    rumble = np.stack([coloured(seconds, seed, 30, 4000, 0.9) for seed in (1, 2)]) * 0.03
    passing = np.exp(-(((time - 0.6 * seconds) / 1.2) ** 2)) * coloured(seconds, 3, 80, 3000, 0.7) * 0.06
    pan = np.clip((time - 0.6 * seconds) / 3 + 0.5, 0, 1)
    horn = sum(np.sin(2 * np.pi * f * time) for f in (415, 523)) * 0.012 * ((time > 1.5) & (time < 2.1))
    return rumble + np.stack([passing * np.sqrt(1 - pan), passing * np.sqrt(pan)]) + horn


def rain(seconds: float) -> Sound:
    """Return rain, a hiss and drops: [samples]."""
    length = int(seconds * SAMPLE_RATE)
    chance = np.random.default_rng(11)
    drops = np.zeros(length)
    places = chance.integers(0, length, int(90 * seconds))
    drops[places] = chance.uniform(-1, 1, places.size)
    ring = np.exp(-np.arange(400) / 40) * np.sin(np.arange(400) * 0.45)
    return coloured(seconds, 12, 900, 14000, 0.2) * 0.012 + np.convolve(drops, ring)[:length] * 0.05


def guitar(seconds: float) -> Sound:
    """Return plucked chords, by the string model of Karplus and Strong (1983): [samples]."""
    length = int(seconds * SAMPLE_RATE)
    music = np.zeros(length)
    chance = np.random.default_rng(21)
    chords = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7), (164.8, 207.7, 246.9))
    for beat in range(int(seconds * 2)):
        for voice, pitch in enumerate(chords[beat // 4 % 4]):
            start = int((beat * 0.5 + voice * 0.03) * SAMPLE_RATE)
            tone = pluck(pitch, min(length - start, SAMPLE_RATE * 2), chance)
            music[start : start + tone.size] += tone
    return music / float(np.abs(music).max()) * 0.12


def pluck(pitch: float, length: int, chance: np.random.Generator) -> Sound:
    """Return one string: a burst of noise that circulates through a two-point mean, a period at a time."""
    loop = chance.uniform(-1, 1, round(SAMPLE_RATE / pitch))
    periods = []
    for _ in range(length // loop.size + 1):
        periods.append(loop)
        loop = 0.498 * (loop + np.roll(loop, 1))
    return np.concatenate(periods)[:length]


def write_audio(path: Path, sound: Sound, codec: Codec, sample_rate: int, start_sample: int | None = None) -> None:
    """Write [channels, samples] as 16-bit FLAC or WAV; with `start_sample` the WAV carries timecode (BWF)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"write_bext": "1"} if start_sample is not None else {}
    with av.open(str(path), "w", format="flac" if codec == "flac" else "wav", options=options) as container:
        if start_sample is not None:
            container.metadata.update(description="example recorder", time_reference=str(start_sample))
        stream = container.add_stream(codec, rate=sample_rate, layout="mono" if sound.shape[0] == 1 else "stereo")
        add_audio(container, stream, sound, "s16")


def add_audio(
    container: av.container.OutputContainer, stream: av.AudioStream, sound: Sound, sample_format: str
) -> None:
    """Encode a whole sound into a stream."""
    channels = sound.shape[0]
    if sample_format == "s16":
        data = np.round(np.clip(sound, -1, 32767 / 32768) * 32768).astype(np.int16).T.reshape(1, -1)
    else:
        data = sound.astype(np.float32)
    step = 1024 * (channels if sample_format == "s16" else 1)
    for at in range(0, data.shape[1], step):
        block = np.ascontiguousarray(data[:, at : at + step])
        frame = av.AudioFrame.from_ndarray(block, format=sample_format, layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, at * 1024 // step, Fraction(1, stream.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_camera(path: Path, sound: Sound) -> None:
    """Write an mp4 with a moving picture and AAC."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("mpeg4", rate=FRAME_RATE, width=160, height=90, pix_fmt="yuv420p", bit_rate=60000)
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo", bit_rate=128000)
        for number in range(CAMERA_SECONDS * FRAME_RATE):
            picture = np.full((90, 160, 3), (90, 110, 130), np.uint8)
            picture[50:, :] = (60, 60, 64)
            left = number * 2 % 200 - 40
            picture[55:75, max(0, left) : max(0, left + 40)] = (170, 40, 40)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        add_audio(container, audio, sound, "fltp")


def make_media() -> None:
    """Write the media of the edit."""
    anna = spoken("anna_1", CAMERA_SECONDS, 0.8) + spoken("anna_2", CAMERA_SECONDS, 7.6)
    write_camera(FOLDER / "camera.mp4", 1.5 * street(CAMERA_SECONDS) + anna)
    ben, music = spoken("ben", RECORDER_SECONDS, 1.2), guitar(RECORDER_SECONDS)
    recorder = np.stack([0.8 * ben + 1.5 * music + rain(RECORDER_SECONDS), ben + music + rain(RECORDER_SECONDS)])
    start = RECORDER_START_FRAME * SAMPLE_RATE // FRAME_RATE
    write_audio(FOLDER / "recorder.wav", recorder, "pcm_s16le", SAMPLE_RATE, start)
    write_audio(FOLDER / "street.flac", street(STREET_SECONDS)[:1], "flac", SAMPLE_RATE)


def span(start: int, duration: int) -> otio.opentime.TimeRange:
    """Return a range of frames."""
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(start, FRAME_RATE), otio.opentime.RationalTime(duration, FRAME_RATE)
    )


def clip(
    file: str, start: int, duration: int, *, first: int = 0, seconds: int, enabled: bool = True
) -> otio.schema.Clip:
    """Return a clip of a media file; `first` is the frame number of its timecode start."""
    reference = otio.schema.ExternalReference(file, span(first, seconds * FRAME_RATE))
    made = otio.schema.Clip(Path(file).stem, reference, span(first + start, duration))
    made.enabled = enabled
    return made


def gap(duration: int) -> otio.schema.Gap:
    """Return a gap of so many frames."""
    return otio.schema.Gap(source_range=span(0, duration))


def make_edit() -> None:
    """Write the edit: two sound tracks under a picture, with each feature that real edits often have."""
    cross = otio.schema.Transition(
        "cross fade",
        "SMPTE_Dissolve",
        otio.opentime.RationalTime(8, FRAME_RATE),
        otio.opentime.RationalTime(8, FRAME_RATE),
    )
    picture = otio.schema.Track("V1", kind="Video")
    picture.extend([clip("camera.mp4", 10, 160, seconds=CAMERA_SECONDS), gap(165)])
    talk = otio.schema.Track("Talk", kind="Audio")
    ben = clip("recorder.wav", 20, 165, first=RECORDER_START_FRAME, seconds=RECORDER_SECONDS)
    ben.markers.append(otio.schema.Marker("best line", span(RECORDER_START_FRAME + 40, 1)))
    talk.extend(
        [
            clip("camera.mp4", 10, 160, seconds=CAMERA_SECONDS),
            cross,
            ben,
            gap(20),
            clip("camera.mp4", 185, 60, seconds=CAMERA_SECONDS),
            clip("recorder.wav", 30, 40, first=RECORDER_START_FRAME, seconds=RECORDER_SECONDS, enabled=False),
        ]
    )
    nest = otio.schema.Stack("street nest", source_range=span(10, 140))
    bed = otio.schema.Track("bed", kind="Audio")
    bed.extend(
        [clip("street.flac", 0, 90, seconds=STREET_SECONDS), clip("street.flac", 60, 80, seconds=STREET_SECONDS)]
    )
    nest.append(bed)
    place = otio.schema.Track("Place", kind="Audio")
    place.extend(
        [gap(50), nest, clip("lost/phone.wav", 0, 40, seconds=10), clip("street.flac", 100, 75, seconds=STREET_SECONDS)]
    )
    timeline = otio.schema.Timeline("interview", global_start_time=otio.opentime.RationalTime(90000, FRAME_RATE))
    timeline.tracks.extend([picture, talk, place])
    otio.adapters.write_to_file(timeline, str(FOLDER / "edit.otio"))


if __name__ == "__main__":
    if "--say" in sys.argv[1:]:
        say()
    make_media()
    make_edit()
    print(f"wrote {FOLDER}")
