"""Risk: memory that grows with the length of the media by more than latents and the solver's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.sam_audio.generated import TINY
from server.sam_audio.peak import peak_bytes

ALLOWED_GROWTH_BYTES = 300 << 20
NOISE_BYTES = 40 << 20
FRAMES_PER_S = 25
LATENT_CHANNELS, STATE_CHANNELS = TINY["audio_codec"]["codebook_dim"], TINY["transformer"]["out_channels"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minutes", [pytest.param(6, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.hour)])
def test_long_media_need_little_more_memory_than_one_minute(checkpoint: Path, text_encoder: Path, minutes: int) -> None:
    minute, long = (peak_bytes(checkpoint, text_encoder, seconds) for seconds in (60, 60 * minutes))
    print(f"peak of a minute {minute / 1e6:.0f} MB, of {minutes} minutes {long / 1e6:.0f} MB")
    own = 4 * (minutes - 1) * 60 * FRAMES_PER_S * (LATENT_CHANNELS + STATE_CHANNELS)
    assert long - minute - own < min(ALLOWED_GROWTH_BYTES, ALLOWED_GROWTH_BYTES * minutes / 60 + NOISE_BYTES)
