"""SAM Audio, from its published checkpoints and nothing else of it."""

from stemline_server.engines.sam_audio.engine import SamAudioEngine

__all__ = ["SamAudioEngine"]
