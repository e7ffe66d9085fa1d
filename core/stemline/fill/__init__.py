"""Fills: sound that takes the place of a removed stem. A fill is a separate track and not part of the null."""

from stemline.fill.activity import ActivityMeter, fill_gains
from stemline.fill.own_file import (
    MOST_FILE_S,
    FillFile,
    FillPlacement,
    RemovedSound,
    ambience_ranges,
    check_channels,
    convert_fill_file,
    file_fill,
    write_fill_file,
)
from stemline.fill.room_tone import LEAST_S, RoomTone, RoomToneMethod, learn_room_tone, room_tone_along
from stemline.fill.shaping import ROOMS, Ducking, check_room
from stemline.fill.texture import SoundReader, Texture, joined, resampled_blocks

__all__ = [
    "LEAST_S",
    "MOST_FILE_S",
    "ROOMS",
    "ActivityMeter",
    "Ducking",
    "FillFile",
    "FillPlacement",
    "RemovedSound",
    "RoomTone",
    "RoomToneMethod",
    "SoundReader",
    "Texture",
    "ambience_ranges",
    "check_channels",
    "check_room",
    "convert_fill_file",
    "file_fill",
    "fill_gains",
    "joined",
    "learn_room_tone",
    "resampled_blocks",
    "room_tone_along",
    "write_fill_file",
]
