"""Say what a sound file proves about its origin: record, signature, credentials, marks, and stems that explain it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from stemline.clips import MediaSource
from stemline.errors import Code, MediaError
from stemline.media import AudioReader, open_audio
from stemline.trust.content_credentials import CredentialsCheck, read_credentials
from stemline.trust.explained import RATE, Explanation, explain
from stemline.trust.privacy import mark_key
from stemline.trust.spread_mark import FoundMark, SpreadMark
from stemline.workflow.verify import Verdict, verify

NOTHING = "Nothing was found. That proves nothing: records and marks can be removed, and most sound never had any."
_MARK_WINDOW_S = 30
_LISTENED_S = 1800  # where a mark is looked for
_FRAME = 2048
_BAND_LIMIT_DB = 80.0
_SILENCE_S = 0.01
_FLOOR = 1e-10
_SAM_AUDIO = "watermark"  # note of the engine in records


@dataclass(frozen=True, slots=True)
class Detection:
    """What one file proves about its origin. It never says whether a model made a sound: no method can.

    Attributes:
        path: The file.
        verdict: Its record and signature; None where the file carries no record.
        credentials: Its Content Credentials; None where there are none.
        mark: The mark of this installation in fills from words; None where this installation has no key of marks.
        explanation: How far the given stems explain it; None without stems.
        observations: Facts about the sound that prove nothing by themselves, one sentence each.

    Examples:
        >>> import stemline
        >>> result = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> found = stemline.detect("interview.wav", against=result.paths.values())
        >>> found.explanation.found, found.verdict
        (True, None)
    """

    path: Path
    verdict: Verdict | None
    credentials: CredentialsCheck | None
    mark: FoundMark | None
    explanation: Explanation | None
    observations: tuple[str, ...]

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found, one sentence each."""
        found = []
        if self.verdict is not None and self.verdict.record is not None:
            found.append(f"Record: {self.verdict.sentence}")
            found += _noted_mark(self.verdict)
        if self.credentials is not None:
            claims = self.credentials.claims
            found.append(self.credentials.sentence + (f" They say: {claims}." if claims else ""))
        if self.mark is not None and self.mark.found:
            message = "too weak to read" if self.mark.message is None else f"{self.mark.message:04x}"
            found.append(f"Mark of this installation in sound made from words; message {message}.")
        if self.explanation is not None and self.explanation.found:
            found.append(self.explanation.sentence)
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the result of `stemline detect --json`."""
        mark = self.mark
        return {
            "file": str(self.path),
            "findings": list(self.findings),
            "record": self.verdict.as_dict() if self.verdict else None,
            "credentials": self.credentials.to_json() if self.credentials else None,
            "mark": {"found": mark.found, "score": round(mark.score, 1), "message": mark.message} if mark else None,
            "explained": self.explanation.to_json() if self.explanation else None,
            "observations": list(self.observations),
        }

    def as_lines(self) -> list[str]:
        """Return what `stemline detect` prints."""
        lines = [f"{self.path}:", *(f"  {finding}" for finding in self.findings or (NOTHING,))]
        if self.explanation is not None and self.explanation.found:
            lines += [f"    {_gain_text(stem.to_json())}" for stem in self.explanation.stems]
        elif self.explanation is not None:
            lines.append(f"  {self.explanation.sentence}")
        return [*lines, *(f"  observed: {text}" for text in self.observations)]


def detect(file: str | os.PathLike[str], *, against: Sequence[str | os.PathLike[str]] = ()) -> Detection:
    """Look for evidence of where a sound file comes from. Files are streamed, and no network is used.

    Args:
        file: Any file with audio; its first stream is looked at.
        against: Stem files, the residual among them. If they explain the file, their gains in it are reported.

    Raises:
        MediaError: A file has no readable audio.
        UsageError: The keys of this installation cannot be read.

    Examples:
        >>> import stemline
        >>> stemline.detect("interview.wav").findings
        ()
    """
    path = Path(file)
    verdict = _verdict(path)
    key = mark_key(make=False)
    return Detection(
        path=path,
        verdict=verdict,
        credentials=verdict.credentials if verdict else read_credentials(path),
        mark=_find_mark(path, key) if key else None,
        explanation=_explain(path, [Path(stem) for stem in against]) if against else None,
        observations=_observe(path),
    )


def _verdict(path: Path) -> Verdict | None:
    """Return the verdict about a file with a record; None for one without, or of another format than stems have."""
    try:
        verdict = verify(path)
    except MediaError as error:
        if error.code in (Code.MEDIA_UNREADABLE, Code.OUTPUT_DAMAGED):
            return None
        raise
    return verdict if verdict.record is not None else None


def _noted_mark(verdict: Verdict) -> list[str]:
    """Return the mark that an engine or a generator left, as the record names it: nothing else can read it."""
    record = verdict.sidecar or verdict.record
    notes = record.file.notes if record and record.file else {}
    message = notes.get(_SAM_AUDIO)
    if not message:
        return []
    return [
        f"The record names the engine's own mark, message {str(message)[:80]!r}; Stemline cannot read it in the sound."
    ]


def _gain_text(stem: dict[str, object]) -> str:
    gain = stem["gain_db"]
    amount = "gain not known" if gain is None else "off" if gain == "off" else f"{gain:+.2f} dB"
    return f"{stem['stem']}: {amount}{', inverted' if stem['inverted'] else ''}, from {stem['start_s']} s"


def _open(path: Path) -> AudioReader:
    return open_audio(MediaSource(str(path.absolute())))


def _find_mark(path: Path, key: bytes) -> FoundMark:
    """Return the strongest mark in windows of 30 seconds that overlap by half."""
    marker, best = SpreadMark(key), FoundMark(0.0, None)
    with _open(path) as reader:
        window, length = _MARK_WINDOW_S * reader.sample_rate, reader.length_samples
        for start in range(0, min(length, _LISTENED_S * reader.sample_rate), window // 2):
            found = marker.find(reader.read(start, min(start + window, length)), reader.sample_rate)
            best = max(best, found, key=lambda mark: mark.score)
    return best


def _explain(path: Path, stems: Sequence[Path]) -> Explanation:
    facts = []
    for stem in stems:
        with _open(stem) as reader:
            facts.append(((reader.length_samples, reader.sample_rate), stem))
    groups = groupby(sorted(facts, key=lambda fact: fact[0]), key=lambda fact: fact[0])
    openers = [[(stem.name, partial(_mono_blocks, stem)) for _, stem in group] for _, group in groups]
    return explain(partial(_mono_blocks, path), openers)


def _mono_blocks(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the fold-down of a file at the rate that sounds are compared at."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with _open(path) as reader:
        for block in reader.blocks(0, reader.length_samples):
            frame = av.AudioFrame.from_ndarray(block.mean(axis=0, dtype=np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = reader.sample_rate
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray()[0]
    for resampled in resampler.resample(None):
        yield resampled.to_ndarray()[0]


def _observe(path: Path) -> tuple[str, ...]:
    """Return facts about a sound: its band, digital silence and noise floor."""
    spectrum, frames, silent, total = np.zeros(_FRAME // 2 + 1), 0, 0, 0
    levels: list[npt.NDArray[np.float64]] = []
    window = np.hanning(_FRAME)
    with _open(path) as reader:
        rate, run = reader.sample_rate, max(1, round(_SILENCE_S * reader.sample_rate))
        for block in reader.blocks(0, reader.length_samples):
            pieces = block[:, : block.shape[1] // _FRAME * _FRAME].reshape(block.shape[0], -1, _FRAME)
            spectrum += (np.abs(np.fft.rfft(pieces * window, axis=2)) ** 2).sum(axis=(0, 1))
            frames += pieces.shape[0] * pieces.shape[1]
            levels.append(np.square(pieces, dtype=np.float64).mean(axis=(0, 2)))
            zero = np.all(block[:, : block.shape[1] // run * run] == 0, axis=0).reshape(-1, run).all(axis=1)
            silent, total = silent + int(zero.sum()) * run, total + block.shape[1]
    facts = []
    if frames and spectrum.max() > 0:
        loud = np.flatnonzero(10 * np.log10(spectrum / spectrum.max() + 1e-30) > -_BAND_LIMIT_DB)
        if loud[-1] < 0.95 * len(spectrum):
            edge = loud[-1] * rate / _FRAME / 1000
            facts.append(f"almost nothing above {edge:.1f} kHz, of {rate / 2000:g} kHz that the file can hold")
    if total:
        facts.append(f"{100 * silent / total:.1f} % of it is digital silence")
    if levels and (floor := np.concatenate(levels)).size:
        facts.append(f"its quietest parts are at {10 * np.log10(np.percentile(floor, 5) + _FLOOR):.0f} dBFS")
    return tuple(facts)
