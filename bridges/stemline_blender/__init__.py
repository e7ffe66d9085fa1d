"""Stemline in Blender's Video Sequence Editor: separate sounds of the selected strips by text prompts.

GPL-3.0-or-later. Standard library and Blender alone; Stemline's companion process, `stemline host`, does everything
else (docs/host-protocol.md).
"""

import bpy

from . import operators, panel, preferences, properties, session

bl_info = {
    "name": "Stemline",
    "author": "The Stemline authors",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "Video Sequencer > Sidebar > Stemline",
    "description": "Pull any sound out of an edit by saying what it is",
    "category": "Sequencer",
}

_CLASSES = (
    preferences.StemlinePreferences,
    properties.StemlineSpan,
    properties.StemlineSettings,
    *operators.CLASSES,
    *panel.CLASSES,
)


def register() -> None:
    """Register the classes, the scene's settings and the timer."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.stemline = bpy.props.PointerProperty(type=properties.StemlineSettings)
    bpy.app.handlers.load_post.append(bpy.app.handlers.persistent(session.on_load))
    bpy.app.timers.register(session.tick, first_interval=0.5, persistent=True)


def unregister() -> None:
    """Stop the companion and unregister everything."""
    if bpy.app.timers.is_registered(session.tick):
        bpy.app.timers.unregister(session.tick)
    if session.on_load in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(session.on_load)
    session.SESSION.stop()
    del bpy.types.Scene.stemline
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
