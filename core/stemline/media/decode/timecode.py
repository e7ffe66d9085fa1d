"""Source timecode: where a file says its first frame or sample stands on the clock."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from av.container import InputContainer

from stemline.errors import UsageError
from stemline.media.decode.container import moving_video
from stemline.media.model import SourceTimecode
from stemline.media.wave.bext import parse_time_reference
from stemline.timebase import is_drop_rate, parse_timecode, snap_rate


def video_frame_rate(container: InputContainer) -> Fraction | None:
    """The exact rate of the video, None without video."""
    video = moving_video(container)
    if video is None:
        return None
    rate = video.average_rate or video.guessed_rate or video.base_rate
    return snap_rate(Fraction(rate)) if rate else None


def source_timecode(container: InputContainer, rate: Fraction | None) -> SourceTimecode | None:
    """The first timecode that the file carries and that makes sense at its frame rate."""
    for text, own_rate in _labels(container):
        at = rate or own_rate
        if at is None:
            continue
        drop = is_drop_rate(at) and (";" in text or "." in text)
        label = text if drop else text.replace(";", ":").replace(".", ":")
        try:
            return SourceTimecode(parse_timecode(label, at), at, drop)
        except UsageError:
            continue
    return None


def _labels(container: InputContainer) -> Iterator[tuple[str, Fraction | None]]:
    """Timecode labels with the rate of what carries them: video streams, then timecode tracks, then the container."""
    for stream in sorted(container.streams, key=lambda stream: stream.type != "video"):
        text = _tag(stream.metadata, "timecode")
        if text:
            rate = getattr(stream, "average_rate", None)
            yield text, snap_rate(Fraction(rate)) if rate else None
    text = _tag(container.metadata, "timecode")
    if text:
        yield text, None


def time_reference(container: InputContainer) -> int | None:
    """The `bext` time reference: samples since midnight."""
    return parse_time_reference(_tag(container.metadata, "time_reference"))


def _tag(metadata: dict[str, str], name: str) -> str:
    return next((value for key, value in metadata.items() if key.lower() == name), "")
