"""What the buttons do."""

from typing import Any

import bpy

from . import compat, prompts, results
from .asking import new_job
from .link import HostError
from .session import SESSION

_UNDOABLE = {"REGISTER", "UNDO"}


class STEMLINE_OT_separate(bpy.types.Operator):
    """Pull the sound out of the selected strips. Nothing is changed before the stems are there"""

    bl_idname = "stemline.separate"
    bl_label = "Separate"

    def execute(self, context: Any) -> set[str]:
        try:
            job = new_job(compat.editing_scene(context))
        except HostError as problem:
            self.report({"WARNING"}, f"{problem} {problem.advice}".rstrip())
            return {"CANCELLED"}
        except OSError as problem:
            self.report({"ERROR"}, f"{problem.filename} cannot be written: {problem.strerror}.")
            return {"CANCELLED"}
        SESSION.add(job)
        return {"FINISHED"}


class STEMLINE_OT_cancel(bpy.types.Operator):
    """Stop this separation, or clear it from the list when it has ended"""

    bl_idname = "stemline.cancel"
    bl_label = "Cancel"

    tag: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        job = SESSION.find(self.tag)
        if job is None:
            return {"CANCELLED"}
        if job.ended:
            SESSION.forget(job)
        else:
            SESSION.cancel(job)
        return {"FINISHED"}


class STEMLINE_OT_start(bpy.types.Operator):
    """Start Stemline's companion again"""

    bl_idname = "stemline.start"
    bl_label = "Start Again"

    def execute(self, context: Any) -> set[str]:
        SESSION.stop()
        SESSION.start()
        return {"FINISHED"}


class STEMLINE_OT_copy(bpy.types.Operator):
    """Copy this text to the clipboard"""

    bl_idname = "stemline.copy"
    bl_label = "Copy"

    text: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        context.window_manager.clipboard = self.text
        self.report({"INFO"}, f"Copied: {self.text}")
        return {"FINISHED"}


class STEMLINE_OT_add_span(bpy.types.Operator):
    """Mark where the sound is (+) or is not (-)"""

    bl_idname = "stemline.add_span"
    bl_label = "Add Span"
    bl_options = _UNDOABLE

    sign: bpy.props.EnumProperty(items=(("PLUS", "+", ""), ("MINUS", "-", "")))
    source: bpy.props.EnumProperty(
        items=(
            ("PREVIEW", "Preview Range", "The range that is set with P in the sequencer"),
            ("MARKERS", "Markers", "From the first selected marker to the second, from the third to the fourth ..."),
        )
    )

    def execute(self, context: Any) -> set[str]:
        scene = compat.editing_scene(context)
        ranges = _preview(scene) if self.source == "PREVIEW" else _between_markers(scene)
        if not ranges:
            way = "Set a preview range first (P)." if self.source == "PREVIEW" else "Select two markers first."
            self.report({"WARNING"}, way)
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
    """Take this span away"""

    bl_idname = "stemline.remove_span"
    bl_label = "Remove Span"
    bl_options = _UNDOABLE

    index: bpy.props.IntProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        compat.editing_scene(context).stemline.spans.remove(self.index)
        return {"FINISHED"}


class STEMLINE_OT_prompt(bpy.types.Operator):
    """Use this prompt"""

    bl_idname = "stemline.prompt"
    bl_label = "Use Prompt"
    bl_options = _UNDOABLE

    text: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        compat.editing_scene(context).stemline.prompt = self.text
        return {"FINISHED"}


class STEMLINE_OT_preset(bpy.types.Operator):
    """Keep the prompt as a preset, or drop it from the presets"""

    bl_idname = "stemline.preset"
    bl_label = "Keep as Preset"

    drop: bpy.props.BoolProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        text = compat.editing_scene(context).stemline.prompt.strip()
        if not text:
            self.report({"WARNING"}, "Type a prompt first.")
            return {"CANCELLED"}
        (prompts.drop if self.drop else prompts.keep)(text)
        return {"FINISHED"}


class _OnResult:
    """An operator on the result of the name `result` in the sequence that is edited."""

    bl_options = _UNDOABLE

    def found(self, context: Any) -> tuple[Any, Any]:
        scene = compat.editing_scene(context)
        return scene, results.find_result(scene, self.result)  # type: ignore[attr-defined]


class STEMLINE_OT_select_result(_OnResult, bpy.types.Operator):
    """Select the stems of this result"""

    bl_idname = "stemline.select_result"
    bl_label = "Select Stems"

    result: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        scene, result = self.found(context)
        if result is None:
            return {"CANCELLED"}
        members = {strip.name for strip, _ in result.members}
        for strip in compat.all_strips(scene.sequence_editor):
            strip.select = strip.name in members
        return {"FINISHED"}


class STEMLINE_OT_play_result(_OnResult, bpy.types.Operator):
    """Choose what of this result sounds"""

    bl_idname = "stemline.play_result"
    bl_label = "Play"

    result: bpy.props.StringProperty(options={"HIDDEN"})
    what: bpy.props.EnumProperty(
        items=(
            ("ORIGINAL", "Original", "The original strips play"),
            ("STEM", "Stem", "Only the stem plays"),
            ("RESIDUAL", "Residual", "Only what is left plays"),
            ("ALL", "Both", "Stem and residual play"),
        )
    )

    def execute(self, context: Any) -> set[str]:
        scene, result = self.found(context)
        if result is None:
            return {"CANCELLED"}
        results.play(scene, result, self.what)
        return {"FINISHED"}


class STEMLINE_OT_remove_result(_OnResult, bpy.types.Operator):
    """Take the stems of this result away and let the originals sound again. The files are kept"""

    bl_idname = "stemline.remove_result"
    bl_label = "Remove Result"

    result: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        scene, result = self.found(context)
        if result is None:
            return {"CANCELLED"}
        for note in results.remove_result(scene, result):
            self.report({"WARNING"}, note)
        return {"FINISHED"}


CLASSES = (
    STEMLINE_OT_separate,
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
)
