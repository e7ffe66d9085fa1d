"""The Stemline tab in the sequencer's sidebar."""

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from . import compat, prompts, results
from .jobs import FAILED
from .preferences import preferences
from .reading import in_words
from .session import BROKEN, READY, SESSION, STARTING
from .text_layout import draw_wrapped

_CLOSED = {"DEFAULT_CLOSED"}
_SHAPING = (
    "fill_gain_db",
    "fill_mode",
    "fill_at",
    "fill_nudge_ms",
    "fill_match_eq",
    "fill_room",
    "fill_room_path",
    "fill_duck",
)
_MAX_MESSAGES = 6
_MAX_PROPOSALS = 4
_MAX_SOUNDS = 12


class STEMLINE_MT_prompts(bpy.types.Menu):
    """Presets and earlier prompts."""

    bl_idname = "STEMLINE_MT_prompts"
    bl_label = "Prompts"

    def draw(self, context: Any) -> None:
        """Draw the menu."""
        layout = self.layout
        typed = compat.editing_scene(context).stemline.prompt.strip()
        for text in prompts.presets():
            layout.operator("stemline.prompt", text=text, icon="SOLO_ON", translate=False).text = text
        layout.separator()
        for text in prompts.history()[:12]:
            layout.operator("stemline.prompt", text=text, icon="TIME", translate=False).text = text
        if typed:
            layout.separator()
            for drop, label, icon in (
                (False, "Save Preset “{text}”", "ADD"),
                (True, "Remove Preset “{text}”", "REMOVE"),
            ):
                text = iface_(label).format(text=typed)
                layout.operator("stemline.preset", text=text, icon=icon, translate=False).drop = drop


class STEMLINE_PT_separate(bpy.types.Panel):
    """State, target, prompt and the button."""

    bl_label = "Stemline"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Stemline"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Show it where strips are shown."""
        return context.space_data.view_type in {"SEQUENCER", "SEQUENCER_PREVIEW"}

    def draw(self, context: Any) -> None:
        """Draw the panel."""
        SESSION.wanted = True
        scene, layout = compat.editing_scene(context), self.layout
        _draw_state(layout, context.region)
        if scene is None or scene.sequence_editor is None:
            layout.label(text="Add a sound or movie strip.", icon="INFO")
            return
        settings = scene.stemline
        target = layout.box().column(align=True)
        for line in in_words(scene):
            draw_wrapped(target, line, "SOUND" if line[:1].isdigit() else "INFO", context.region)
        row = layout.row(align=True)
        row.prop(settings, "prompt", text="", icon="VIEWZOOM")
        row.menu(STEMLINE_MT_prompts.bl_idname, text="", icon="DOWNARROW_HLT")
        _draw_words(layout, settings, context.region)
        _draw_sounds(layout, settings)
        _draw_spans(layout, scene)
        layout.row().prop(settings, "play", expand=True)
        _draw_button(layout, settings)


def _draw_button(layout: Any, settings: Any) -> None:
    row = layout.row()
    row.scale_y = 1.6
    if not bpy.data.filepath and preferences().folder.startswith("//"):
        row.operator("wm.save_as_mainfile", text="Save the File First", icon="FILE_TICK")
        return
    row.enabled = bool(settings.prompt.strip() or settings.spans) and SESSION.state != BROKEN
    label = {"stem": "Isolate {sound}", "residual": "Remove {sound}", "all": "Separate {sound}"}[settings.play]
    sound = " ".join(settings.prompt.split())[:24] or iface_("the Marked Sound")
    text = iface_(label).format(sound=sound)
    row.operator("stemline.separate", text=text, icon="MOD_SOLIDIFY", translate=False)


def _draw_words(layout: Any, settings: Any, region: Any) -> None:
    """Draw what the model takes the words for, or what it knows instead, as far as there is something to say."""
    check = SESSION.check_words(settings.model, settings.prompt)
    sentence = f"{check.get('message', '')} {check.get('advice', '')}".strip()
    if not sentence:
        return
    box = layout.box().column(align=True)
    draw_wrapped(box, sentence, "INFO" if check.get("status") == "substituted" else "ERROR", region)
    for text in check.get("proposals", ())[:_MAX_PROPOSALS]:
        box.operator("stemline.prompt", text=text, translate=False).text = text


def _draw_sounds(layout: Any, settings: Any) -> None:
    """Draw the button that listens, and the sounds that were heard as buttons."""
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("stemline.suggest", icon="VIEWZOOM")
    if SESSION.heard:
        row.prop(settings, "sound_marks", text="", icon="MARKER_HLT")
    grid = column.grid_flow(columns=2, align=True)
    for heard in SESSION.heard[:_MAX_SOUNDS]:
        text = f"{heard.sound}  {heard.likelihood:.0%}"
        grid.operator("stemline.use_sound", text=text, translate=False).sound = heard.sound


def _draw_state(layout: Any, region: Any) -> None:
    if SESSION.state == BROKEN:
        box = layout.box().column(align=True)
        draw_wrapped(box, SESSION.sentence, "ERROR", region)
        if SESSION.command:
            box.operator("stemline.copy", text="Copy the Command That Fixes It", icon="COPYDOWN").text = SESSION.command
        box.operator("stemline.start", icon="FILE_REFRESH")
    elif SESSION.silent:
        box = layout.box().column(align=True)
        draw_wrapped(box, "Stemline has not answered for half a minute.", "ERROR", region)
        box.operator("stemline.start", icon="FILE_REFRESH")
    elif SESSION.state == READY and SESSION.server == "ready":
        layout.label(
            text=iface_("Ready (Stemline {version})").format(version=SESSION.version), icon="CHECKMARK", translate=False
        )
    elif SESSION.state == READY and SESSION.server != "starting":
        box = layout.box().column(align=True)
        draw_wrapped(box, SESSION.server, "ERROR", region)
        box.operator("stemline.start", icon="FILE_REFRESH")
    elif SESSION.state in (READY, STARTING):
        text = "Starting the server..." if SESSION.state == READY else "Starting Stemline..."
        layout.label(text=text, icon="SORTTIME")
    else:
        layout.label(text="Stemline starts in a moment", icon="SORTTIME")


def _draw_spans(layout: Any, scene: Any) -> None:
    settings = scene.stemline
    column = layout.column(align=True)
    for index, span in enumerate(settings.spans):
        row = column.row(align=True)
        row.prop(span, "sign", text="")
        row.prop(span, "start", text="")
        row.prop(span, "end", text="")
        row.operator("stemline.remove_span", text="", icon="X").index = index
    for source, label in (("PREVIEW", "Preview range"), ("MARKERS", "Between markers")):
        row = column.row(align=True)
        row.label(text=label)
        for sign, icon in (("PLUS", "ADD"), ("MINUS", "REMOVE")):
            button = row.operator("stemline.add_span", text="", icon=icon)
            button.source, button.sign = source, sign


class STEMLINE_PT_options(bpy.types.Panel):
    """Settings that are rarely changed."""

    bl_label = "Options"
    bl_parent_id = "STEMLINE_PT_separate"
    bl_options = _CLOSED
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Stemline"

    def draw(self, context: Any) -> None:
        """Draw the panel."""
        layout, settings = self.layout, compat.editing_scene(context).stemline
        layout.use_property_split, layout.use_property_decorate = True, False
        for name in ("stem", "model", "handle_s", "mute_originals", "use_amount"):
            layout.prop(settings, name)
        if settings.use_amount:
            layout.prop(settings, "amount_db")


class STEMLINE_PT_fill(bpy.types.Panel):
    """What takes the place of the sound."""

    bl_label = "In Its Place"
    bl_parent_id = "STEMLINE_PT_separate"
    bl_options = _CLOSED
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Stemline"

    def draw(self, context: Any) -> None:
        """Draw the panel."""
        layout, settings = self.layout, compat.editing_scene(context).stemline
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(settings, "fill")
        shown = {
            "NONE": (),
            "ROOM": ("fill_gain_db", "fill_room_preview", "fill_mode", "fill_duck"),
            "FILE": ("fill_path", *_SHAPING),
            "WORDS": ("fill_words", "fill_takes", "fill_generator", *_SHAPING),
        }
        needs = {"fill_room_path": settings.fill_room == "FILE", "fill_duck_db": bool(settings.fill_duck.strip())}
        for name in (*shown[settings.fill], *(("fill_duck_db",) if settings.fill != "NONE" else ())):
            if needs.get(name, True):
                layout.prop(settings, name)


class STEMLINE_PT_jobs(bpy.types.Panel):
    """The jobs of this session."""

    bl_label = "Queue"
    bl_parent_id = "STEMLINE_PT_separate"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Stemline"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Show it where there are jobs."""
        return bool(SESSION.jobs)

    def draw(self, context: Any) -> None:
        """Draw the panel."""
        for job in reversed(SESSION.jobs):
            box = self.layout.box().column(align=True)
            row = box.row(align=True)
            if job.ended:
                row.label(text=job.title, translate=False, icon="ERROR" if job.state == FAILED else "CHECKMARK")
            else:
                compat.draw_progress(row, f"{job.title}: {iface_(job.stage or job.state)}", job.fraction)
            row.operator("stemline.cancel", text="", icon="X").tag = job.tag
            for message in job.messages[:_MAX_MESSAGES]:
                draw_wrapped(box, message, "NONE", context.region)
            more = len(job.messages) - _MAX_MESSAGES
            if more > 0:
                box.label(text=iface_("... and {count} more").format(count=more), translate=False)


class STEMLINE_PT_results(bpy.types.Panel):
    """The results in the sequence."""

    bl_label = "Results"
    bl_parent_id = "STEMLINE_PT_separate"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Stemline"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Show it where there are results."""
        return bool(results.results_in(compat.editing_scene(context)))

    def draw(self, context: Any) -> None:
        """Draw the panel."""
        for group in results.groups_in(compat.editing_scene(context)):
            box, name = self.layout.box().column(align=True), group[0].name
            row = box.row(align=True)
            row.label(text=results.title_of(group), translate=False)
            row.operator("stemline.select_result", text="", icon="RESTRICT_SELECT_OFF").result = name
            row.operator("stemline.remove_result", text="", icon="TRASH").result = name
            row = box.row(align=True)
            for what, text in (("ORIGINAL", "Original"), ("STEM", "Stem"), ("RESIDUAL", "Residual"), ("ALL", "Both")):
                button = row.operator("stemline.play_result", text=text)
                button.result, button.what = name, what
        self.layout.operator("stemline.take_back_strips", icon="LOOP_BACK")


CLASSES = (
    STEMLINE_MT_prompts,
    STEMLINE_PT_separate,
    STEMLINE_PT_fill,
    STEMLINE_PT_options,
    STEMLINE_PT_jobs,
    STEMLINE_PT_results,
)
