# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run as text: what was found in a clip, and the messages about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stemline.workflow import RunResult
from stemline_panel.model.formatting import format_confidence, join_names, translate
from stemline_panel.model.history import HistoryEntry
from stemline_panel.model.queue import QueueItem
from stemline_panel.model.request import RunOutcome

MAX_MESSAGES = 3
_NOT_FOUND = "NOT_FOUND"


def found_texts(result: RunResult, clip_id: str) -> dict[str, str]:
    """Return what each stem of a clip was found as, such as "speech, sure", by stem name."""
    texts = {}
    for clip in result.clips:
        if clip.clip_id != clip_id:
            continue
        for stem in clip.stems:
            found = stem.matched or stem.prompt or translate("ResultsView", "marked")
            sure = f"{found}, {format_confidence(stem.confidence)}"
            texts[stem.stem] = sure if stem.found else translate("ResultsView", "not found")
    return texts


def result_messages(outcome: RunOutcome, clip_id: str) -> list[str]:
    """Return the messages about a result, those about the shown clip first.

    A message that is about other clips names them, so that it isn't taken for one about the shown clip.
    """
    result = outcome.result
    messages = [f"{stem.name}: {stem.reason}" for stem in outcome.refused][:MAX_MESSAGES]
    messages += _not_found(result, clip_id)
    shown = {clip.name for clip in result.clips if clip.clip_id == clip_id}
    names: dict[str, list[str]] = {}
    for notice in sorted(result.notices, key=lambda notice: notice.clip not in shown):
        if notice.code != _NOT_FOUND:
            names.setdefault(f"{notice.stem}: {notice.message}", []).append(notice.clip)
    messages += _with_clips(names, shown)[:MAX_MESSAGES]
    failures: dict[str, list[str]] = {}
    for failure in result.failed:
        failures.setdefault(failure.sentence, []).append(failure.clip)
    messages += [f"{join_names(clips)}: {text}" for text, clips in failures.items()][:MAX_MESSAGES]
    return messages


def _not_found(result: RunResult, clip_id: str) -> list[str]:
    """Return which stems were not found: in the shown clip, and in which others.

    The clips are told apart by id, because several clips of one file often have the same name.
    """
    missing: dict[str, list[tuple[str, str]]] = {}
    for clip in result.clips:
        for stem in clip.stems:
            if not stem.found:
                missing.setdefault(stem.stem, []).append((clip.clip_id, clip.name))
    messages = []
    for name, clips in missing.items():
        if any(found_id == clip_id for found_id, _ in clips):
            messages.append(translate("ResultsView", "{stem} was not found; its stem is silent.").format(stem=name))
        others = [clip for found_id, clip in clips if found_id != clip_id]
        if others:
            text = translate("ResultsView", "{stem} was not found in {count} other clips: {clips}.")
            if len(others) == 1:
                text = translate("ResultsView", "{stem} was not found in another clip: {clips}.")
            messages.append(text.format(stem=name, count=len(others), clips=join_names(list(dict.fromkeys(others)))))
    return messages


def _with_clips(clips_of: Mapping[str, Iterable[str]], shown: set[str]) -> list[str]:
    """Return each message with the names of its clips, unless it is only about the shown one."""
    messages = []
    for text, clips in clips_of.items():
        names = list(dict.fromkeys(clips))
        messages.append(text if set(names) <= shown else f"{text} ({join_names(names)})")
    return messages


def history_entries(item: QueueItem, outcome: RunOutcome) -> list[HistoryEntry]:
    """Return an entry of the history for each prompt that the model understood."""
    clips = outcome.result.clips
    names = [clip.name for clip in outcome.request.clips]
    where = names[0] if len(names) == 1 else translate("HistoryView", "{count} clips").format(count=len(names))
    entries = []
    for stem in outcome.stems:
        found = [made for clip in clips for made in clip.stems if made.stem == stem.name and made.found]
        result = translate("HistoryView", "not found")
        if found:
            best = max(found, key=lambda made: made.confidence)
            result = f"{best.matched or best.prompt}, {format_confidence(best.confidence)}"
        if len(clips) > 1:
            many = translate("HistoryView", "{result} ({found} of {count} clips)")
            result = many.format(result=result, found=len(found), count=len(clips))
        entries.append(HistoryEntry(stem.prompt.text, item.asked_ns, outcome.result.model, result, where))
    return entries
