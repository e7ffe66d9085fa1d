"""SAM Audio from its published checkpoints, without the original code."""

from stemline_server.engines.sam_audio.engine import SamAudioEngine

__all__ = ["SamAudioEngine"]
