"""Fills: sound that takes the place of a removed stem. A fill is a separate track and not part of the null."""

from stemline.fill.activity import ActivityMeter, fill_gains
from stemline.fill.room_tone import LEAST_S, RoomTone, RoomToneMethod, SoundReader, learn_room_tone

__all__ = ["LEAST_S", "ActivityMeter", "RoomTone", "RoomToneMethod", "SoundReader", "fill_gains", "learn_room_tone"]
