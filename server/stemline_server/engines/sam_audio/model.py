"""The parts of a checkpoint that separation needs."""

from __future__ import annotations

from torch import nn

from stemline_server.engines.sam_audio.codec import Decoder, Encoder
from stemline_server.engines.sam_audio.conditioning import Conditioning
from stemline_server.engines.sam_audio.config import SamAudioConfig
from stemline_server.engines.sam_audio.dit import Dit
from stemline_server.engines.sam_audio.watermark import Watermark


class SamAudioModel(nn.Module):
    """Hold codec, watermark, conditioning and transformer. Vision tower, rankers and text encoder are left out."""

    def __init__(self, config: SamAudioConfig) -> None:
        """Create the parts with uninitialised weights."""
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.audio_codec)
        self.decoder = Decoder(config.audio_codec)
        self.watermark = Watermark(config.audio_codec)
        self.conditioning = Conditioning(config)
        self.dit = Dit(config.transformer)
