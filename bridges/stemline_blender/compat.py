"""Names that Blender changed between versions 3.4 and 5.1: one function each for the rest of the extension.

A name is chosen by what exists, never by a version number. Where the old and the new one exist, the new one is used.
"""

from __future__ import annotations

from typing import Any

import bpy

_SEQUENCER_MODALS = ("TRANSFORM_OT_", "SEQUENCER_OT_")
SOUND, MOVIE, META, SCENE = "SOUND", "MOVIE", "META", "SCENE"


def strips_of(holder: Any) -> Any:
    """Return the strips directly in a sequence editor or a meta strip."""
    return holder.strips if hasattr(holder, "strips") else holder.sequences


def all_strips(editor: Any) -> Any:
    """Return all strips of a sequence editor, including those inside meta strips."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def editing_scene(context: Any) -> Any:
    """Return the scene whose sequence is edited. Since Blender 5.0 it need not be the window's scene."""
    return getattr(context, "sequencer_scene", None) or context.scene


def holder_on_show(editor: Any) -> Any:
    """Return what the sequencer shows: the editor itself, or the meta strip that the user has opened."""
    stack = editor.meta_stack
    return stack[-1] if len(stack) else editor


def left(strip: Any) -> int:
    """Return the first frame that the strip plays."""
    return int(strip.left_handle if hasattr(strip, "left_handle") else strip.frame_final_start)


def right(strip: Any) -> int:
    """Return the frame after the last one that the strip plays."""
    return int(strip.right_handle if hasattr(strip, "right_handle") else strip.frame_final_end)


def set_handles(strip: Any, first: int, end: int) -> None:
    """Trim a strip without moving its content."""
    new = hasattr(strip, "left_handle")
    setattr(strip, "right_handle" if new else "frame_final_end", end)
    setattr(strip, "left_handle" if new else "frame_final_start", first)


def content_start(strip: Any) -> int:
    """Return the frame where the strip's content would begin without its left trim."""
    return int(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def hard_trim(strip: Any) -> int:
    """Return how many frames of the media before the content's start are cut away permanently."""
    new = hasattr(strip, "content_trim_start")
    return int(strip.content_trim_start if new else getattr(strip, "animation_offset_start", 0))


def content_length(strip: Any) -> int:
    """Return the frames of content, untrimmed. A missing sound has one."""
    return int(strip.content_duration if hasattr(strip, "content_duration") else strip.frame_duration)


def sound_offset_s(strip: Any) -> float:
    """Return by how many seconds the sound plays later than its frames say."""
    return float(getattr(strip, "sound_offset", 0.0))


def set_sound_offset(strip: Any, seconds: float) -> bool:
    """Set the sound offset. Returns False where this Blender (before 4.4) has none."""
    if not hasattr(strip, "sound_offset"):
        return False
    strip.sound_offset = seconds
    return True


def is_retimed(strip: Any) -> bool:
    """Return whether the strip plays at another speed than its media."""
    return len(getattr(strip, "retiming_keys", ())) > 0 or getattr(strip, "speed_factor", 1.0) != 1.0


def curves_of(scene: Any, data_path: str) -> list[Any]:
    """Return the animation curves of one property of the scene, such as a strip's `volume`."""
    return [curve for curve in _curves(scene) if curve.data_path == data_path]


def new_curve(scene: Any, data_path: str) -> Any:
    """Return a new, empty curve in the scene's animation, which must exist."""
    return _curves(scene).new(data_path)


def remove_curve(scene: Any, curve: Any) -> None:
    """Remove a curve from the scene's animation."""
    _curves(scene).remove(curve)


def _curves(scene: Any) -> Any:
    """Return the scene's curves: of its action's slot since Blender 4.4, of the action itself before."""
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
    """Return the value of `scene.use_audio` that makes its sequence audible. Old versions negate it."""
    return "otherwise" in scene.bl_rna.properties["use_audio"].description


def user_is_dragging() -> bool:
    """Return whether a tool holds strips now: the sequence must not change under it."""
    return any(
        operator.bl_idname.startswith(_SEQUENCER_MODALS)
        for window in bpy.context.window_manager.windows
        for operator in getattr(window, "modal_operators", ())
    )


def can_go_online() -> bool:
    """Return whether the user allows online access."""
    return bool(getattr(bpy.app, "online_access", True))


def draw_progress(layout: Any, text: str, fraction: float) -> None:
    """Draw a progress bar, or text where this Blender has none."""
    if hasattr(layout, "progress"):
        layout.progress(text=text, factor=fraction, type="BAR")
    else:
        layout.label(text=f"{text}  {'▮' * round(fraction * 12)}{'▯' * (12 - round(fraction * 12))}")


def save_copy(path: str) -> None:
    """Save the present state to another file. The open file stays the open one."""
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True, check_existing=False, compress=False)
