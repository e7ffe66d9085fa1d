"""Every kind of strip, end to end: separated, saved, opened again, mixed down. Each gives what it saw."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bpy
import wav
from desk import RATE, Desk

INNER_EDGES = {"meta": (40, 70)}


def plain_strip(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A trimmed sound strip, at the frame rate and place of the config."""
    desk = Desk(module, config)
    fps, base, start, first, length = config["case"]
    desk.set_rate(fps, base)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, config.get("channels", 2), 10)
    original = desk.sound("interview", media, start, first, length)
    desk.select(original)
    end = desk.wait(desk.press("tone", config.get("model", "noop")))
    stems = desk.stems()
    desk.save()
    desk.reopen()
    kept = desk.stems() == stems
    original = desk.strips["interview"]
    together = desk.mix_down(*desk.stem_strips())
    return {
        "end": end,
        "stems": stems,
        "kept": kept,
        "muted": bool(original.mute),
        "null": desk.null_with_source(original, together, media),
        "original": desk.null_with_source(original, desk.mix_down(original), media),
    }


def many_places(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A dozen cuts of one long file in one press, each compared with the file."""
    desk = Desk(module, config)
    desk.set_rate(*config["rate"])
    media = wav.noise(str(desk.folder / "long.wav"), 48000, 1, 45)
    step = int(desk.rate)
    originals = [desk.sound(f"cut {n}", media, 7 + n * 31, n * n * step // 4 + n, 20) for n in range(12)]
    desk.select(*originals)
    end = desk.wait(desk.press())
    together = desk.mix_down(*desk.stem_strips(), channels="MONO")
    jobs = {desk.results.record_of(strip)["job"] for strip in desk.stem_strips()} - {""}
    return {
        "end": end,
        "stems": len(desk.stem_strips()),
        "channels": sorted({stem["channel_name"] for stem in desk.stems()}),
        "jobs": len(jobs),
        "nulls": [desk.null_with_source(original, together, media) for original in originals],
        "originals": [
            desk.null_with_source(original, desk.mix_down(original, channels="MONO"), media)["shift"]
            for original in originals
        ],
    }


def movie(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A movie strip stands for the sound strip of its file; both selected count once."""
    desk = Desk(module, config)
    path = str(desk.folder / "camera.mp4")
    shutil.copy(config["movie"], path)
    picture = desk.strips.new_movie(name="camera", filepath=path, channel=2, frame_start=20)
    original = desk.sound("camera sound", path, 20, 0, 60)
    desk.select(picture)
    end = desk.wait(desk.press())
    desk.select(picture, original)
    from_both = len(desk.reading.read_selection(desk.scene, desk.folder).picks)
    alone = desk.strips.new_movie(name="alone", filepath=path, channel=8, frame_start=4000)
    desk.select(alone)
    refused = bpy.ops.stemline.separate()
    sounds = desk.stem_strips()
    return {
        "end": end,
        "stems": desk.stems(),
        "picture_muted": bool(picture.mute),
        "sound_muted": bool(original.mute),
        "from_both": from_both,
        "alone": sorted(refused),
        "null": desk.null_with_source(original, desk.mix_down(*sounds), config["decoded"]),
    }


def rendered(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A strip whose sound stands in no file: retimed, meta, scene, with a modifier."""
    desk = Desk(module, config)
    desk.set_rate(*config.get("rate", (25, 1.0)))
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 2, 8)
    other = wav.noise(str(desk.folder / "other.wav"), 48000, 2, 8, seed=9)
    desk.sound("neighbour", other, 0, 0, 150, channel=9)  # must not be heard in the stems
    original = globals()[f"_{config['kind']}"](desk, media, other)
    cached = config["kind"] != "retimed"  # Blender 4.5 divides by zero over a retimed sound in memory
    for sound in bpy.data.sounds:
        sound.use_memory_cache = cached  # else Blender begins each at its own place, and another one after each seek
    desk.select(original)
    before = _state(desk)
    end = desk.wait(desk.press())
    stems = desk.stems()
    original.mute = False
    unchanged = _state(desk, stems) == before
    desk.save()
    desk.reopen()
    original = desk.strips["original"]
    original.mute = False
    as_it_was, as_stems = (desk.mix_down(*strips, cached=cached) for strips in ([original], desk.stem_strips()))
    loud = [desk.loudness(mixed) for mixed in (as_it_was, as_stems)]
    edges = (*INNER_EDGES.get(config["kind"], ()), desk.compat.left(original), desk.compat.right(original))
    near_edges = {frame + near for frame in edges for near in (-1, 0, 1)}
    return {
        "end": end,
        "stems": stems,
        "unchanged": unchanged,
        "placed": [desk.compat.left(original), desk.compat.right(original)],
        "null": desk.null_between(as_it_was, as_stems, edges),
        "loudness": max(abs(a - b) for n, (a, b) in enumerate(zip(*loud)) if n not in near_edges),  # noqa: B905
        "loudest": max(loud[0]),
    }


def _state(desk: Desk, stems: Any = ()) -> Any:
    """What a rendering might have changed and must have put back."""
    ours = {stem["name"] for stem in stems}
    strips = [
        (strip.name, strip.channel, bool(strip.mute), desk.compat.left(strip), desk.compat.right(strip))
        for strip in desk.compat.all_strips(desk.editor)
        if strip.name not in ours
    ]
    scene = desk.scene
    channels = [bool(channel.mute) for channel in desk.editor.channels]
    return [sorted(strips), scene.frame_start, scene.frame_end, scene.audio_volume, scene.use_audio, channels]


def _retimed(desk: Desk, media: str, other: str) -> Any:
    strip = desk.sound("original", media, 11, 0, 100)
    if hasattr(strip, "speed_factor"):
        strip.speed_factor = 2.0
        desk.compat.set_handles(strip, 11, 71)
        return strip
    desk.select(strip)
    desk.editor.active_strip = strip
    with bpy.context.temp_override(**desk.window()):
        bpy.ops.sequencer.retiming_segment_speed_set(speed=200.0)
    assert desk.compat.is_retimed(strip)
    return strip


def _meta(desk: Desk, media: str, other: str) -> Any:
    first = desk.sound("first", media, 10, 5, 60)
    second = desk.sound("second", other, 40, 20, 60, channel=2)
    second.volume = 0.5
    for strip in (first, second):  # where Blender's numbers fall on a whole sample it plays that or the one before
        desk.compat.set_sound_offset(strip, -0.5 / 48000)
    meta = desk.strips.new_meta(name="original", channel=4, frame_start=10)
    for strip in (first, second):
        strip.move_to_meta(meta)
    desk.compat.set_handles(meta, 12, 90)
    return meta


def _scene(desk: Desk, media: str, other: str) -> Any:
    inner = bpy.data.scenes.new("inner")
    inner.render.fps, inner.render.fps_base = desk.scene.render.fps, desk.scene.render.fps_base
    inner.frame_start, inner.frame_end = 0, 120
    strips = desk.compat.strips_of(inner.sequence_editor_create())
    strips.new_sound(name="inside", filepath=media, channel=1, frame_start=10)
    strip = desk.strips.new_scene(name="original", scene=inner, channel=3, frame_start=30)
    strip.scene_input = "SEQUENCER"
    desk.compat.set_handles(strip, 45, 130)
    return strip


def _modifier(desk: Desk, media: str, other: str) -> Any:
    strip = desk.sound("original", media, 11, 3, 80)
    desk.editor.active_strip = strip
    with bpy.context.temp_override(**desk.window()):
        bpy.ops.sequencer.strip_modifier_add(type="SOUND_EQUALIZER")
    return strip


def carried(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Volume, pan and fades of the original sound in its stems."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 8)
    original = desk.sound("original", media, 11, 3, 100)
    original.sound.use_mono = True
    original.pan = -0.5
    original.volume = 0.7
    for frame, volume in ((11, 0.0), (31, 0.7), (90, 0.7), (111, 0.0)):
        original.volume = volume
        original.keyframe_insert("volume", frame=frame)
    desk.select(original)
    end = desk.wait(desk.press())
    stems = desk.stem_strips()
    curves = [len(desk.compat.curves_of(desk.scene, f"{strip.path_from_id()}.volume")) for strip in stems]
    null = desk.null_between(desk.mix_down(original), desk.mix_down(*stems))
    desk.save()
    desk.reopen()
    again = desk.null_between(desk.mix_down(desk.strips["original"]), desk.mix_down(*desk.stem_strips()))
    bpy.ops.stemline.remove_result(result=desk.results.results_in(desk.scene)[0].name)
    return {
        "end": end,
        "curves": curves,
        "null": null,
        "again": again,
        "left_over": [len(desk.stem_strips()), len(desk.compat.curves_of(desk.scene, "sequence_editor.x"))],
        "curves_left": len(list(desk.compat._curves(desk.scene))),
    }


def files(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Packed, relative, missing and many-channelled sounds in one press."""
    desk = Desk(module, config)
    packed_path = wav.noise(str(desk.folder / "packed.wav"), 48000, 2, 4, seed=2)
    relative_path = wav.noise(str(desk.folder / "relative.wav"), 44100, 1, 4, seed=3)
    missing_path = wav.noise(str(desk.folder / "missing.wav"), 48000, 1, 4, seed=4)
    surround_path = wav.noise(str(desk.folder / "surround.wav"), 48000, 6, 4, seed=5)
    packed = desk.sound("packed", packed_path, 10, 5, 50)
    packed.sound.pack()
    bytes_of_packed = Path(packed_path).read_bytes()
    Path(packed_path).unlink()
    relative = desk.sound("relative", relative_path, 70, 5, 50)
    relative.sound.filepath = "//relative.wav"
    missing = desk.sound("missing", missing_path, 130, 5, 50)
    Path(missing_path).unlink()
    surround = desk.sound("surround", surround_path, 190, 5, 50)
    text = _silent_strip(desk)
    desk.select(packed, relative, missing, surround, text)
    end = desk.wait(desk.press())
    Path(packed_path).write_bytes(bytes_of_packed)
    stems = desk.stem_strips()
    of = {
        name: [strip for strip in stems if desk.results.original_name(desk.results.record_of(strip)) == name]
        for name in ("packed", "relative", "missing", "surround")
    }
    loud = desk.mix_down(*of["surround"], channels="SURROUND51")
    return {
        "end": end,
        "stems": desk.stems(),
        "packed": desk.null_with_source(packed, desk.mix_down(*of["packed"]), packed_path),
        "relative": desk.null_between(desk.mix_down(relative), desk.mix_down(*of["relative"])),
        "surround": desk.null_with_source(surround, loud, surround_path),
        "muted": [strip.name for strip in (packed, relative, missing, surround) if strip.mute],
    }


def _silent_strip(desk: Desk) -> Any:
    """An effect of a kind that makes no sound."""
    new = desk.strips.new_effect
    try:
        return new(name="title", type="TEXT", channel=20, frame_start=10, length=50)
    except TypeError:
        return new(name="title", type="TEXT", channel=20, frame_start=10, frame_end=60)


def before_frame_one(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Strips that begin before frame 1, before frame 0, before their own sound, and end after it."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 4)
    early = desk.sound("early", media, -20, 10, 60)
    wide = desk.sound("wide", media, 100, -15, 140)
    desk.select(early, wide)
    end = desk.wait(desk.press())
    of = {name: [s for s in desk.stem_strips() if s.name.startswith(name)] for name in ("early", "wide")}
    early = [desk.mix_down(early, channels="MONO"), desk.mix_down(*of["early"], channels="MONO")]
    mix, stems = desk.mix_down(wide, channels="MONO")[0], desk.mix_down(*of["wide"], channels="MONO")[0]
    begin = int(115 / desk.rate * RATE)
    return {
        "end": end,
        "stems": desk.stems(),
        "early": desk.null_between(*early),
        "wide": desk.null_between([mix[begin:]], [stems[begin:]]),
        "before": max(map(abs, stems[: begin - 2])),
    }


def inside_meta(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The user has opened a meta strip: what is selected there is separated there."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 2, 8)
    inner = desk.sound("inner", media, 10, 25, 60)
    meta = desk.strips.new_meta(name="meta", channel=4, frame_start=10)
    inner.move_to_meta(meta)
    desk.compat.set_handles(meta, 10, 70)
    desk.select(meta)
    desk.editor.active_strip = meta
    with bpy.context.temp_override(**desk.window()):
        bpy.ops.sequencer.meta_toggle()
    for strip in desk.compat.strips_of(meta):
        strip.select = True
    end = desk.wait(desk.press())
    inside = [strip.name for strip in desk.compat.strips_of(meta)]
    with_stems = desk.mix_down(meta)
    for strip in desk.compat.strips_of(meta):
        strip.mute = strip.name != "inner"
    return {
        "end": end,
        "inside": sorted(inside),
        "outside": sorted(strip.name for strip in desk.strips),
        "null": desk.null_between(desk.mix_down(meta), with_stems),
    }


def inside_two_metas(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The user has opened a meta strip inside a meta strip: what must be rendered there sounds, and it alone."""
    desk = Desk(module, config)
    media, other = (wav.noise(str(desk.folder / f"{n}.wav"), 48000, 2, 8, seed=n) for n in (1, 2))
    original = _meta(desk, media, media)
    inner, outer = (desk.strips.new_meta(name=name, channel=8, frame_start=10) for name in ("inner", "outer"))
    for strip in (original, desk.sound("beside", other, 10, 0, 80, channel=6)):
        strip.move_to_meta(inner)
    for strip in (inner, desk.sound("above", other, 10, 0, 80, channel=6)):
        strip.move_to_meta(outer)
    desk.sound("outside", other, 10, 0, 80, channel=6)
    for meta in (inner, outer):
        desk.compat.set_handles(meta, 10, 100)
    for name in ("above", "outside", "beside"):
        desk.compat.all_strips(desk.editor)[name].mute = True
    heard = desk.loudness(desk.mix_down(outer))
    for name in ("above", "outside", "beside"):
        desk.compat.all_strips(desk.editor)[name].mute = False
    for meta in (outer, inner):
        desk.editor.active_strip = meta
        with bpy.context.temp_override(**desk.window()):
            bpy.ops.sequencer.meta_toggle()
    for strip in desk.compat.strips_of(inner):
        strip.select = strip.name == "original"
    before = _state(desk)
    job = desk.press()
    unchanged = before == _state(desk)
    end = desk.wait(job)
    stems = [strip.name for strip in desk.stem_strips()]
    for strip in (*desk.compat.strips_of(inner), *desk.compat.strips_of(outer)):
        strip.mute = strip.name not in (*stems, "inner")
    as_stems = desk.loudness(desk.mix_down(outer))
    edges = {frame + near for frame in (12, 40, 70, 90) for near in (-1, 0, 1)}
    return {
        "end": end,
        "unchanged": unchanged,
        "inside": sorted(strip.name for strip in desk.compat.strips_of(inner)),
        "loudest": max(heard),
        "loudness": max(abs(a - b) for n, (a, b) in enumerate(zip(heard, as_stems)) if n not in edges),  # noqa: B905
    }
