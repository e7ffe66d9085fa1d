"""Measure where a stream's samples lie and how many there are, from frames at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer

from stemline.clips import StreamSection
from stemline.errors import Code, MediaError
from stemline.media.decode.channel_map import channel_names, channel_sources, widest
from stemline.media.decode.clock_scan import scan_clock
from stemline.media.decode.container import audio_stream, moving_video, open_container, stat_media
from stemline.media.decode.edit_list import Edit, joining_edits, joins_ranges
from stemline.media.decode.frame_decoder import Anchor, FrameDecoder, Unseekable
from stemline.media.decode.packets import PacketDecoder, decoded_frames
from stemline.media.decode.padded_pcm import padded_streams
from stemline.media.decode.truncation import is_fragmented_mp4, is_truncated
from stemline.media.decode.wave_layout import wave_layout
from stemline.media.model import AudioStream
from stemline.timebase import round_half_up

_SEEK_TRIAL_S = 4
_INDEXED = ("mp4", "flac", "mxf", "aiff")  # their headers state the length; others estimate it
_UNKNOWN_RATE = 48_000
_AT_MOST_24_BITS = ("ape", "tak", "truehd", "mlp", "s302m", "dca", "pcm_dvd", "pcm_bluray", "wmalossless", "shorten")


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream as measured.

    Attributes:
        stream: Its description.
        anchor: Where its samples lie; None where nothing decodes.
        profile: The codec's profile.
        seekable: Whether seeks reach the place that the timestamps state.
        claims_audio: Whether the container says that there is audio.
        cut_short: Whether the file names at least a second more sound than it holds.
        sections: The parts of a stream whose channels or rate change; else empty.
        edits: The edits that join ranges of the stream in MOV and MP4; else empty.
    """

    stream: AudioStream
    anchor: Anchor | None
    profile: str
    seekable: bool
    claims_audio: bool
    cut_short: bool = False
    sections: tuple[StreamSection, ...] = ()
    edits: tuple[Edit, ...] = ()


def stream_facts(path: str | Path, index: int) -> StreamFacts:
    """Measure a stream, once for each state of the file. Raises MediaError."""
    facts = media_facts_of_stream(path, index)
    if not facts.edits:
        return facts
    length = round_half_up(facts.edits[-1].end_s * facts.stream.sample_rate)
    return replace(facts, stream=replace(facts.stream, length_samples=length))


def media_facts_of_stream(path: str | Path, index: int) -> StreamFacts:
    """Measure a stream without its edit list. Raises MediaError."""
    return _measured(str(path), stat_media(path), index)


@lru_cache(maxsize=4096)
def _measured(path: str, _state: tuple[int, int, int], index: int) -> StreamFacts:
    with open_container(path) as container:
        stream = audio_stream(container, index, path)
        head = list(islice(decoded_frames(path, container, stream), 2))
        anchor = _anchored(path, container, stream, head) if head else None
        expected = _expected_end(container, stream, anchor)
        container_name = container.format.name
        indexed = stream.duration is not None and any(name in container_name for name in _INDEXED)
        facts = StreamFacts(
            stream=_describe(path, stream, index, head),
            anchor=anchor,
            profile=stream.profile or "",
            seekable=container_name != "mxf" or seeks_exactly(path, stat_media(path)),
            claims_audio=bool(stream.duration or container.duration),
            edits=joining_edits(path, index) if "mp4" in container_name else (),
        )
    if anchor is None:
        return facts
    clock = scan_clock(path, index, container_name)
    anchor = replace(anchor, parts=clock.parts, breaks=clock.breaks)
    facts = replace(facts, anchor=anchor, seekable=facts.seekable and clock.continuous)
    facts = _with_length(path, facts, expected)
    missing = expected - facts.stream.length_samples
    return replace(facts, cut_short=is_truncated(path, container_name) or (indexed and missing >= anchor.sample_rate))


def _with_length(path: str, facts: StreamFacts, expected: int) -> StreamFacts:
    """Decode the end of a stream, or all of it where its end cannot be found or differs from its start."""
    anchor, stream = facts.anchor, facts.stream
    if anchor is None:
        raise AssertionError("a stream without frames has no length")
    found = _Survey(path, stream.index, anchor)
    if not facts.seekable or not found.decode_tail(expected):
        found.decode_all()
        if found.changes:
            facts = replace(facts, seekable=False, sections=found.sections())
            anchor = replace(anchor, channels=found.channels())
    stream = replace(
        stream,
        sample_rate=anchor.sample_rate,
        channels=len(anchor.channels),
        layout=stream.layout if len(anchor.channels) == stream.channels else found.layout_name(anchor.channels),
        length_samples=max(0, found.end_sample),
    )
    return replace(facts, stream=stream, anchor=anchor)


class _Survey:
    """Finds the end of a stream and the places where its channels change."""

    def __init__(self, path: str, index: int, anchor: Anchor) -> None:
        self._path, self._index, self._anchor = path, index, anchor
        self._layouts: list[tuple[int, tuple[str, ...], str, int]] = []
        self.end_sample = anchor.offset_sample

    @property
    def changes(self) -> bool:
        """Whether the channels or the rate change."""
        return len(self._layouts) > 1

    def decode_tail(self, expected: int) -> bool:
        """Decode the last second. Return whether the end was found and has the channels of the start."""
        with FrameDecoder(self._path, self._index, self._anchor) as decoder:
            try:
                decoder.seek(max(self._anchor.offset_sample, expected - self._anchor.sample_rate))
            except Unseekable:
                return False
            self._decode(decoder)
        at_start = (len(self._anchor.channels), self._anchor.sample_rate)
        return all((len(names), rate) == at_start for _, names, _, rate in self._layouts)

    def decode_all(self) -> None:
        """Decode the whole stream."""
        self._layouts.clear()
        with FrameDecoder(self._path, self._index, self._anchor) as decoder:
            self._decode(decoder)

    def _decode(self, decoder: FrameDecoder) -> None:
        self.end_sample, count, rate = self._anchor.offset_sample, 0, 0
        limit = self._anchor.limit_sample
        for start, frame in decoder.placed_frames():
            if frame.layout.nb_channels != count or decoder.source_rate != rate:
                count, rate = frame.layout.nb_channels, decoder.source_rate
                self._layouts.append((start, channel_names(frame.layout), frame.layout.name, rate))
            if limit is None or start < limit:
                end = start + frame.samples
                self.end_sample = end if limit is None else min(end, limit)

    def channels(self) -> tuple[str, ...]:
        """Return the layout that holds the channels of all sections, or else of the first."""
        names = widest([names for _, names, _, _ in self._layouts])
        return names or self._layouts[0][1]

    def layout_name(self, channels: tuple[str, ...]) -> str:
        """Return FFmpeg's name of a layout that was decoded."""
        return next((name for _, names, name, _ in self._layouts if names == channels), "")

    def sections(self) -> tuple[StreamSection, ...]:
        """Return the parts of equal channels and rate."""
        starts = [start for start, *_ in self._layouts]
        ends = [*starts[1:], self.end_sample]
        whole = self.channels()
        return tuple(
            StreamSection(start, end, _channels_in(whole, names), rate)
            for (start, names, _, rate), end in zip(self._layouts, ends, strict=True)
        )


def _channels_in(whole: tuple[str, ...], names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the channels of `whole` that hold those of a narrower layout."""
    sources = channel_sources(names, whole)
    return () if sources is None else tuple(sources.index(channel) for channel in range(len(names)))


def _anchored(path: str, container: InputContainer, stream: AvAudioStream, head: list[AudioFrame]) -> Anchor:
    pts, sample_rate = head[0].pts or 0, head[0].sample_rate
    time_base = stream.time_base or Fraction(1, sample_rate)
    first_s = pts * time_base
    anchor = Anchor(
        pts=pts,
        time_base=time_base,
        sample_rate=sample_rate,
        offset_sample=round_half_up((first_s - _zero_s(path, container, stream, first_s)) * sample_rate),
        first_length=head[0].samples,
        grid=head[-1].samples,
        limit_sample=None,
        channels=channel_names(head[0].layout),
    )
    return _limited(anchor, container, stream)


def _zero_s(path: str, container: InputContainer, stream: AvAudioStream, first_s: Fraction) -> Fraction:
    """Return the file's time zero in seconds of the stream's clock; `first_s` is its first decoded sample.

    Zero is that of the media in a file whose edits are applied by `EditedRanges`; the start of the video; without one
    the start of the timeline that MOV and MP4 declare; elsewhere the first sample of any stream.
    """
    if "mp4" in container.format.name and joins_ranges(path):
        return Fraction(0)
    video = moving_video(container)
    if video is not None:
        if video.start_time is not None and video.time_base is not None:
            return video.start_time * video.time_base
        return Fraction(container.start_time or 0, 1_000_000)
    if "mp4" in container.format.name and not is_fragmented_mp4(path):
        return min(Fraction(0), first_s)
    starts = {
        number: other.start_time * other.time_base
        for number, other in enumerate(container.streams.audio)
        if other.index != stream.index and other.start_time is not None and other.time_base is not None
    }
    near = [number for number, start in starts.items() if start < first_s and start < min(starts.values()) + 1]
    return min([first_s, *(found for number in near if (found := _first_s(path, number)) is not None)])


def _first_s(path: str, index: int) -> Fraction | None:
    """Return the time of a stream's first decoded sample, None where nothing decodes."""
    with open_container(path) as container:
        try:
            stream = audio_stream(container, index, path)
        except MediaError:
            return None
        frame = next(decoded_frames(path, container, stream), None)
        return None if frame is None or frame.pts is None or stream.time_base is None else frame.pts * stream.time_base


def _limited(anchor: Anchor, container: InputContainer, stream: AvAudioStream) -> Anchor:
    """Add where the audio ends: MOV and MP4 say exactly how much of the last packet is audio, others do not."""
    if "mp4" not in container.format.name or stream.duration is None or stream.start_time is None:
        return anchor
    return replace(anchor, limit_sample=round_half_up(anchor.place(stream.start_time + stream.duration)))


@lru_cache(maxsize=4096)
def seeks_exactly(path: str, _state: tuple[int, int, int]) -> bool:
    """Return whether a seek finds the packet that reading on finds.

    FFmpeg guesses in an MXF that lacks its index because it was cut short.
    """
    with open_container(path) as container:
        stream = audio_stream(container, 0, path)
        wanted = int(_SEEK_TRIAL_S / (stream.time_base or Fraction(1, stream.sample_rate)))
        places: dict[int | None, int | None] = {}
        for packet in PacketDecoder(path, container, stream).packets():
            places[packet.pts] = packet.pos
            if packet.pts is not None and packet.pts > wanted:
                break
        else:
            return False
        try:
            container.seek(wanted // 2, stream=stream)
            found = next(PacketDecoder(path, container, stream).packets(), None)
        except (av.FFmpegError, OSError):
            return False
        return found is not None and found.pts in places and places[found.pts] == found.pos


def _expected_end(container: InputContainer, stream: AvAudioStream, anchor: Anchor | None) -> int:
    """Return the media sample at which the container says the stream ends; only a hint."""
    if anchor is None:
        return 0
    if stream.duration is not None:
        return anchor.offset_sample + int(stream.duration * anchor.tick_samples)
    return anchor.offset_sample + (container.duration or 0) * anchor.sample_rate // 1_000_000


def _describe(path: str, stream: AvAudioStream, index: int, head: list[AudioFrame]) -> AudioStream:
    sample_format, bits = _sample_grid(path, stream, index, head)
    name = stream.layout.name
    named = len({channel.name for channel in stream.layout.channels}) == stream.channels
    return AudioStream(
        index=index,
        codec=stream.codec_context.name,
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        layout=name if named and "channels" not in name else "",
        sample_format=sample_format,
        bits=bits,
        length_samples=0,
    )


def _sample_grid(path: str, stream: AvAudioStream, index: int, head: list[AudioFrame]) -> tuple[str, int]:
    """Return the format of the grid that the samples lie on, and its bits (0 where the codec is lossy).

    The decoded format decides. A codec's header only narrows the 32 bits of decoders that return more than 16.
    """
    codec = stream.codec_context.codec
    decoded = head[0].format.name.removesuffix("p") if head else "flt"
    if decoded in ("flt", "dbl"):
        bits = 64 if decoded == "dbl" else 32
        return f"f{bits}", 32 if codec.lossless else 0
    if not codec.lossless:
        return {"s16": "s16", "s32": "s32", "u8": "u8"}.get(decoded, "f32"), 0
    bits = {"u8": 8, "s16": 16}.get(decoded) or _deep_bits(path, stream, index) or 32
    return ("u8" if bits <= 8 else "s16" if bits <= 16 else "s24" if bits <= 24 else "s32"), bits


def _deep_bits(path: str, stream: AvAudioStream, index: int) -> int:
    """Return the real bits of a stream that decodes to 32 bits, 0 where its header does not state them."""
    name, header = stream.codec_context.name, stream.codec_context.extradata or b""
    if name in _AT_MOST_24_BITS:
        return 24
    if name.startswith("pcm_"):
        digits = "".join(filter(str.isdigit, name.removeprefix("pcm_")))[:2]
        return _valid_bits(path, stream, index) or (int(digits) if digits in ("20", "24", "32") else 0)
    if name == "flac" and len(header) >= 14:
        return ((header[12] & 1) << 4 | header[13] >> 4) + 1
    if name == "alac" and len(header) >= 18:
        return header[17]
    if name == "tta" and len(header) >= 10 and header[:3] == b"TTA":
        return int.from_bytes(header[8:10], "little")
    return _wavpack_bits(path, stream.index) if name == "wavpack" else 0


def _valid_bits(path: str, stream: AvAudioStream, index: int) -> int:
    """Return the bits that carry sound in samples of PCM that are larger, 0 where no sample is padded."""
    if stream.container.format.name == "wav":
        layout = wave_layout(path)
        return layout.valid_bits if layout else 0
    return next((padded.valid_bits for padded in padded_streams(path) if padded.stream == index), 0)


def _wavpack_bits(path: str, stream_index: int) -> int:
    """Return the bits of WavPack's samples from the flags of its first block."""
    with open_container(path) as container:
        for packet in container.demux(container.streams[stream_index]):
            head = bytes(memoryview(packet)[:32])
            if head[:4] != b"wvpk" or len(head) < 32:
                return 0
            flags = int.from_bytes(head[24:28], "little")
            return 8 * ((flags & 3) + 1) - (flags >> 13 & 31)
    return 0


def describe_streams(path: str | Path, count: int) -> Iterator[AudioStream]:
    """Yield every audio stream of a file. One that no decoder supports has no channels and no samples."""
    for index in range(count):
        try:
            yield stream_facts(path, index).stream
        except MediaError as error:
            if error.code is not Code.MEDIA_UNSUPPORTED:
                raise
            yield AudioStream(index, "", _UNKNOWN_RATE, 0, "", "", 0, 0)
