"""Fills: sound that takes the place of a removed stem. A fill is a track of its own and no part of the null."""

from stemline.fill.activity import ActivityMeter
from stemline.fill.room_tone import RoomTone, RoomToneMethod, learn_room_tone

__all__ = ["ActivityMeter", "RoomTone", "RoomToneMethod", "learn_room_tone"]
