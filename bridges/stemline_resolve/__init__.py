"""The bridge inside DaVinci Resolve: it answers the panel with Resolve's live `resolve` object.

Standard library only, Python 3.8 and later. `stemline install resolve` adds a menu script to Resolve that calls
`main(resolve)`. All that the bridge reads or writes goes through `docs/host-protocol.md`.
"""

from .menu import main

__all__ = ["main"]
