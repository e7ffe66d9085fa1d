"""Puts the bridges where their host programs look for them, and writes down where this Stemline is.

Each target (`blender`, `resolve`) is a module of this package with `install` and `uninstall`.
"""

from stemline_app.install.record import bridge_folder, record_installation
from stemline_app.install.target import Outcome, Target, target

__all__ = ["Outcome", "Target", "bridge_folder", "record_installation", "target"]
