"""Places suggested from the motion of an object, against taking all onsets of the sound, on generated clips."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import stemline

from .measure import report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from core.media.struck_clips import StruckClip, write_struck

SEEDS = (0, 1, 2)
SCENES = ((8, 8), (5, 12))
NEAR_S = 0.06


def main() -> None:
    """Prints recall and precision over all clips."""
    found = right = strikes = onsets = 0
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        os.environ["STEMLINE_CACHE"] = folder
        for own, other in SCENES:
            for seed in SEEDS:
                clip = write_struck(Path(folder), seed + 10 * own, own=own, other=other, seconds=5)
                suggested = stemline.suggest_spans(clip.path, stemline.Box(*clip.box))
                found += len(suggested.spans)
                right += _right(clip, suggested)
                strikes += own
                onsets += suggested.onsets
    report("recall of suggested places", right / strikes, ">= 0.9", "the strikes")
    report("precision of suggested places", right / max(1, found), ">= 0.9", "the strikes")
    report("precision of all onsets", strikes / onsets, "-", "the strikes")


def _right(clip: StruckClip, suggested: stemline.ObjectSpans) -> int:
    starts = [float(stemline.Span(span.start, span.end).start) for span in suggested.spans]
    return sum(any(abs(start - hit) < NEAR_S for start in starts) for hit in clip.hits)


if __name__ == "__main__":
    main()
