"""Fills: sound that takes the place of a removed stem. A fill is a separate track and not part of the null."""

from stemline.fill.activity import ActivityMeter, fill_gains
from stemline.fill.own_file import FillFile, check_channels, convert_fill_file, file_fill
from stemline.fill.room_tone import LEAST_S, RoomTone, RoomToneMethod, learn_room_tone
from stemline.fill.texture import SoundReader

__all__ = [
    "LEAST_S",
    "ActivityMeter",
    "FillFile",
    "RoomTone",
    "RoomToneMethod",
    "SoundReader",
    "check_channels",
    "convert_fill_file",
    "file_fill",
    "fill_gains",
    "learn_room_tone",
]
