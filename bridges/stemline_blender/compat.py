"""What Blender calls things from version to version (3.4 to 5.1): one name each for the rest of the extension.

Names are chosen by what is there, never by a version number; where old and new are both there, the new one is used.
"""

from __future__ import annotations

from typing import Any

import bpy

_SEQUENCER_MODALS = ("TRANSFORM_OT_", "SEQUENCER_OT_")
SOUND, MOVIE, META, SCENE = "SOUND", "MOVIE", "META", "SCENE"


def strips_of(holder: Any) -> Any:
    """The strips directly in a sequence editor or a meta strip."""
    return holder.strips if hasattr(holder, "strips") else holder.sequences


def all_strips(editor: Any) -> Any:
    """All strips of a sequence editor, those inside meta strips too."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def editing_scene(context: Any) -> Any:
    """The scene whose sequence is being edited: since Blender 5.0 it need not be the scene of the window."""
    return getattr(context, "sequencer_scene", None) or context.scene


def holder_on_show(editor: Any) -> Any:
    """What the sequencer shows: the editor itself, or the meta strip that the user has opened."""
    stack = editor.meta_stack
    return stack[-1] if len(stack) else editor


def left(strip: Any) -> int:
    """The first frame that the strip plays."""
    return int(strip.left_handle if hasattr(strip, "left_handle") else strip.frame_final_start)


def right(strip: Any) -> int:
    """The frame after the last one that the strip plays."""
    return int(strip.right_handle if hasattr(strip, "right_handle") else strip.frame_final_end)


def set_handles(strip: Any, first: int, end: int) -> None:
    """Trims without moving what is inside."""
    new = hasattr(strip, "left_handle")
    setattr(strip, "right_handle" if new else "frame_final_end", end)
    setattr(strip, "left_handle" if new else "frame_final_start", first)


def content_start(strip: Any) -> int:
    """The frame where the strip's content would begin, were it not trimmed at its left handle."""
    return int(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def hard_trim(strip: Any) -> int:
    """Frames of the media before the content's start that are cut away for good."""
    new = hasattr(strip, "content_trim_start")
    return int(strip.content_trim_start if new else getattr(strip, "animation_offset_start", 0))


def content_length(strip: Any) -> int:
    """Frames of content, untrimmed. A sound that is not there has one."""
    return int(strip.content_duration if hasattr(strip, "content_duration") else strip.frame_duration)


def sound_offset_s(strip: Any) -> float:
    """Seconds by which the sound plays later than its frames say."""
    return float(getattr(strip, "sound_offset", 0.0))


def set_sound_offset(strip: Any, seconds: float) -> bool:
    """False where this Blender (before 4.4) has no such thing."""
    if not hasattr(strip, "sound_offset"):
        return False
    strip.sound_offset = seconds
    return True


def is_retimed(strip: Any) -> bool:
    """Whether the strip plays at another speed than its media."""
    return len(getattr(strip, "retiming_keys", ())) > 0 or getattr(strip, "speed_factor", 1.0) != 1.0


def curves_of(scene: Any, data_path: str) -> list[Any]:
    """The animation curves of one property of the scene (a strip's `volume` say)."""
    return [curve for curve in _curves(scene) if curve.data_path == data_path]


def new_curve(scene: Any, data_path: str) -> Any:
    """A new, empty curve in the scene's animation, which must have one already."""
    return _curves(scene).new(data_path)


def remove_curve(scene: Any, curve: Any) -> None:
    _curves(scene).remove(curve)


def _curves(scene: Any) -> Any:
    """The scene's curves: of its action's slot since Blender 4.4, of the action itself before."""
    animation = scene.animation_data
    if animation is None or animation.action is None:
        return ()
    action, slot = animation.action, getattr(animation, "action_slot", None)
    if slot is None:
        return getattr(action, "fcurves", ())
    for layer in action.layers:
        for part in layer.strips:
            bag = part.channelbag(slot)
            if bag is not None:
                return bag.fcurves
    return ()


def audible(scene: Any) -> bool:
    """The value of `scene.use_audio` with which its sequence sounds. Old versions have it mean the contrary."""
    return "otherwise" in scene.bl_rna.properties["use_audio"].description


def user_is_dragging() -> bool:
    """Whether a tool holds strips just now: the sequence must not change under it."""
    return any(
        operator.bl_idname.startswith(_SEQUENCER_MODALS)
        for window in bpy.context.window_manager.windows
        for operator in getattr(window, "modal_operators", ())
    )


def can_go_online() -> bool:
    return bool(getattr(bpy.app, "online_access", True))


def draw_progress(layout: Any, text: str, fraction: float) -> None:
    if hasattr(layout, "progress"):
        layout.progress(text=text, factor=fraction, type="BAR")
    else:
        layout.label(text=f"{text}  {'▮' * round(fraction * 12)}{'▯' * (12 - round(fraction * 12))}")


def save_copy(path: str) -> None:
    """The file as it is now, saved elsewhere; what is open stays what it is."""
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True, check_existing=False, compress=False)
