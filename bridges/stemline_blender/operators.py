"""The operators behind the buttons."""

import math
from collections.abc import Callable
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from . import compat, prompts, results
from .asking import new_job, new_listening
from .jobs import SeparationJob
from .link import HostError
from .session import SESSION
from .strips import playing_rate

_UNDOABLE = {"REGISTER", "UNDO"}


class STEMLINE_OT_separate(bpy.types.Operator):
    """Separate the selected strips by the prompt."""

    bl_idname = "stemline.separate"
    bl_label = "Separate"
    bl_description = "Separate the sound from the selected strips. Nothing changes before the stems are finished"

    def execute(self, context: Any) -> set[str]:
        """Start a job for the selected strips."""
        return _start(self, context, new_job)


def _start(operator: Any, context: Any, new: Callable[[Any], SeparationJob]) -> set[str]:
    """Add a new job, or report why there is none."""
    try:
        job = new(compat.editing_scene(context))
    except HostError as problem:
        operator.report({"WARNING"}, f"{problem} {problem.advice}".rstrip())
        return {"CANCELLED"}
    except OSError as problem:
        operator.report({"ERROR"}, f"{problem.filename} cannot be written: {problem.strerror}.")
        return {"CANCELLED"}
    SESSION.add(job)
    return {"FINISHED"}


class STEMLINE_OT_suggest(bpy.types.Operator):
    """Ask what is heard in the selected strips."""

    bl_idname = "stemline.suggest"
    bl_label = "What Is in Here?"
    bl_description = "Listen to the selected strips and offer the sounds that are heard"

    def execute(self, context: Any) -> set[str]:
        """Start a job that listens."""
        return _start(self, context, new_listening)


class STEMLINE_OT_use_sound(bpy.types.Operator):
    """Make a suggested sound the prompt."""

    bl_idname = "stemline.use_sound"
    bl_label = "Use Sound"
    bl_description = "Make this sound the prompt, and mark where it is heard if With Marks is on"
    bl_options = _UNDOABLE

    sound: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Set the prompt and the spans."""
        scene = compat.editing_scene(context)
        heard = next((one for one in SESSION.heard if one.sound == self.sound), None)
        if heard is None:
            return {"CANCELLED"}
        settings, rate = scene.stemline, playing_rate(scene)
        settings.prompt, settings.stem = heard.sound, ""
        settings.spans.clear()
        for start, end in heard.spans if settings.sound_marks else ():
            span = settings.spans.add()
            span.sign, span.start, span.end = "PLUS", math.floor(start * rate), math.ceil(end * rate)
        return {"FINISHED"}


class STEMLINE_OT_cancel(bpy.types.Operator):
    """Cancel a separation or clear it from the list."""

    bl_idname = "stemline.cancel"
    bl_label = "Cancel"
    bl_description = "Cancel this separation, or clear it from the list when it has ended"

    tag: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Cancel a running job, or remove an ended one from the list."""
        job = SESSION.find(self.tag)
        if job is None:
            return {"CANCELLED"}
        if job.ended:
            SESSION.forget(job)
        else:
            SESSION.cancel(job)
        return {"FINISHED"}


class STEMLINE_OT_start(bpy.types.Operator):
    """Start the companion again."""

    bl_idname = "stemline.start"
    bl_label = "Restart"
    bl_description = "Start Stemline's companion process again"

    def execute(self, context: Any) -> set[str]:
        """Restart the companion."""
        SESSION.stop()
        SESSION.start()
        return {"FINISHED"}


class STEMLINE_OT_copy(bpy.types.Operator):
    """Copy a text to the clipboard."""

    bl_idname = "stemline.copy"
    bl_label = "Copy"
    bl_description = "Copy this text to the clipboard"

    text: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Copy the text."""
        context.window_manager.clipboard = self.text
        self.report({"INFO"}, iface_("Copied: {text}").format(text=self.text))
        return {"FINISHED"}


class STEMLINE_OT_add_span(bpy.types.Operator):
    """Mark where the sound is or is not."""

    bl_idname = "stemline.add_span"
    bl_label = "Add Span"
    bl_description = "Mark where the sound is (+) or is not (-)"
    bl_options = _UNDOABLE

    sign: bpy.props.EnumProperty(items=(("PLUS", "+", ""), ("MINUS", "-", "")))
    source: bpy.props.EnumProperty(
        items=(
            ("PREVIEW", "Preview Range", "The range that P sets in the sequencer"),
            ("MARKERS", "Markers", "From the first selected marker to the second, from the third to the fourth ..."),
        )
    )

    def execute(self, context: Any) -> set[str]:
        """Add a span for each range."""
        scene = compat.editing_scene(context)
        ranges = _preview(scene) if self.source == "PREVIEW" else _between_markers(scene)
        if not ranges:
            advice = "Set a preview range first (P)." if self.source == "PREVIEW" else "Select two markers first."
            self.report({"WARNING"}, iface_(advice))
            return {"CANCELLED"}
        for start, end in ranges:
            span = scene.stemline.spans.add()
            span.sign, span.start, span.end = self.sign, start, end
        return {"FINISHED"}


def _preview(scene: Any) -> list[tuple[int, int]]:
    if not scene.use_preview_range:
        return []
    return [(scene.frame_preview_start, scene.frame_preview_end + 1)]


def _between_markers(scene: Any) -> list[tuple[int, int]]:
    frames = sorted({marker.frame for marker in scene.timeline_markers if marker.select})
    return list(zip(frames[::2], frames[1::2]))  # noqa: B905 - an odd last one opens nothing


class STEMLINE_OT_remove_span(bpy.types.Operator):
    """Remove a span."""

    bl_idname = "stemline.remove_span"
    bl_label = "Remove Span"
    bl_description = "Remove this span"
    bl_options = _UNDOABLE

    index: bpy.props.IntProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Remove the span."""
        compat.editing_scene(context).stemline.spans.remove(self.index)
        return {"FINISHED"}


class STEMLINE_OT_prompt(bpy.types.Operator):
    """Use a prompt from the menu."""

    bl_idname = "stemline.prompt"
    bl_label = "Use Prompt"
    bl_description = "Use this prompt"
    bl_options = _UNDOABLE

    text: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Set the prompt."""
        compat.editing_scene(context).stemline.prompt = self.text
        return {"FINISHED"}


class STEMLINE_OT_preset(bpy.types.Operator):
    """Add the prompt to the presets or remove it."""

    bl_idname = "stemline.preset"
    bl_label = "Save Preset"
    bl_description = "Save the prompt as a preset, or remove it from the presets"

    drop: bpy.props.BoolProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Add or remove the preset."""
        text = compat.editing_scene(context).stemline.prompt.strip()
        if not text:
            self.report({"WARNING"}, iface_("Type a prompt first."))
            return {"CANCELLED"}
        (prompts.drop if self.drop else prompts.keep)(text)
        return {"FINISHED"}


class _OnResult:
    """An operator on the results with the same stems as the one named `result` in the edited sequence."""

    bl_options = _UNDOABLE

    def found(self, context: Any) -> tuple[Any, list[results.StemResult]]:
        """Return (scene, results); no results where that one is gone."""
        scene = compat.editing_scene(context)
        return scene, results.find_group(scene, self.result)  # type: ignore[attr-defined]


class STEMLINE_OT_select_result(_OnResult, bpy.types.Operator):
    """Select the stems of results."""

    bl_idname = "stemline.select_result"
    bl_label = "Select Stems"
    bl_description = "Select these stems"

    result: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Select the stems."""
        scene, group = self.found(context)
        if not group:
            return {"CANCELLED"}
        members = {strip.name for result in group for strip, _ in result.members}
        for strip in compat.all_strips(scene.sequence_editor):
            strip.select = strip.name in members
        return {"FINISHED"}


class STEMLINE_OT_play_result(_OnResult, bpy.types.Operator):
    """Choose which strips of results play."""

    bl_idname = "stemline.play_result"
    bl_label = "Play"
    bl_description = "Choose which of these strips play"

    result: bpy.props.StringProperty(options={"HIDDEN"})
    what: bpy.props.EnumProperty(
        items=(
            ("ORIGINAL", "Original", "The original strips play"),
            ("STEM", "Stem", "Only the stem plays"),
            ("RESIDUAL", "Residual", "Only the residual plays"),
            ("ALL", "Both", "Stem and residual play"),
        )
    )

    def execute(self, context: Any) -> set[str]:
        """Mute and unmute strips."""
        scene, group = self.found(context)
        for result in group:
            results.play(scene, result, self.what)
        return {"FINISHED"} if group else {"CANCELLED"}


class STEMLINE_OT_remove_result(_OnResult, bpy.types.Operator):
    """Take back the stems of results."""

    bl_idname = "stemline.remove_result"
    bl_label = "Take Back"
    bl_description = "Remove these stems and unmute their originals. Stems that you changed and the files stay"

    result: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        """Remove the stems."""
        scene, group = self.found(context)
        return _take_back(self, scene, {key for result in group for key in result.keys})


class STEMLINE_OT_take_back_strips(bpy.types.Operator):
    """Take back the stems of the selected strips."""

    bl_idname = "stemline.take_back_strips"
    bl_label = "Take Back Selected"
    bl_description = (
        "Remove the stems of the selected strips, be they originals or stems, and unmute the originals. Stems that you "
        "changed and the files stay"
    )
    bl_options = _UNDOABLE

    def execute(self, context: Any) -> set[str]:
        """Remove the stems."""
        scene = compat.editing_scene(context)
        chosen = [strip for strip in compat.all_strips(scene.sequence_editor) if strip.select]
        return _take_back(self, scene, results.keys_of(scene, chosen))


def _take_back(operator: Any, scene: Any, keys: set[results.Key]) -> set[str]:
    if not keys:
        operator.report({"WARNING"}, iface_("There are no stems to take back."))
        return {"CANCELLED"}
    for note in results.take_back(scene, keys):
        operator.report({"WARNING"}, note)
    return {"FINISHED"}


CLASSES = (
    STEMLINE_OT_separate,
    STEMLINE_OT_suggest,
    STEMLINE_OT_use_sound,
    STEMLINE_OT_cancel,
    STEMLINE_OT_start,
    STEMLINE_OT_copy,
    STEMLINE_OT_add_span,
    STEMLINE_OT_remove_span,
    STEMLINE_OT_prompt,
    STEMLINE_OT_preset,
    STEMLINE_OT_select_result,
    STEMLINE_OT_play_result,
    STEMLINE_OT_remove_result,
    STEMLINE_OT_take_back_strips,
)
