"""A strict fake of DaVinci Resolve's scripting objects: standard library only, Python 3.8.

Calls are held against the public type stubs of the API (`signatures`), everything that is undocumented in the chosen
version is a fault (`strict`), and the objects behave as Resolve was seen to (`project`, `pool`, `timeline`, `item`).
`sound` plays a timeline with arithmetic of its own. Nothing here was compared with a real Resolve.
"""

from .strict import Referee
from .world import Fake, build

__all__ = ["Fake", "Referee", "build"]
