"""Start a separation of a file or an edit in the background."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from stemline.api.edits import plan_edit
from stemline.api.files import PathText, TimeSpan, plan_file
from stemline.api.results import EditResult, Result
from stemline.api.running import Run
from stemline.api.stems import Stems, Time
from stemline.client import Client
from stemline.errors import UsageError
from stemline.hosts.base import Host
from stemline.hosts.edits import EditOptions
from stemline.hosts.registry import host_list
from stemline.workflow import Progress, Settings
from stemline.workflow.results import Estimate


def start(
    source: PathText | Host,
    stems: Stems,
    *,
    output: PathText,
    settings: Settings = Settings(),
    options: EditOptions | None = None,
    range: TimeSpan | None = None,
    stream: int = 0,
    near: Time | None = None,
    progress: Callable[[Progress], None] | None = None,
    client: Client | None = None,
) -> Run[Result] | Run[EditResult]:
    """Start to separate a media file or an edit, and return while it runs.

    The input is read and checked first; work that takes long happens in the background. A path with the suffix of an
    edit is an edit, as is everything with `options`; every other path is a media file.

    Args:
        source: Path of a media file or of an edit, or a `stemline.hosts.Host`.
        stems: Stems to make: names with prompts, `Stem`s, or texts.
        output: Folder for the results.
        settings: How to separate.
        options: For an edit: how it is read, and what is written.
        range: For a file: start and end of the part to separate.
        stream: For a file: audio stream, counted from 0.
        near: Time from which on the results are wanted first, such as that of a playhead: of a file in seconds or as
            source timecode, of an edit in seconds of the timeline. The results do not depend on it.
        progress: Called with a `Progress` while the run works, from several threads.
        client: Connection to use instead of `settings.server`.

    Returns:
        The run, whose result is that of `separate` or `separate_edit`.

    Raises:
        StemlineError: As `separate` and `separate_edit`, for everything that can be known before the work.

    Examples:
        >>> import stemline
        >>> with stemline.start("interview.wav", {"dialogue": "speech"}, output="out") as run:
        ...     sum(block.samples.shape[1] for block in run.blocks())
        96000
    """
    run = _planned(
        source,
        stems,
        output=output,
        settings=settings,
        options=options,
        range=range,
        stream=stream,
        near=near,
        client=client,
    )
    return run.follow(progress).start()


def estimate(
    source: PathText | Host,
    stems: Stems,
    *,
    output: PathText,
    settings: Settings = Settings(),
    options: EditOptions | None = None,
    range: TimeSpan | None = None,
    stream: int = 0,
) -> Estimate:
    """Return what a separation of a media file or an edit would need, without starting it.

    The arguments are those of `start`. The time comes from earlier runs of the model on this machine.

    Raises:
        StemlineError: As `start`.

    Examples:
        >>> import stemline
        >>> needed = stemline.estimate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> needed.files, needed.output_bytes > 0
        (2, True)
    """
    run = _planned(source, stems, output=output, settings=settings, options=options, range=range, stream=stream)
    with run:
        return run.estimate


def _planned(
    source: PathText | Host,
    stems: Stems,
    *,
    output: PathText,
    settings: Settings,
    options: EditOptions | None,
    range: TimeSpan | None,
    stream: int,
    near: Time | None = None,
    client: Client | None = None,
) -> Run[Result] | Run[EditResult]:
    """Return the planned run. Raises StemlineError."""
    is_edit = options is not None or not isinstance(source, str | os.PathLike) or host_list().is_edit(Path(source))
    if not is_edit and isinstance(source, str | os.PathLike):
        return plan_file(
            source, stems, output=output, settings=settings, range=range, stream=stream, client=client, near=near
        )
    if range is not None or stream:
        raise UsageError("range and stream are for media files.", advice="Omit them for an edit.")
    if isinstance(near, str):
        raise UsageError("near is in seconds of the timeline for an edit.", advice="Give a number.")
    at = None if near is None else Fraction(near)
    chosen = options or EditOptions()
    return plan_edit(source, stems, output=output, settings=settings, options=chosen, client=client, near=at)
