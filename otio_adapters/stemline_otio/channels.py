"""The channels of its media that a clip plays, by the metadata of each format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import opentimelineio as otio

from stemline.clips import MediaSource
from stemline.errors import Code, MediaError
from stemline.media import MediaInfo
from stemline_otio.aaf_media import AAF_KEY, CHANNELS_KEY
from stemline_otio.effects import RESOLVE_KEY
from stemline_otio.format_metadata import EDL_KEY, as_mapping, fcp_facts

_PREMIERE_CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}


def chosen_sources(
    clip: otio.schema.Clip, reference: otio.core.MediaReference, info: MediaInfo
) -> tuple[MediaSource, ...]:
    """Return the sources that the clip itself chooses, one per stream; empty where it states none.

    `reference` is the one of its media references that `info` was read from.

    Raises MediaError (STREAM_UNKNOWN, CHANNEL_UNKNOWN) for what the media does not have.
    """
    chosen = _in_streams(_aaf_channels(reference, info), info)
    if not chosen and not len(clip.metadata):
        return ()
    chosen = chosen or _resolve_channels(clip) or _in_streams(_fcp_channels(clip) or _edl_channels(clip, info), info)
    return tuple(_chosen_source(info, stream, channels) for stream, channels in chosen.items())


def _chosen_source(info: MediaInfo, stream: int, channels: tuple[int, ...]) -> MediaSource:
    if stream >= len(info.streams):
        raise MediaError(
            f"The clip plays audio stream {stream}, but its media has {len(info.streams)}.", code=Code.STREAM_UNKNOWN
        )
    present = info.streams[stream].channels
    if max(channels) >= present:
        raise MediaError(
            f"The clip plays channel {max(channels)}, but its media has {present}.", code=Code.CHANNEL_UNKNOWN
        )
    return MediaSource(info.path, stream, () if channels == tuple(range(present)) else channels)


def _resolve_channels(clip: otio.schema.Clip) -> dict[int, tuple[int, ...]]:
    """Return channels by stream from Resolve's metadata; empty where the clip states nothing usable."""
    listed = as_mapping(clip.metadata.get(RESOLVE_KEY)).get("Channels")
    chosen: dict[int, list[int]] = defaultdict(list)
    for entry in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        stream, channel = as_mapping(entry).get("Source Track ID"), as_mapping(entry).get("Source Channel ID")
        if isinstance(stream, int) and isinstance(channel, int) and stream >= 0 and channel >= 0:
            chosen[stream].append(channel)
    return {stream: tuple(dict.fromkeys(channels)) for stream, channels in chosen.items()}


def _fcp_channels(clip: otio.schema.Clip) -> range:
    """Return channels, counted through the whole file, from the `sourcetrack` of Final Cut 7 XML.

    Each of its audio clips plays one. Premiere writes a stereo or 5.1 clip once per channel; the adapter keeps the
    first of them, which represents all.
    """
    facts = fcp_facts(clip)
    first = str(as_mapping(facts.get("sourcetrack")).get("trackindex", ""))
    if not first.isdecimal() or int(first) < 1 or as_mapping(facts.get("sourcetrack")).get("mediatype") != "audio":
        return range(0)
    width = _PREMIERE_CHANNELS.get(str(facts.get("@premiereChannelType", "")).lower(), 1)
    return range(int(first) - 1, int(first) - 1 + width)


def _edl_channels(clip: otio.schema.Clip, info: MediaInfo) -> range:
    """Return the channel, counted through the whole file, that an edit list states for a track.

    A PATCH comment names it. Else, where one event plays on several tracks, each plays the channel of its own number,
    or, where there are as many channels as tracks, of its place among them. An event on one track plays all channels:
    systems write "A" for a stereo clip too.
    """
    facts = as_mapping(clip.metadata.get(EDL_KEY))
    present = sum(stream.channels for stream in info.streams)
    patched, shared = facts.get("source_channel"), facts.get("channel_of_event")
    if isinstance(patched, int) and 1 <= patched <= present > 1:
        return range(patched - 1, patched)
    if not isinstance(shared, Sequence) or len(shared) != 3 or present < 2:
        return range(0)
    number, place, count = (int(value) for value in shared)
    channel = place if number > present >= count else number
    return range(channel - 1, channel)


def _aaf_channels(reference: otio.core.MediaReference, info: MediaInfo) -> tuple[int, ...]:
    """Return the channels, counted through the whole file, that the mobs of an AAF state. A mono file has but one."""
    if not len(reference.metadata) or sum(stream.channels for stream in info.streams) < 2:
        return ()
    numbers = as_mapping(reference.metadata.get(AAF_KEY)).get(CHANNELS_KEY)
    if not isinstance(numbers, Sequence) or isinstance(numbers, str):
        return ()
    return tuple(sorted({number - 1 for number in numbers if isinstance(number, int) and number > 0}))


def _in_streams(channels: Sequence[int], info: MediaInfo) -> dict[int, tuple[int, ...]]:
    """Group channels that are counted through the whole file by stream."""
    chosen: dict[int, tuple[int, ...]] = {}
    first = 0
    for number, stream in enumerate(info.streams):
        here = tuple(channel - first for channel in channels if first <= channel < first + stream.channels)
        if here:
            chosen[number] = here
        first += stream.channels
    if len(channels) and channels[-1] >= first:
        raise MediaError(
            f"The clip plays channel {channels[-1] + 1}, but its media has {first}.", code=Code.CHANNEL_UNKNOWN
        )
    return chosen
