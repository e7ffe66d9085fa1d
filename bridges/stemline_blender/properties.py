"""Settings of a sequence, saved in the scene under the key `stemline`."""

from typing import Any

import bpy

from . import prompts
from .session import SESSION

_model_items: list[tuple[str, str, str]] = []  # Blender holds no reference to the texts of an enum


def _models(settings: Any, context: Any) -> list[tuple[str, str, str]]:
    _model_items[:] = [("DEFAULT", "Default", f"The server's default model ({SESSION.default_model or 'unknown yet'})")]
    for model in SESSION.models:
        if model["available"]:
            _model_items.append((str(model["id"]), str(model["title"]), str(model["note"])))
    return _model_items


def _suggest(settings: Any, context: Any, typed: str) -> list[str]:
    """Return earlier prompts with the typed text, and what the model knows in place of it. Called at every key."""
    check = SESSION.check_words(settings.model, typed)
    return [*prompts.suggestions(typed), *(check.get("proposals", ()) if check else ())]


class StemlineSpan(bpy.types.PropertyGroup):
    """Frames (half-open) where the sound is, or is not."""

    sign: bpy.props.EnumProperty(
        items=(("PLUS", "+", "The sound is here"), ("MINUS", "-", "The sound is not here")), name="Sign"
    )
    start: bpy.props.IntProperty(name="Start")
    end: bpy.props.IntProperty(name="End")


class StemlineSettings(bpy.types.PropertyGroup):
    """What the panel shows and saves."""

    prompt: bpy.props.StringProperty(
        name="Prompt",
        description="The sound to separate, in a few words",
        search=_suggest,
        search_options={"SUGGESTION"},
    )
    stem: bpy.props.StringProperty(name="Stem name", description="Empty: the words of the prompt")
    spans: bpy.props.CollectionProperty(type=StemlineSpan)
    play: bpy.props.EnumProperty(
        name="Play",
        items=(
            ("stem", "Isolate", "The stem plays; the residual is there and muted"),
            ("residual", "Remove", "The residual plays; the stem is there and muted"),
            ("all", "Both", "Stem and residual play; together they are the original"),
        ),
        default="all",
    )
    fill: bpy.props.EnumProperty(
        name="In its place",
        items=(
            ("NONE", "Nothing", "The sound leaves its place empty"),
            ("ROOM", "Room tone", "Room tone, learnt where the sound pauses"),
            ("FILE", "File", "A sound file: below 3 seconds once on each event, else ambience"),
            ("WORDS", "Words", "A sound that a generator of the server makes from words"),
        ),
        default="NONE",
    )
    fill_room_preview: bpy.props.BoolProperty(
        name="Learn in Preview Range",
        description="Learn the room tone in the preview range (P), where a selected strip plays the room alone",
        default=False,
    )
    fill_path: bpy.props.StringProperty(name="File", subtype="FILE_PATH")
    fill_words: bpy.props.StringProperty(name="Words", description="Such as: gentle cafe ambience")
    fill_takes: bpy.props.IntProperty(
        name="Takes", description="Sounds to make, each on a channel; the first is heard", default=1, min=1, max=8
    )
    fill_generator: bpy.props.StringProperty(name="Generator", description="Empty: the server's default")
    fill_gain_db: bpy.props.FloatProperty(
        name="Gain",
        description="Gain in dB relative to the loudness of the removed sound",
        default=0.0,
        min=-48.0,
        max=24.0,
    )
    fill_nudge_ms: bpy.props.FloatProperty(
        name="Nudge", description="Milliseconds by which to delay a file or words", default=0.0, min=-60000, max=60000
    )
    fill_mode: bpy.props.EnumProperty(
        name="Residual",
        items=(
            ("AUTO", "Automatic", "Room tone takes the place of the residual; a file or words are added to it"),
            ("INSTEAD", "Instead", "The residual is faded down where the sound was, so that nothing of it is heard"),
            ("UNDER", "Under", "The residual stays as it is, and the fill is added"),
        ),
    )
    fill_at: bpy.props.EnumProperty(
        name="Where",
        items=(
            ("AUTO", "Automatic", "Below 3 seconds once on each event, else where the sound was"),
            ("ONSET", "On Events", "Once on each event"),
            ("SPAN", "Where It Was", "Where the removed sound was heard"),
            ("CLIP", "Throughout", "Throughout the strip"),
        ),
    )
    fill_match_eq: bpy.props.FloatProperty(
        name="Match EQ", description="Share of the removed sound's spectrum to match", min=0.0, max=1.0
    )
    fill_room: bpy.props.EnumProperty(
        name="Room",
        items=(
            ("NONE", "None", "As it is"),
            ("SMALL", "Small", "A small room"),
            ("MEDIUM", "Medium", "A room of medium size"),
            ("LARGE", "Large", "A large room"),
            ("FILE", "Impulse Response", "The room of an impulse response"),
        ),
    )
    fill_room_path: bpy.props.StringProperty(name="Impulse", subtype="FILE_PATH")
    fill_duck: bpy.props.StringProperty(
        name="Duck Under", description="A sound under which it is lowered, such as speech. It becomes a stem, too"
    )
    fill_duck_db: bpy.props.FloatProperty(
        name="Duck Gain", description="dB while that sound is heard", default=-6.0, min=-48.0, max=0.0
    )
    use_amount: bpy.props.BoolProperty(
        name="Amount", description="Make one more strip, the remix, with the sound at this amount"
    )
    amount_db: bpy.props.FloatProperty(
        name="Amount", description="dB of the sound in the remix", default=-12.0, min=-96.0, max=12.0
    )
    sound_marks: bpy.props.BoolProperty(
        name="With Marks", description="A suggested sound also sets marks where it is heard", default=True
    )
    handle_s: bpy.props.FloatProperty(
        name="Handles",
        description="Seconds of media before and after each strip, so that stems can be made longer",
        default=2.0,
        min=0.0,
        max=600.0,
        soft_max=10.0,
        precision=1,
    )
    model: bpy.props.EnumProperty(name="Model", items=_models)
    mute_originals: bpy.props.BoolProperty(name="Mute originals", description="Mute the separated strips", default=True)
