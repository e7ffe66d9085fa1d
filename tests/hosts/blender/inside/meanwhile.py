"""The user goes on editing while stems are made; things break; the panel's other buttons."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

import bpy
import wav
from desk import Desk

SLOW = "sleep:2"  # the engine `noop` takes so many seconds


def edited(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Five strips are separated; meanwhile one is moved, one deleted, one renamed, one trimmed, the file saved under
    another name and another scene looked at."""
    desk = Desk(module, config)
    paths = [wav.noise(str(desk.folder / f"voice {n}.wav"), 48000, 1, 8, seed=n) for n in range(5)]
    moved, deleted, renamed, trimmed, still = (
        desk.sound(name, path, 10 + 60 * n, 20, 50, channel=1 + n % 2)
        for n, (name, path) in enumerate(zip(("moved", "deleted", "renamed", "trimmed", "still"), paths))  # noqa: B905
    )
    desk.select(moved, deleted, renamed, trimmed, still)
    job = desk.press(SLOW)
    assert desk.until(lambda: job.state == "running")
    moved.frame_start += 7
    desk.strips.remove(deleted)
    renamed.name = "of another name"
    desk.compat.set_handles(trimmed, desk.compat.left(trimmed) + 5, desk.compat.right(trimmed) - 5)
    (desk.folder / "elsewhere").mkdir()
    desk.save("elsewhere/saved as.blend")
    bpy.context.window.scene = bpy.data.scenes.new("another")
    end = desk.wait(job)
    bpy.context.window.scene = desk.scene
    stems = desk.stem_strips()
    kept = {"moved": moved, "renamed": renamed, "trimmed": trimmed, "still": still}
    nulls = {}
    for name, strip in kept.items():
        own = [s for s in stems if desk.results.original_name(desk.results.record_of(s)) == strip.name]
        mixed = desk.mix_down(*own, channels="MONO") if own else []
        path = bpy.path.abspath(strip.sound.filepath)
        nulls[name] = desk.null_with_source(strip, mixed, path) if own else None
    return {"end": end, "stems": desk.stems(), "nulls": nulls, "others": len(bpy.data.scenes["another"].keys())}


def another_file(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Another file is opened while stems are made: nothing is written into it."""
    desk = Desk(module, config)
    desk.save("other.blend")
    desk.save()
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 8)
    desk.select(desk.sound("original", media, 10))
    desk.save()
    job = desk.press(SLOW)
    assert desk.until(lambda: job.state == "running")
    bpy.ops.wm.open_mainfile(filepath=str(desk.folder / "other.blend"))
    end = desk.wait(job)
    editor = bpy.context.scene.sequence_editor
    strips = [] if editor is None else [strip.name for strip in desk.compat.all_strips(editor)]
    return {"end": end, "strips": strips}


def cancelled(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """A running and a waiting job are cancelled; the next one works."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 4)
    original = desk.sound("original", media, 10)
    desk.select(original)
    running, waiting = desk.press("sleep:9"), desk.press("sleep:10")
    assert desk.until(lambda: running.state == "running" and waiting.run)
    for job in (waiting, running):
        bpy.ops.stemline.cancel(tag=job.tag)
    ends = [desk.wait(running), desk.wait(waiting)]
    between = (len(desk.stems()), bool(original.mute))
    last = desk.wait(desk.press("quick"))
    bpy.ops.stemline.cancel(tag=running.tag)
    listed = [job.title for job in desk.session.SESSION.jobs]
    return {"ends": ends, "between": between, "last": last, "listed": listed}


def given_up(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The user holds a tool while stems are to be written, until nobody waits for them any more: once the run was
    reported as failed, once the write itself was given up, once the user cancels. Then a run that is waited for."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 4)
    desk.select(desk.sound("original", media, 10))
    session, compat = desk.session.SESSION, cast(Any, desk.compat)
    dragging = compat.user_is_dragging

    def held(prompt: str) -> Any:
        compat.user_is_dragging = lambda: True
        job = desk.press(prompt)
        assert desk.until(lambda: session._writes)
        return job

    def let_go(job: Any) -> tuple[dict[str, Any], int]:
        compat.user_is_dragging = dragging
        assert desk.until(lambda: not session._writes)
        return desk.wait(job), len(desk.stems())

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
    end = desk.wait(job, 20.0)
    cancelled = (end, let_go(job)[1])
    return {"failed": failed, "given_up": given, "cancelled": cancelled, "last": let_go(held("wanted"))}


def rendered_files(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """What is rendered for runs that come to nothing: cancelled at once, while they run, with no companion, and when
    their stems are there already; then for one that succeeds."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 4)
    meta = desk.strips.new_meta(name="of a long name " * 4, channel=3, frame_start=10)
    desk.sound("inside", media, 10).move_to_meta(meta)
    desk.compat.set_handles(meta, 10, 60)
    desk.select(meta)
    session, compat = desk.session.SESSION, cast(Any, desk.compat)
    there: dict[str, Any] = {}

    def ended(kind: str, job: Any) -> None:
        state = desk.wait(job)["state"]
        there[kind] = (state, [path.is_file() for path in job.files.values()])

    slow = f"sleep:{11 + bpy.app.version[0]}"  # a job that another version left on the server would end at once
    job = desk.press(slow)
    begun = [path.is_file() for path in job.files.values()]
    bpy.ops.stemline.cancel(tag=job.tag)
    ended("at once", job)
    for kind in ("running", "no companion"):
        job = desk.press(slow)
        assert desk.until(lambda: job.state == "running" and job.stage == "separating")  # noqa: B023
        if kind == "running":
            bpy.ops.stemline.cancel(tag=job.tag)
        else:
            session._companion.process.kill()
        ended(kind, job)
    dragging, compat.user_is_dragging = compat.user_is_dragging, lambda: True
    job = desk.press("separated")
    assert desk.until(lambda: session._writes)
    bpy.ops.stemline.cancel(tag=job.tag)
    ended("separated", job)
    compat.user_is_dragging = dragging
    ended("done", desk.press("done"))
    return {"begun": begun, "there": there}


def many(module: str, config: dict[str, Any]) -> list[str]:
    """More runs than the list keeps, of which the first two and each third go on."""
    desk = Desk(module, config)
    jobs = __import__(f"{module}.jobs", fromlist=["x"])
    session = desk.session.Session()
    session.start = lambda: None
    for number in range(30):
        reading = desk.reading.Reading(desk.scene.name, "")
        job = jobs.Job(str(number), reading, {}, 0, "", 0)
        job.state = jobs.RUNNING if number < 2 or number % 3 == 0 else jobs.DONE
        session.add(job)
    return [job.title for job in session.jobs]


def names(module: str, config: dict[str, Any]) -> list[str]:
    """The names of stems: as typed, and from the words of a prompt."""
    asking = __import__(f"{module}.asking", fromlist=["x"])
    return [asking.stem_name(given, text) for given, text in config["asked"]]


def broken(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """The companion is killed, then the server; Blender goes on and the next press works."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 4)
    original = desk.sound("original", media, 10)
    desk.select(original)
    session = desk.session.SESSION
    job = desk.press("sleep:9")
    assert desk.until(lambda: job.state == "running" and job.fraction >= 0)
    session._companion.process.kill()
    killed = desk.wait(job)
    state = (session.state, session.sentence)
    job = desk.press("sleep:10")
    assert desk.until(lambda: job.state == "running" and job.stage == "separating")
    for pid in config_servers(config):
        os.kill(pid, signal.SIGKILL)
    server = desk.wait(job, 200.0)
    muted = bool(original.mute)
    after = desk.wait(desk.press("quick after all"), 200.0)
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
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 4)
    desk.select(desk.sound("original", media, 10))
    session = desk.session.SESSION
    addon = bpy.context.preferences.addons[module].preferences
    saw = []
    for program in ("", "/nowhere/stemline", config["dies"], config["too_new"]):
        addon.program = program
        session.stop()
        job = desk.press()
        end = desk.wait(job, 60.0)
        saw.append({"end": end["state"], "sentence": session.sentence, "command": session.command})
    return {"saw": saw, "stems": len(desk.stems())}


def buttons(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Spans, presets, history, A/B, versions beside each other, removing a result."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 8)
    original = desk.sound("original", media, 10, 0, 100)
    desk.select(original)
    scene, mine = desk.scene, desk.scene.stemline
    empty = bpy.ops.stemline.add_span(sign="PLUS", source="PREVIEW")
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 20, 44
    bpy.ops.stemline.add_span(sign="PLUS", source="PREVIEW")
    for frame in (60, 70, 90):
        scene.timeline_markers.new(f"m{frame}", frame=frame).select = True
    bpy.ops.stemline.add_span(sign="MINUS", source="MARKERS")
    spans = [(span.sign, span.start, span.end) for span in mine.spans]
    first = desk.wait(desk.press("tone"))
    records = [desk.results.record_of(strip) for strip in desk.stem_strips()]
    record = next(record["prompt"] for record in records if record["stem"] == "tone")
    prompts = {"plus": record["plus"], "minus": record["minus"]}
    bpy.ops.stemline.remove_span(index=0)
    second = desk.wait(desk.press("other", play="residual", stem="a name"))
    sets = sorted(result.title for result in desk.results.results_in(scene))
    heard = {}
    for what in ("ORIGINAL", "STEM", "RESIDUAL", "ALL"):
        bpy.ops.stemline.play_result(result=_result(desk, "tone"), what=what)
        heard[what] = [bool(original.mute)] + [stem["mute"] for stem in desk.stems() if "tone" in _title(desk, stem)]
    bpy.ops.stemline.select_result(result=_result(desk, "tone"))
    selected = sorted(strip.name for strip in desk.strips if strip.select)
    second_mutes = {stem["stem"]: stem["mute"] for stem in desk.stems() if "a name" in _title(desk, stem)}
    bpy.ops.stemline.remove_result(result=_result(desk, "tone"))
    still_muted = bool(original.mute)
    bpy.ops.stemline.remove_result(result=_result(desk, "a name"))
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
        "left": [strip.name for strip in desk.strips],
        "sounds": len(bpy.data.sounds),
        "names": [channel.name for channel in desk.editor.channels][1:8],
        "words": _words(desk, original),
        "suggested": __import__(f"{module}.prompts", fromlist=["x"]).suggestions("O"),
    }


def cut(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Original and stems are cut together, the right half renamed; a copy is put elsewhere. Two results replace it."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 8)
    original = desk.sound("original", media, 10, 0, 100)
    muted = desk.sound("muted", media, 10, 0, 100, channel=2)
    muted.mute = True
    desk.select(original, muted)
    ends = [desk.wait(desk.press(prompt))["state"] for prompt in ("first", "second")]
    _split(desk, 50)
    right = desk.strips["original.001"]
    right.name = "renamed"
    desk.select(right)
    with bpy.context.temp_override(**desk.window()):
        bpy.ops.sequencer.duplicate()
    copy = next(strip for strip in desk.strips if strip.select)
    copy.name = "copy"
    desk.compat.set_handles(copy, 55, 60)
    copy.frame_start += 400
    copy.mute = False
    saw: dict[str, Any] = {"ends": ends, "halves": len(desk.stems())}
    for what in ("ORIGINAL", "ALL"):
        bpy.ops.stemline.play_result(result=_result(desk, "first"), what=what)
        saw[what] = _muted(desk)
    for title in ("first", "second"):
        bpy.ops.stemline.remove_result(result=_result(desk, title))
        saw[title] = _muted(desk)
    saw["left"] = len(desk.stems())
    saw["carry"] = [strip.name for strip in desk.strips if len(strip.keys())]
    return saw


def cut_in_an_earlier_file(module: str, config: dict[str, Any]) -> dict[str, Any]:
    """Stems of an earlier version, whose originals carry nothing: found by name, and cut only after the first A/B."""
    desk = Desk(module, config)
    media = wav.noise(str(desk.folder / "voice.wav"), 48000, 1, 8)
    desk.select(desk.sound("original", media, 10, 0, 100))
    desk.wait(desk.press("tone"))
    del desk.strips["original"]["stemline_replaced_by"]
    saw: dict[str, Any] = {}
    for what in ("ORIGINAL", "ALL"):
        bpy.ops.stemline.play_result(result=_result(desk, "tone"), what=what)
        saw[what] = _muted(desk)
    _split(desk, 50)
    bpy.ops.stemline.remove_result(result=_result(desk, "tone"))
    return saw | {"left": _muted(desk)}


def _split(desk: Desk, frame: int) -> None:
    for strip in desk.strips:
        strip.select = True
    with bpy.context.temp_override(**desk.window()):
        bpy.ops.sequencer.split(frame=frame, type="SOFT", side="RIGHT")


def _muted(desk: Desk) -> dict[str, bool]:
    """Of every strip that is no stem."""
    return {strip.name: bool(strip.mute) for strip in desk.strips if not desk.results.record_of(strip)}


def _result(desk: Desk, title: str) -> str:
    return str(next(result.name for result in desk.results.results_in(desk.scene) if title in result.title))


def _title(desk: Desk, stem: dict[str, Any]) -> str:
    return str(next(r.title for r in desk.results.results_in(desk.scene) if r.name == stem["result"]))


def _words(desk: Desk, original: Any) -> list[str]:
    desk.select(original)
    return list(desk.reading.in_words(desk.scene))
