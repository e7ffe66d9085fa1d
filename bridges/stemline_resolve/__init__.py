"""Stemline inside DaVinci Resolve: runs in Resolve's own Python with the live `resolve` object, and answers the panel.

Standard library only, Python 3.8 and later. `stemline install resolve` puts a menu script into Resolve that calls
`main(resolve)`; everything it learns or writes goes through `docs/host-protocol.md`.
"""

from .menu import main

__all__ = ["main"]
