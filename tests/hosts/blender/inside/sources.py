"""Scenarios for every kind of strip: separated, saved, opened again, mixed down."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bpy
import wav
from harness import RATE, Harness

INNER_EDGES = {"meta": (40, 70)}


def plain_strip(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A trimmed sound strip, at the frame rate and place of the config."""
    harness = Harness(module, config)
    fps, base, start, first, length = config["case"]
    harness.set_rate(fps, base)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, config.get("channels", 2), 10)
    original = harness.sound("interview", media, start, first, length)
    harness.select(original)
    end = harness.wait(harness.press("tone", config.get("model", "noop")))
    stems = harness.stems()
    harness.save()
    harness.reopen()
    kept = harness.stems() == stems
    original = harness.strips["interview"]
    together = harness.mix_down(*harness.stem_strips())
    return {
        "end": end,
        "stems": stems,
        "kept": kept,
        "muted": bool(original.mute),
        "null": harness.null_with_source(original, together, media),
        "original": harness.null_with_source(original, harness.mix_down(original), media),
    }


def many_places(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A dozen cuts of one long file in one press, each compared with the file."""
    harness = Harness(module, config)
    harness.set_rate(*config["rate"])
    media = wav.noise(str(harness.folder / "long.wav"), 48000, 1, 45)
    step = int(harness.rate)
    originals = [harness.sound(f"cut {n}", media, 7 + n * 31, n * n * step // 4 + n, 20) for n in range(12)]
    harness.select(*originals)
    end = harness.wait(harness.press())
    together = harness.mix_down(*harness.stem_strips(), channels="MONO")
    jobs = {harness.results.record_of(strip)["job"] for strip in harness.stem_strips()} - {""}
    return {
        "end": end,
        "stems": len(harness.stem_strips()),
        "channels": sorted({stem["channel_name"] for stem in harness.stems()}),
        "jobs": len(jobs),
        "nulls": [harness.null_with_source(original, together, media) for original in originals],
        "originals": [
            harness.null_with_source(original, harness.mix_down(original, channels="MONO"), media)["shift"]
            for original in originals
        ],
    }


def movie(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A movie strip counts as the sound strip of its file; both selected count once."""
    harness = Harness(module, config)
    path = str(harness.folder / "camera.mp4")
    shutil.copy(config["movie"], path)
    picture = harness.strips.new_movie(name="camera", filepath=path, channel=2, frame_start=20)
    original = harness.sound("camera sound", path, 20, 0, 60)
    harness.select(picture)
    end = harness.wait(harness.press())
    harness.select(picture, original)
    from_both = len(harness.reading.read_selection(harness.scene, harness.folder).picks)
    alone = harness.strips.new_movie(name="alone", filepath=path, channel=8, frame_start=4000)
    harness.select(alone)
    refused = bpy.ops.stemline.separate()
    sounds = harness.stem_strips()
    return {
        "end": end,
        "stems": harness.stems(),
        "picture_muted": bool(picture.mute),
        "sound_muted": bool(original.mute),
        "from_both": from_both,
        "alone": sorted(refused),
        "null": harness.null_with_source(original, harness.mix_down(*sounds), config["decoded"]),
    }


def rendered(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A strip whose sound is in no file: retimed, meta, scene, with a modifier."""
    harness = Harness(module, config)
    harness.set_rate(*config.get("rate", (25, 1.0)))
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 2, 8)
    other = wav.noise(str(harness.folder / "other.wav"), 48000, 2, 8, seed=9)
    harness.sound("neighbour", other, 0, 0, 150, channel=9)  # must not be heard in the stems
    original = globals()[f"_{config['kind']}"](harness, media, other)
    cached = config["kind"] != "retimed"  # Blender 4.5 divides by zero over a retimed sound in memory
    for sound in bpy.data.sounds:
        sound.use_memory_cache = cached  # else Blender begins each at its own place, and another one after each seek
    harness.select(original)
    before = _state(harness)
    end = harness.wait(harness.press())
    stems = harness.stems()
    original.mute = False
    unchanged = _state(harness, stems) == before
    harness.save()
    harness.reopen()
    original = harness.strips["original"]
    original.mute = False
    as_it_was, as_stems = (harness.mix_down(*strips, cached=cached) for strips in ([original], harness.stem_strips()))
    loud = [harness.loudness(mixed) for mixed in (as_it_was, as_stems)]
    edges = (*INNER_EDGES.get(config["kind"], ()), harness.compat.left(original), harness.compat.right(original))
    near_edges = {frame + near for frame in edges for near in (-1, 0, 1)}
    return {
        "end": end,
        "stems": stems,
        "unchanged": unchanged,
        "placed": [harness.compat.left(original), harness.compat.right(original)],
        "null": harness.null_between(as_it_was, as_stems, edges),
        "loudness": max(abs(a - b) for n, (a, b) in enumerate(zip(*loud)) if n not in near_edges),  # noqa: B905
        "loudest": max(loud[0]),
    }


def _state(harness: Harness, stems: Any = ()) -> Any:
    """What a rendering might have changed and must have put back."""
    ours = {stem["name"] for stem in stems}
    strips = [
        (strip.name, strip.channel, bool(strip.mute), harness.compat.left(strip), harness.compat.right(strip))
        for strip in harness.compat.all_strips(harness.editor)
        if strip.name not in ours
    ]
    scene = harness.scene
    channels = [bool(channel.mute) for channel in harness.editor.channels]
    return [sorted(strips), scene.frame_start, scene.frame_end, scene.audio_volume, scene.use_audio, channels]


def _retimed(harness: Harness, media: str, other: str) -> Any:
    strip = harness.sound("original", media, 11, 0, 100)
    if hasattr(strip, "speed_factor"):
        strip.speed_factor = 2.0
        harness.compat.set_handles(strip, 11, 71)
        return strip
    harness.select(strip)
    harness.editor.active_strip = strip
    with bpy.context.temp_override(**harness.window()):
        bpy.ops.sequencer.retiming_segment_speed_set(speed=200.0)
    assert harness.compat.is_retimed(strip)
    return strip


def _meta(harness: Harness, media: str, other: str) -> Any:
    first = harness.sound("first", media, 10, 5, 60)
    second = harness.sound("second", other, 40, 20, 60, channel=2)
    second.volume = 0.5
    for strip in (first, second):  # where Blender's numbers fall on a whole sample it plays that or the one before
        harness.compat.set_sound_offset(strip, -0.5 / 48000)
    meta = harness.strips.new_meta(name="original", channel=4, frame_start=10)
    for strip in (first, second):
        strip.move_to_meta(meta)
    harness.compat.set_handles(meta, 12, 90)
    return meta


def _scene(harness: Harness, media: str, other: str) -> Any:
    inner = bpy.data.scenes.new("inner")
    inner.render.fps, inner.render.fps_base = harness.scene.render.fps, harness.scene.render.fps_base
    inner.frame_start, inner.frame_end = 0, 120
    strips = harness.compat.strips_of(inner.sequence_editor_create())
    strips.new_sound(name="inside", filepath=media, channel=1, frame_start=10)
    strip = harness.strips.new_scene(name="original", scene=inner, channel=3, frame_start=30)
    strip.scene_input = "SEQUENCER"
    harness.compat.set_handles(strip, 45, 130)
    return strip


def _modifier(harness: Harness, media: str, other: str) -> Any:
    strip = harness.sound("original", media, 11, 3, 80)
    harness.editor.active_strip = strip
    with bpy.context.temp_override(**harness.window()):
        bpy.ops.sequencer.strip_modifier_add(type="SOUND_EQUALIZER")
    return strip


def carried(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Volume, pan and fades of the original sound in its stems."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 8)
    original = harness.sound("original", media, 11, 3, 100)
    original.sound.use_mono = True
    original.pan = -0.5
    original.volume = 0.7
    for frame, volume in ((11, 0.0), (31, 0.7), (90, 0.7), (111, 0.0)):
        original.volume = volume
        original.keyframe_insert("volume", frame=frame)
    harness.select(original)
    end = harness.wait(harness.press())
    stems = harness.stem_strips()
    curves = [len(harness.compat.curves_of(harness.scene, f"{strip.path_from_id()}.volume")) for strip in stems]
    null = harness.null_between(harness.mix_down(original), harness.mix_down(*stems))
    harness.save()
    harness.reopen()
    again = harness.null_between(harness.mix_down(harness.strips["original"]), harness.mix_down(*harness.stem_strips()))
    bpy.ops.stemline.remove_result(result=harness.results.results_in(harness.scene)[0].name)
    return {
        "end": end,
        "curves": curves,
        "null": null,
        "again": again,
        "left_over": [len(harness.stem_strips()), len(harness.compat.curves_of(harness.scene, "sequence_editor.x"))],
        "curves_left": len(list(harness.compat._curves(harness.scene))),
    }


def files(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Packed, relative, missing and many-channelled sounds in one press."""
    harness = Harness(module, config)
    packed_path = wav.noise(str(harness.folder / "packed.wav"), 48000, 2, 4, seed=2)
    relative_path = wav.noise(str(harness.folder / "relative.wav"), 44100, 1, 4, seed=3)
    missing_path = wav.noise(str(harness.folder / "missing.wav"), 48000, 1, 4, seed=4)
    surround_path = wav.noise(str(harness.folder / "surround.wav"), 48000, 6, 4, seed=5)
    packed = harness.sound("packed", packed_path, 10, 5, 50)
    packed.sound.pack()
    bytes_of_packed = Path(packed_path).read_bytes()
    Path(packed_path).unlink()
    relative = harness.sound("relative", relative_path, 70, 5, 50)
    relative.sound.filepath = "//relative.wav"
    missing = harness.sound("missing", missing_path, 130, 5, 50)
    Path(missing_path).unlink()
    surround = harness.sound("surround", surround_path, 190, 5, 50)
    text = _silent_strip(harness)
    harness.select(packed, relative, missing, surround, text)
    end = harness.wait(harness.press())
    Path(packed_path).write_bytes(bytes_of_packed)
    stems = harness.stem_strips()
    of = {
        name: [strip for strip in stems if harness.results.original_name(harness.results.record_of(strip)) == name]
        for name in ("packed", "relative", "missing", "surround")
    }
    loud = harness.mix_down(*of["surround"], channels="SURROUND51")
    return {
        "end": end,
        "stems": harness.stems(),
        "packed": harness.null_with_source(packed, harness.mix_down(*of["packed"]), packed_path),
        "relative": harness.null_between(harness.mix_down(relative), harness.mix_down(*of["relative"])),
        "surround": harness.null_with_source(surround, loud, surround_path),
        "muted": [strip.name for strip in (packed, relative, missing, surround) if strip.mute],
    }


def _silent_strip(harness: Harness) -> Any:
    """An effect of a kind that makes no sound."""
    new = harness.strips.new_effect
    try:
        return new(name="title", type="TEXT", channel=20, frame_start=10, length=50)
    except TypeError:
        return new(name="title", type="TEXT", channel=20, frame_start=10, frame_end=60)


def before_frame_one(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Strips that begin before frame 1, before frame 0, before their own sound, and end after it."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 4)
    early = harness.sound("early", media, -20, 10, 60)
    wide = harness.sound("wide", media, 100, -15, 140)
    harness.select(early, wide)
    end = harness.wait(harness.press())
    of = {name: [s for s in harness.stem_strips() if s.name.startswith(name)] for name in ("early", "wide")}
    early = [harness.mix_down(early, channels="MONO"), harness.mix_down(*of["early"], channels="MONO")]
    mix, stems = harness.mix_down(wide, channels="MONO")[0], harness.mix_down(*of["wide"], channels="MONO")[0]
    begin = int(115 / harness.rate * RATE)
    return {
        "end": end,
        "stems": harness.stems(),
        "early": harness.null_between(*early),
        "wide": harness.null_between([mix[begin:]], [stems[begin:]]),
        "before": max(map(abs, stems[: begin - 2])),
    }


def inside_meta(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The user has opened a meta strip: what is selected there is separated there."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 2, 8)
    inner = harness.sound("inner", media, 10, 25, 60)
    meta = harness.strips.new_meta(name="meta", channel=4, frame_start=10)
    inner.move_to_meta(meta)
    harness.compat.set_handles(meta, 10, 70)
    harness.select(meta)
    harness.editor.active_strip = meta
    with bpy.context.temp_override(**harness.window()):
        bpy.ops.sequencer.meta_toggle()
    for strip in harness.compat.strips_of(meta):
        strip.select = True
    end = harness.wait(harness.press())
    inside = [strip.name for strip in harness.compat.strips_of(meta)]
    with_stems = harness.mix_down(meta)
    for strip in harness.compat.strips_of(meta):
        strip.mute = strip.name != "inner"
    return {
        "end": end,
        "inside": sorted(inside),
        "outside": sorted(strip.name for strip in harness.strips),
        "null": harness.null_between(harness.mix_down(meta), with_stems),
    }


def inside_two_metas(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The user has opened a meta strip inside a meta strip: what must be rendered there sounds, and it alone."""
    harness = Harness(module, config)
    media, other = (wav.noise(str(harness.folder / f"{n}.wav"), 48000, 2, 8, seed=n) for n in (1, 2))
    original = _meta(harness, media, media)
    inner, outer = (harness.strips.new_meta(name=name, channel=8, frame_start=10) for name in ("inner", "outer"))
    for strip in (original, harness.sound("beside", other, 10, 0, 80, channel=6)):
        strip.move_to_meta(inner)
    for strip in (inner, harness.sound("above", other, 10, 0, 80, channel=6)):
        strip.move_to_meta(outer)
    harness.sound("outside", other, 10, 0, 80, channel=6)
    for meta in (inner, outer):
        harness.compat.set_handles(meta, 10, 100)
    for name in ("above", "outside", "beside"):
        harness.compat.all_strips(harness.editor)[name].mute = True
    heard = harness.loudness(harness.mix_down(outer))
    for name in ("above", "outside", "beside"):
        harness.compat.all_strips(harness.editor)[name].mute = False
    for meta in (outer, inner):
        harness.editor.active_strip = meta
        with bpy.context.temp_override(**harness.window()):
            bpy.ops.sequencer.meta_toggle()
    for strip in harness.compat.strips_of(inner):
        strip.select = strip.name == "original"
    before = _state(harness)
    job = harness.press()
    unchanged = before == _state(harness)
    end = harness.wait(job)
    stems = [strip.name for strip in harness.stem_strips()]
    for strip in (*harness.compat.strips_of(inner), *harness.compat.strips_of(outer)):
        strip.mute = strip.name not in (*stems, "inner")
    as_stems = harness.loudness(harness.mix_down(outer))
    edges = {frame + near for frame in (12, 40, 70, 90) for near in (-1, 0, 1)}
    return {
        "end": end,
        "unchanged": unchanged,
        "inside": sorted(strip.name for strip in harness.compat.strips_of(inner)),
        "loudest": max(heard),
        "loudness": max(abs(a - b) for n, (a, b) in enumerate(zip(heard, as_stems)) if n not in edges),  # noqa: B905
    }


def filled(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Words and then room tone in the place of what is removed; what plays is mixed down by Blender."""
    harness = Harness(module, config)
    harness.set_rate(25, 1.0)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 2, 6)
    original = harness.sound("interview", media, 10, 0, 100)
    harness.select(original)
    empty = bpy.ops.stemline.separate.poll() and _refusal(harness, fill="WORDS", fill_words=" ")
    words: dict[str, Any] = {
        "fill": "WORDS",
        "fill_words": "rain",
        "fill_takes": 2,
        "fill_generator": "noop",
        "fill_gain_db": -6.0,
    }
    end = harness.wait(harness.press("tone", **words))
    stems = harness.stems()
    heard = [strip for strip in harness.stem_strips() if not strip.mute]
    fill = [strip for strip in heard if "fill" in strip.name]
    loudness = harness.loudness(harness.mix_down(*fill))
    harness.select(original)
    unmarked = _refusal(harness, fill="ROOM", fill_room_preview=True)
    harness.scene.use_preview_range = True
    harness.scene.frame_preview_start, harness.scene.frame_preview_end = 20, 69
    room_end = harness.wait(harness.press("pause", fill="ROOM", fill_room_preview=True))
    room = [strip for strip in harness.stem_strips() if "fill pause" in strip.name]
    return {
        "empty": empty,
        "end": end,
        "stems": stems,
        "heard": [strip.name for strip in heard],
        "loudness": loudness,
        "unmarked": unmarked,
        "room_end": room_end,
        "room": [max(harness.loudness(harness.mix_down(strip))) for strip in room],
    }


def _refusal(harness: Harness, **settings: Any) -> str:
    """What the button says when it is pressed with these settings."""
    mine = harness.scene.stemline
    mine.prompt = "tone"
    for name, value in settings.items():
        setattr(mine, name, value)
    try:
        return str(bpy.ops.stemline.separate())
    except RuntimeError as error:
        return str(error)
