"""Stem files: WAV and FLAC with their metadata, written and read back."""
