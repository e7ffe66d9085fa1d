"""Separation of whole edits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline.api.files import PathText, settings_fields
from stemline.api.growing import ChosenClips
from stemline.api.results import EditResult
from stemline.api.running import Plan, Run, plan_host
from stemline.api.stems import Stems, requests_for, stem_list
from stemline.client import Client
from stemline.errors import UsageError
from stemline.files import write_json, write_text
from stemline.hosts.base import Host, Selection
from stemline.hosts.edits import Delivered, DeliveryRequest, EditFiles, EditOptions, OpenRequest
from stemline.hosts.registry import edit_files_for, host_list, load_dialect
from stemline.plan import PlanSettings, safe_part
from stemline.prompts import StemRequest
from stemline.report import Delivery, render_page, report_of, write_previews
from stemline.workflow import EditNamer, Hooks, Progress, RunResult, RunSettings, Settings, Wanted, prepare
from stemline.workflow.derived_tracks import derived_json
from stemline.workflow.growing_edit import GrowingEdit
from stemline.workflow.outputs import OutputLedger

_SUFFIX = ".stems.otio"
_NAME_CHARACTERS = 120


def separate_edit(
    edit: PathText | Host,
    stems: Stems,
    *,
    output: PathText,
    settings: Settings = Settings(),
    options: EditOptions = EditOptions(),
    extend: bool = False,
    progress: Callable[[Progress], None] | None = None,
    client: Client | None = None,
) -> EditResult:
    """Separate the clips of an edit and write the edit with stem tracks.

    Writes what `stemline batch` writes: the edit, the stem files, the report. The edit itself stays as it is. Running
    again resumes; finished clips are not separated again.

    Args:
        edit: Path of an edit in a format that an installed host reads, or a `stemline.hosts.Host`, which gets the
            new tracks itself: only stem files are written then.
        stems: Stems to make from every clip: names with prompts, `Stem`s, or texts.
        output: Folder for the results.
        settings: How to separate.
        options: How the edit is read, and what is written.
        extend: Add the stems to the edit that an earlier run with `extend`, or the panel, wrote into `output`, in
            place of earlier stems of the same clips. It is written again only while no other program has changed it.
            `stemline.take_back` takes clips out again.
        progress: Called with a `Progress` while the run works, from several threads.
        client: Connection to use instead of `settings.server`.

    Returns:
        The new edit, and clip by clip what was done. Clips that cannot be separated are listed with a reason.

    Raises:
        UsageError: A stem, option or setting that no run accepts.
        EditError: The edit cannot be read, or none of its clips can be separated.
        NoServerError: No server can be reached or started.
        OutputError: A result cannot be written.

    Examples:
        >>> import stemline
        >>> result = stemline.separate_edit("edit.otio", {"dialogue": "speech"}, output="out")
        >>> [clip.name for clip in result.clips]
        ['interview']
    """
    with plan_edit(edit, stems, output=output, settings=settings, options=options, extend=extend, client=client) as run:
        return run.follow(progress).result()


def plan_edit(
    edit: PathText | Host,
    stems: Stems,
    *,
    output: PathText,
    settings: Settings = Settings(),
    options: EditOptions = EditOptions(),
    extend: bool = False,
    client: Client | None = None,
    near: Fraction | None = None,
) -> Run[EditResult]:
    """Plan `separate_edit`: read the edit, choose the names of the results. Raises StemlineError.

    From `near` on, in seconds of the timeline, the results are wanted first.
    """
    requests = requests_for(stem_list(stems))
    _check(options)
    if extend and (options.to or options.rewrite):
        raise UsageError(
            "An edit that grows takes no other formats.",
            advice="For an .xml or .aaf, the sequence of its stems is written beside it without being asked for.",
        )
    if not isinstance(edit, str | os.PathLike):
        if extend or options.clips:
            raise UsageError("Only an edit in a file can be extended, or separated by names of clips.")
        host_settings = _run_settings(Path(output).absolute(), settings, options)
        name = edit.capabilities.name
        return plan_host(
            edit,
            requests,
            host_settings,
            lambda run: EditResult(**_fields(run), edit=name),
            client=client,
            wanted=Wanted(near),
        )
    path = Path(edit).absolute()
    files = edit_files_for(path)
    files.check(options, settings.sample_format)
    run_settings = _run_settings(Path(output).absolute(), settings, options)
    with ExitStack() as stack:
        ledger = stack.enter_context(OutputLedger(run_settings.output_dir))
        writer = _EditWriter(_Request(path, requests, run_settings, options, extend), files, ledger)
        unpack_to = run_settings.output_dir / f"{safe_part(path.stem, _NAME_CHARACTERS)}.media"
        opened = files.open_edit(OpenRequest(path, writer.target, options, writer.report_data.name, unpack_to))
        growing = GrowingEdit(path, run_settings.output_dir, files, options) if extend else None
        host = ChosenClips(opened, options.clips, growing, writer.recipe)
        namer = EditNamer(run_settings.output_dir)
        prepared = prepare(host, requests, run_settings, namer.folder, Wanted(near))
        return Run(Plan(host, prepared, run_settings, namer), writer.finish, client, stack.pop_all())


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked of one edit file."""

    edit: Path
    stems: tuple[StemRequest, ...]
    settings: RunSettings
    options: EditOptions
    extend: bool = False


class _EditWriter:
    """The results of one run beside its stem files: names first, and at the end exports and report."""

    def __init__(self, request: _Request, files: EditFiles, ledger: OutputLedger) -> None:
        self._request = request
        self._files, self._ledger = files, ledger
        self.recipe = _recipe(request)
        self._recipes: dict[Path, str] = {}
        self.target = self._choose(safe_part(request.edit.stem, _NAME_CHARACTERS), _SUFFIX, self.recipe)
        self.report = self._choose("report", ".html", self.recipe)
        self.report_data = self._choose("report", ".json", self.recipe)

    def finish(self, run: RunResult, hooks: Hooks) -> EditResult:
        """Write the exports, the previews and the report. Raises OutputError."""
        request = self._request
        if run.output and not request.extend:
            self._note(self.target)
        delivered = self._deliver(run) if run.output and request.options.to else Delivered()
        run = dataclasses.replace(run, notes=(*run.notes, *delivered.notes))
        folder = self.report.with_name(f"{self.report.stem}.previews")
        previews = write_previews(run.clips, folder, hooks) if request.options.previews else {}
        delivery = Delivery(delivered.paths, previews)
        report = report_of(str(request.edit), run, request.stems, request.settings, delivery)
        write_json(self.report_data, report)
        write_text(self.report, render_page(report))
        for path in (self.report_data, self.report):
            self._note(path)
        return EditResult(
            **_fields(run),
            edit=str(request.edit),
            report=str(self.report),
            report_data=str(self.report_data),
            exports=tuple(map(str, delivered.paths)),
            export_errors=delivered.failed,
        )

    def _deliver(self, run: RunResult) -> Delivered:
        edit = Path(run.output)

        def choose(suffix: str, recipe: str) -> Path:
            return self._choose(edit.name.removesuffix(_SUFFIX), suffix, f"{self.recipe} {recipe}")

        return self._files.deliver(DeliveryRequest(edit, run.tracks, self._request.options, choose, self._note))

    def _choose(self, base: str, suffix: str, recipe: str) -> Path:
        path = self._ledger.choose(base, suffix, recipe, overwrite=self._request.settings.overwrite)
        self._recipes[path] = recipe
        return path

    def _note(self, path: Path) -> None:
        self._ledger.note(path, self._recipes[path])


def _fields(run: RunResult) -> dict[str, Any]:
    return {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}


def _check(options: EditOptions) -> None:
    """Raise UsageError for a dialect or format that no host announces, and for a folder that is not there."""
    hosts = host_list()
    if options.dialect not in hosts.dialects:
        known = ", ".join(sorted(hosts.dialects))
        raise UsageError(f"No host announces the dialect {options.dialect!r}.", advice=f"Known: {known}.")
    for kind in options.to:
        if kind not in hosts.formats:
            raise UsageError(f"No host writes the format {kind!r}.", advice=f"Known: {', '.join(hosts.formats)}.")
    for root in options.roots:
        if not root.is_dir():
            raise UsageError(f"The media root {root} is not a folder.", advice="Name a folder that holds media.")


def _run_settings(folder: Path, settings: Settings, options: EditOptions) -> RunSettings:
    return RunSettings(
        folder / "audition" if options.audition_s else folder,
        selection=Selection(tuple(options.tracks)),
        plan=PlanSettings(handle=options.handle, head_handle=not _starts_at_clip(options.dialect)),
        play=options.enable,
        checkerboard=options.lanes == "checkerboard",
        disable_originals=options.originals == "disable",
        audition_s=options.audition_s,
        **settings_fields(settings),
    )


def _starts_at_clip(dialect: str) -> bool:
    """Return whether the program that imports the result needs stem files without a handle in front."""
    return bool(getattr(load_dialect(dialect), "starts_at_clip", False))


def _recipe(request: _Request) -> str:
    """Return a digest of what was asked for: asking for the same writes the same edit again."""
    edit, stems, settings, options = request.edit, request.stems, request.settings, request.options
    asked: list[object] = [
        os.path.relpath(edit, settings.output_dir) if edit.drive == settings.output_dir.drive else str(edit),
        [[stem.name, stem.prompt.text] for stem in stems],
        [settings.model, settings.seed, settings.quality, settings.channels, settings.chain, settings.sample_format],
        [str(options.handle), options.enable, settings.disable_originals, options.tracks, options.dialect],
        [settings.checkerboard],
    ]
    if derived := derived_json(settings):
        asked.append(derived)
    if words := [fill.words for fill in settings.replace.values() if fill.words]:
        asked.append(words)  # records may hold them in another form
    spans = [[str(span) for span in (*stem.prompt.plus, "", *stem.prompt.minus)] for stem in stems]
    if any(len(of_stem) > 1 for of_stem in spans):
        asked.append(spans)
    if options.clips or request.extend:
        asked.append([list(options.clips), request.extend])
    if any(stem.prompt.has_picture for stem in stems):
        shown = [[str(stem.prompt.box), str(stem.prompt.mask)] for stem in stems]
        asked.append([settings.pictures_per_second, shown, *([settings.tracker] if settings.tracker else [])])
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
