"""Separation of media files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline.api.results import Result, result_of
from stemline.api.running import Plan, Run
from stemline.api.stems import Stems, Time, requests_for, resolve_time, stem_list
from stemline.client import Client
from stemline.clips import MediaFacts, MediaSource
from stemline.errors import Code, MediaError, SeparationError, StemlineError, UsageError
from stemline.hosts.plain_files import PlainFile
from stemline.hosts.registry import host_list, unreadable_edit
from stemline.media import media_facts
from stemline.plan import PlanSettings
from stemline.workflow import FileNamer, Hooks, Progress, RunResult, RunSettings, Settings, Wanted, prepare

PathText = str | os.PathLike[str]
TimeSpan = tuple[Time | None, Time | None]


def separate(
    media: PathText,
    stems: Stems,
    *,
    output: PathText | None = None,
    settings: Settings = Settings(),
    range: TimeSpan | None = None,
    stream: int = 0,
    progress: Callable[[Progress], None] | None = None,
    client: Client | None = None,
) -> Result:
    """Separate one media file, or a range of it.

    Writes one file for each stem and one for the residual, with the names and bytes of `stemline separate`. Files that
    an earlier run finished are kept.

    Args:
        media: Path of a file with audio.
        stems: Stems to make: names with prompts, `Stem`s, or texts.
        output: Folder for the results; None for the current folder.
        settings: How to separate.
        range: Start and end of the part to separate, in seconds from the start of the file or as source timecode;
            None at either place is the start or end of the file.
        stream: Audio stream of the file, counted from 0.
        progress: Called with a `Progress` while the run works, from several threads.
        client: Connection to use instead of `settings.server`.

    Returns:
        The files, what was found, and how exactly they add up.

    Raises:
        UsageError: A stem, span, range or setting that no run accepts.
        MediaError: The file cannot be read, or has no such audio.
        NoServerError: No server can be reached or started.
        SeparationError: The separation failed on the server.
        OutputError: A result cannot be written.

    Examples:
        >>> import stemline
        >>> result = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> result.stems[0].found
        True
    """
    run = plan_file(media, stems, output=output, settings=settings, range=range, stream=stream, client=client)
    return run.follow(progress).result()


def plan_file(
    media: PathText,
    stems: Stems,
    *,
    output: PathText | None = None,
    settings: Settings = Settings(),
    range: TimeSpan | None = None,
    stream: int = 0,
    client: Client | None = None,
    beside: Sequence[PathText] = (),
    near: Time | None = None,
) -> Run[Result]:
    """Plan `separate`. `beside` names further files whose results go to the same folder, so that no names collide.

    From `near` on the results are wanted first. Raises StemlineError.
    """
    asked = stem_list(stems)
    path = _absolute(media)
    source, facts = _opened(path, stream)
    start, end = (None if time is None else resolve_time(time, facts) for time in range or (None, None))
    host = PlainFile(source, facts, start, end)
    folder = Path(output if output is not None else ".").absolute()
    run_settings = RunSettings(folder, plan=PlanSettings(handle=Fraction(0)), **settings_fields(settings))
    wanted = Wanted(None if near is None else resolve_time(near, facts))
    prepared = prepare(host, requests_for(asked, facts, host.played), run_settings, None, wanted)
    ranges = {} if start is None and end is None else {path: (host.played.start, host.played.end)}
    names = list(dict.fromkeys([path, *map(_absolute, beside)]))
    return Run(Plan(host, prepared, run_settings, FileNamer(folder, names, ranges)), _finish, client)


def plain_file(media: PathText, range: TimeSpan | None = None, stream: int = 0) -> PlainFile:
    """Return a media file, or a range of it, as a host. Raises StemlineError."""
    source, facts = _opened(_absolute(media), stream)
    start, end = (None if time is None else resolve_time(time, facts) for time in range or (None, None))
    return PlainFile(source, facts, start, end)


def _opened(path: str, stream: int) -> tuple[MediaSource, MediaFacts]:
    """Return the sound of a file and its facts. Raises UsageError, MediaError."""
    if stream < 0:
        raise UsageError(f"The stream is counted from 0, not {stream}.", advice="Give 0 for the first audio stream.")
    source = MediaSource(path, stream)
    try:
        return source, media_facts(source)
    except MediaError as error:
        raise _explained(error, Path(path)) from error


def _finish(run: RunResult, _hooks: Hooks) -> Result:
    for failure in run.failed:
        raise SeparationError(failure.message, code=Code(failure.code), advice=failure.advice)
    return result_of(run.clips[0], run)


def _explained(error: MediaError, path: Path) -> StemlineError:
    """Return the error, or one that fits an edit given as media."""
    hosts = host_list()
    if error.code is not Code.MEDIA_UNREADABLE or not hosts.is_edit(path):
        return error
    if path.suffix.lower() not in hosts.read_suffixes:
        return unreadable_edit(path)
    return MediaError(
        f"{path.name} is an edit, not a media file.", code=error.code, advice="Use `stemline batch` for an edit."
    )


def settings_fields(settings: Settings) -> dict[str, Any]:
    """Return the settings by name."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(Settings)}


def _absolute(path: PathText) -> str:
    return str(Path(path).absolute())
