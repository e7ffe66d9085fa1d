"""What Stemline does for a host over the wire: separate and hear its edit, check words, list models, run the checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stemline.api.running import plan_host
from stemline.api.suggesting import Suggestion, suggest
from stemline.client import connect
from stemline.companion.jsonrpc import Params
from stemline.companion.process import PreparedRun
from stemline.companion.runs import Report
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import Code, HostError, UsageError
from stemline.hosts.base import Host, Selection
from stemline.hosts.edits import EditOptions
from stemline.prompts import StemRequest, distinct_stems
from stemline.workflow import Progress, RunResult, RunSettings

Doctor = Callable[[], Mapping[str, Any]]
"""Returns the answer to `doctor`: `works`, `advice` and `checks`."""
_PICTURES = ("waveform", "mix_waveform", "residual_waveform")


@dataclass(frozen=True, slots=True)
class SeparateParams:
    """The params of `separate`."""

    stems: tuple[StemRequest, ...]
    settings: RunSettings
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class SuggestParams:
    """The params of `suggest`."""

    server: str | None = None
    tagger: str = ""
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class CheckParams:
    """The params of `check_prompts`."""

    texts: tuple[str, ...]
    model: str = ""
    server: str | None = None


def no_doctor() -> Mapping[str, Any]:
    """Refuse `doctor`: the checks belong to the application. Raises HostError (HOST_UNSUPPORTED)."""
    raise HostError(
        "This companion was started without the checks of `stemline doctor`.",
        code=Code.HOST_UNSUPPORTED,
        advice="Run `stemline doctor` in a terminal.",
    )


class EditServices:
    """Runs `stemline.workflow` against the host.

    `server` is used where a host names none. `doctor` runs the checks of the application that starts the companion.
    """

    def __init__(self, server: str | None = None, doctor: Doctor = no_doctor) -> None:
        """Use `server` where a host names none, and the checks of `doctor`."""
        self._server = server
        self._doctor = doctor

    def prepare(self, params: Params) -> PreparedRun:
        """Return the checked request. Raises UsageError or HostError for stems or settings that no run could take."""
        asked = from_wire(SeparateParams, dict(params), "separate")
        stems = distinct_stems(asked.stems)
        settings = dataclasses.replace(
            asked.settings, selection=asked.selection, server=asked.settings.server or self._server
        )
        if not settings.output_dir.is_absolute():
            raise UsageError(f"settings.output_dir must be an absolute path, not {str(settings.output_dir)!r}.")

        def separation(host: Host, report: Report, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
            def on_progress(progress: Progress) -> None:
                report(to_wire(progress))

            return plan_host(host, stems, settings, _summary).follow(on_progress, cancelled).result()

        return separation

    def suggest(self, params: Params) -> PreparedRun:
        """Return the checked request. Raises HostError for params of another form."""
        asked = from_wire(SuggestParams, dict(params), "suggest")
        server, options = asked.server or self._server, EditOptions(tracks=asked.selection.tracks)

        def listening(host: Host, report: Report, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
            def on_progress(progress: Progress) -> None:
                report(to_wire(progress))

            found = suggest(
                host, tagger=asked.tagger, server=server, options=options, progress=on_progress, cancelled=cancelled
            )
            sounds = [_heard(sound) for sound in found.sounds]
            return {"sounds": sounds, "skipped": to_wire(found.skipped), "tagger": found.tagger}

        return listening

    def check_prompts(self, params: Params) -> Mapping[str, Any]:
        """Return how a model understands texts. Raises UsageError for an unknown model, or NoServerError."""
        asked = from_wire(CheckParams, dict(params), "check_prompts")
        with connect(asked.server or self._server) as client:
            checks = client.check_prompts(list(asked.texts), asked.model)
        return {"checks": [to_wire(dataclasses.asdict(check) | {"status": check.status.value}) for check in checks]}

    def models(self) -> Mapping[str, Any]:
        """Return the models. Starts the private server where none runs. Raises NoServerError."""
        with connect(self._server) as client:
            return {"models": to_wire(client.models()), "default": client.server_info().default_model}

    def doctor(self) -> Mapping[str, Any]:
        """Return every finding, and the first thing to do. Raises HostError where there are no checks."""
        return self._doctor()


def _heard(sound: Suggestion) -> dict[str, Any]:
    spans = [span.resolve(None) for span in sound.spans]
    return {
        "sound": sound.sound,
        "likelihood": sound.likelihood,
        "spans": [{"start": to_wire(span.start), "end": to_wire(span.end)} for span in spans],
        "clip": sound.clip,
        "track": sound.track,
    }


def _summary(result: RunResult) -> dict[str, Any]:
    """Return the result without its waveforms, which would be most of the message."""
    wire: dict[str, Any] = to_wire(result)
    for clip in wire["clips"]:
        for part in (clip, *clip["stems"]):
            for name in _PICTURES:
                part.pop(name, None)
    return wire | {"null": to_wire(result.null)}
