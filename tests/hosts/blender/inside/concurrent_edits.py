"""Scenarios: edits during a run, failures around it, and the panel's other buttons."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

import bpy
import wav
from harness import Harness

SLOW = "sleep:2"  # the engine `noop` takes so many seconds


def edited(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Separate five strips that are moved, deleted, renamed or trimmed during the run, in a file saved elsewhere."""
    harness = Harness(module, config)
    paths = [wav.noise(str(harness.folder / f"voice {n}.wav"), 48000, 1, 8, seed=n) for n in range(5)]
    moved, deleted, renamed, trimmed, still = (
        harness.sound(name, path, 10 + 60 * n, 20, 50, channel=1 + n % 2)
        for n, (name, path) in enumerate(zip(("moved", "deleted", "renamed", "trimmed", "still"), paths))  # noqa: B905
    )
    harness.select(moved, deleted, renamed, trimmed, still)
    job = harness.press(SLOW)
    assert harness.until(lambda: job.state == "running")
    moved.frame_start += 7
    harness.strips.remove(deleted)
    renamed.name = "of another name"
    harness.compat.set_handles(trimmed, harness.compat.left(trimmed) + 5, harness.compat.right(trimmed) - 5)
    (harness.folder / "elsewhere").mkdir()
    harness.save("elsewhere/saved as.blend")
    bpy.context.window.scene = bpy.data.scenes.new("another")
    end = harness.wait(job)
    bpy.context.window.scene = harness.scene
    stems = harness.stem_strips()
    kept = {"moved": moved, "renamed": renamed, "trimmed": trimmed, "still": still}
    nulls = {}
    for name, strip in kept.items():
        own = [s for s in stems if harness.results.original_name(harness.results.record_of(s)) == strip.name]
        mixed = harness.mix_down(*own, channels="MONO") if own else []
        path = bpy.path.abspath(strip.sound.filepath)
        nulls[name] = harness.null_with_source(strip, mixed, path) if own else None
    return {"end": end, "stems": harness.stems(), "nulls": nulls, "others": len(bpy.data.scenes["another"].keys())}


def another_file(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Another file is opened while stems are made: nothing is written into it."""
    harness = Harness(module, config)
    harness.save("other.blend")
    harness.save()
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 8)
    harness.select(harness.sound("original", media, 10))
    harness.save()
    job = harness.press(SLOW)
    assert harness.until(lambda: job.state == "running")
    bpy.ops.wm.open_mainfile(filepath=str(harness.folder / "other.blend"))
    end = harness.wait(job)
    editor = bpy.context.scene.sequence_editor
    strips = [] if editor is None else [strip.name for strip in harness.compat.all_strips(editor)]
    return {"end": end, "strips": strips}


def cancelled(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A running and a waiting job are cancelled; the next one works."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 4)
    original = harness.sound("original", media, 10)
    harness.select(original)
    running, waiting = harness.press("sleep:9"), harness.press("sleep:10")
    assert harness.until(lambda: running.state == "running" and waiting.run)
    for job in (waiting, running):
        bpy.ops.stemline.cancel(tag=job.tag)
    ends = [harness.wait(running), harness.wait(waiting)]
    between = (len(harness.stems()), bool(original.mute))
    last = harness.wait(harness.press("quick"))
    bpy.ops.stemline.cancel(tag=running.tag)
    listed = [job.title for job in harness.session.SESSION.jobs]
    return {"ends": ends, "between": between, "last": last, "listed": listed}


def given_up(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Hold strips with a tool until the write is given up: after a failure and after a cancel."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 4)
    harness.select(harness.sound("original", media, 10))
    session, compat = harness.session.SESSION, cast(Any, harness.compat)
    dragging = compat.user_is_dragging

    def held(prompt: str) -> Any:
        compat.user_is_dragging = lambda: True
        job = harness.press(prompt)
        assert harness.until(lambda: session._writes)
        return job

    def let_go(job: Any) -> tuple[dict[str, Any], int]:
        compat.user_is_dragging = dragging
        assert harness.until(lambda: not session._writes)
        return harness.wait(job), len(harness.stems())

    job = held("failed")
    session._on_failed(job, {"error": {"code": "HOST_TIMEOUT", "message": "Blender did not answer."}})
    failed = let_go(job)
    job = held("given up")
    later = session._writes[0][0]
    peer = session._companion.peer
    peer._sort({"method": "cancel_request", "params": {"id": next(iter(peer._incoming_calls))}})
    assert later.given_up()
    given = let_go(job)
    job = held("cancelled")
    bpy.ops.stemline.cancel(tag=job.tag)
    end = harness.wait(job, 20.0)
    cancelled = (end, let_go(job)[1])
    return {"failed": failed, "given_up": given, "cancelled": cancelled, "last": let_go(held("wanted"))}


def rendered_files(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Collect the rendered files of runs that fail, and of one that succeeds.

    The runs are cancelled at once, cancelled while they run, left without a companion, and cancelled when their stems
    exist already.
    """
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 4)
    meta = harness.strips.new_meta(name="of a long name " * 4, channel=3, frame_start=10)
    harness.sound("inside", media, 10).move_to_meta(meta)
    harness.compat.set_handles(meta, 10, 60)
    harness.select(meta)
    session, compat = harness.session.SESSION, cast(Any, harness.compat)
    there: dict[str, Any] = {}

    def ended(kind: str, job: Any) -> None:
        state = harness.wait(job)["state"]
        there[kind] = (state, [path.is_file() for path in job.files.values()])

    slow = f"sleep:{11 + bpy.app.version[0]}"  # a job that another version left on the server would end at once
    job = harness.press(slow)
    begun = [path.is_file() for path in job.files.values()]
    bpy.ops.stemline.cancel(tag=job.tag)
    ended("at once", job)
    for kind in ("running", "no companion"):
        job = harness.press(slow)
        assert harness.until(lambda: job.state == "running" and job.stage == "separating")  # noqa: B023
        if kind == "running":
            bpy.ops.stemline.cancel(tag=job.tag)
        else:
            session._companion.process.kill()
        ended(kind, job)
    dragging, compat.user_is_dragging = compat.user_is_dragging, lambda: True
    job = harness.press("separated")
    assert harness.until(lambda: session._writes)
    bpy.ops.stemline.cancel(tag=job.tag)
    ended("separated", job)
    compat.user_is_dragging = dragging
    ended("done", harness.press("done"))
    return {"begun": begun, "there": there}


def many(module: str, config: dict[str, Any]) -> list[str]:
    """More runs than the list keeps, of which the first two and each third go on."""
    harness = Harness(module, config)
    jobs = __import__(f"{module}.jobs", fromlist=["x"])
    session = harness.session.BlenderSession()
    session.start = lambda: None
    for number in range(30):
        reading = harness.reading.StripSelection(harness.scene.name, "")
        job = jobs.SeparationJob(str(number), reading, {}, 0, "", 0)
        job.state = jobs.RUNNING if number < 2 or number % 3 == 0 else jobs.DONE
        session.add(job)
    return [job.title for job in session.jobs]


def names(module: str, config: dict[str, Any]) -> list[str]:
    """The names of stems: as typed, and from the words of a prompt."""
    asking = __import__(f"{module}.asking", fromlist=["x"])
    return [asking.stem_name(given, text) for given, text in config["asked"]]


def broken(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The companion is killed, then the server; Blender goes on and the next press works."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 4)
    original = harness.sound("original", media, 10)
    harness.select(original)
    session = harness.session.SESSION
    job = harness.press("sleep:9")
    assert harness.until(lambda: job.state == "running" and job.fraction >= 0)
    session._companion.process.kill()
    killed = harness.wait(job)
    state = (session.state, session.sentence)
    job = harness.press("sleep:10")
    assert harness.until(lambda: job.state == "running" and job.stage == "separating")
    for pid in config_servers(config):
        os.kill(pid, signal.SIGKILL)
    server = harness.wait(job, 200.0)
    muted = bool(original.mute)
    after = harness.wait(harness.press("quick after all"), 200.0)
    return {"killed": killed, "state": state, "server": server, "muted": muted, "after": after}


def config_servers(config: dict[str, Any]) -> list[int]:
    """The processes of this test's private server."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                cache = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"stemline_server" in words and config["cache"].encode() in cache:
                found.append(int(entry.name))
    return found


def missing(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """No Stemline, a program that is none, one of another version: one sentence, one command."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 4)
    harness.select(harness.sound("original", media, 10))
    session = harness.session.SESSION
    addon = bpy.context.preferences.addons[module].preferences
    saw = []
    for program in ("", "/nowhere/stemline", config["dies"], config["too_new"]):
        addon.program = program
        session.stop()
        job = harness.press()
        end = harness.wait(job, 60.0)
        saw.append({"end": end["state"], "sentence": session.sentence, "command": session.command})
    return {"saw": saw, "stems": len(harness.stems())}


def buttons(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Spans, presets, history, A/B, versions beside each other, removing a result."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 8)
    original = harness.sound("original", media, 10, 0, 100)
    harness.select(original)
    scene, mine = harness.scene, harness.scene.stemline
    empty = bpy.ops.stemline.add_span(sign="PLUS", source="PREVIEW")
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 20, 44
    bpy.ops.stemline.add_span(sign="PLUS", source="PREVIEW")
    for frame in (60, 70, 90):
        scene.timeline_markers.new(f"m{frame}", frame=frame).select = True
    bpy.ops.stemline.add_span(sign="MINUS", source="MARKERS")
    spans = [(span.sign, span.start, span.end) for span in mine.spans]
    first = harness.wait(harness.press("tone"))
    records = [harness.results.record_of(strip) for strip in harness.stem_strips()]
    record = next(record["prompt"] for record in records if record["stem"] == "tone")
    prompts = {"plus": record["plus"], "minus": record["minus"]}
    bpy.ops.stemline.remove_span(index=0)
    second = harness.wait(harness.press("other", play="residual", stem="a name"))
    sets = sorted(result.title for result in harness.results.results_in(scene))
    heard = {}
    for what in ("ORIGINAL", "STEM", "RESIDUAL", "ALL"):
        bpy.ops.stemline.play_result(result=_result(harness, "tone"), what=what)
        heard[what] = [bool(original.mute)] + [
            stem["mute"] for stem in harness.stems() if "tone" in _title(harness, stem)
        ]
    bpy.ops.stemline.select_result(result=_result(harness, "tone"))
    selected = sorted(strip.name for strip in harness.strips if strip.select)
    second_mutes = {stem["stem"]: stem["mute"] for stem in harness.stems() if "a name" in _title(harness, stem)}
    bpy.ops.stemline.remove_result(result=_result(harness, "tone"))
    still_muted = bool(original.mute)
    bpy.ops.stemline.remove_result(result=_result(harness, "a name"))
    bpy.ops.stemline.preset(drop=False)
    return {
        "empty": sorted(empty),
        "spans": spans,
        "prompt": prompts,
        "ends": [first["state"], second["state"]],
        "sets": sets,
        "heard": heard,
        "selected": selected,
        "second_mutes": second_mutes,
        "still_muted": still_muted,
        "muted_at_last": bool(original.mute),
        "left": [strip.name for strip in harness.strips],
        "sounds": len(bpy.data.sounds),
        "names": [channel.name for channel in harness.editor.channels][1:8],
        "words": _words(harness, original),
        "suggested": __import__(f"{module}.prompts", fromlist=["x"]).suggestions("O"),
    }


def cut(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Original and stems are cut together, the right half renamed; a copy is put elsewhere. Two results replace it."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 8)
    original = harness.sound("original", media, 10, 0, 100)
    muted = harness.sound("muted", media, 10, 0, 100, channel=2)
    muted.mute = True
    harness.select(original, muted)
    ends = [harness.wait(harness.press(prompt))["state"] for prompt in ("first", "second")]
    _split(harness, 50)
    right = harness.strips["original.001"]
    right.name = "renamed"
    harness.select(right)
    with bpy.context.temp_override(**harness.window()):
        bpy.ops.sequencer.duplicate()
    copy = next(strip for strip in harness.strips if strip.select)
    copy.name = "copy"
    harness.compat.set_handles(copy, 55, 60)
    copy.frame_start += 400
    copy.mute = False
    saw: dict[str, Any] = {"ends": ends, "halves": len(harness.stems())}
    for what in ("ORIGINAL", "ALL"):
        bpy.ops.stemline.play_result(result=_result(harness, "first"), what=what)
        saw[what] = _muted(harness)
    for title in ("first", "second"):
        bpy.ops.stemline.remove_result(result=_result(harness, title))
        saw[title] = _muted(harness)
    saw["left"] = len(harness.stems())
    saw["carry"] = [strip.name for strip in harness.strips if len(strip.keys())]
    return saw


def cut_in_an_earlier_file(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Stems of an earlier version, whose originals carry nothing: found by name, and cut only after the first A/B."""
    harness = Harness(module, config)
    media = wav.noise(str(harness.folder / "voice.wav"), 48000, 1, 8)
    harness.select(harness.sound("original", media, 10, 0, 100))
    harness.wait(harness.press("tone"))
    del harness.strips["original"]["stemline_replaced_by"]
    saw: dict[str, Any] = {}
    for what in ("ORIGINAL", "ALL"):
        bpy.ops.stemline.play_result(result=_result(harness, "tone"), what=what)
        saw[what] = _muted(harness)
    _split(harness, 50)
    bpy.ops.stemline.remove_result(result=_result(harness, "tone"))
    return saw | {"left": _muted(harness)}


def _split(harness: Harness, frame: int) -> None:
    for strip in harness.strips:
        strip.select = True
    with bpy.context.temp_override(**harness.window()):
        bpy.ops.sequencer.split(frame=frame, type="SOFT", side="RIGHT")


def _muted(harness: Harness) -> dict[str, bool]:
    """Of every strip that is no stem."""
    return {strip.name: bool(strip.mute) for strip in harness.strips if not harness.results.record_of(strip)}


def _result(harness: Harness, title: str) -> str:
    return str(next(result.name for result in harness.results.results_in(harness.scene) if title in result.title))


def _title(harness: Harness, stem: dict[str, Any]) -> str:
    return str(next(r.title for r in harness.results.results_in(harness.scene) if r.name == stem["result"]))


def _words(harness: Harness, original: Any) -> list[str]:
    harness.select(original)
    return list(harness.reading.in_words(harness.scene))
