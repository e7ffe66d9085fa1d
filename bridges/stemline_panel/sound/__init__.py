# SPDX-License-Identifier: GPL-3.0-or-later
"""The sound of a clip: waveform and spectrogram data, and playback."""
