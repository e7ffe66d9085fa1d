"""Stemline pulls any sound out of an edit by prompt and puts the stems back as new tracks of that edit."""

from stemline._version import __version__

__all__ = ["__version__"]
