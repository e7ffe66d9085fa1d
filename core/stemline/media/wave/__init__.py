"""Stem files: WAVE and FLAC with their metadata."""
