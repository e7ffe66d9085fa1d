"""Separate any sound from media files and edits by naming it.

Examples:
    >>> import stemline
    >>> result = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
    >>> [stem.stem for stem in result.stems]
    ['dialogue']

The names in `__all__` are the public API; everything else is private to this repository. Names load on first use, so
that `import stemline` is fast.
"""

from __future__ import annotations

from stemline._version import __version__

TYPE_CHECKING = False  # not from typing, which takes longer to load than everything else here
if TYPE_CHECKING:
    from stemline.api.blocks import Block
    from stemline.api.edits import separate_edit
    from stemline.api.files import separate
    from stemline.api.growing import take_back
    from stemline.api.object_spans import ObjectSpans, suggest_spans
    from stemline.api.results import EditResult, Record, Result
    from stemline.api.running import Run
    from stemline.api.starting import estimate, start
    from stemline.api.stems import Prompt, Span, Stem, recorded_stems
    from stemline.api.suggesting import Suggestion, Suggestions, suggest
    from stemline.api.vocabulary import check_prompt, known_sounds
    from stemline.api.voices import find_voices
    from stemline.api.watching import WatchEvent, WatchState, watch
    from stemline.client import Client, KnownSound, KnownSounds, PromptCheck, PromptStatus, connect
    from stemline.errors import (
        Cancelled,
        Code,
        EditError,
        HostError,
        InputError,
        MediaError,
        NoServerError,
        OutputError,
        SeparationError,
        StemlineError,
        UsageError,
    )
    from stemline.hosts.edits import EditOptions
    from stemline.media.pictures.trackers import list_trackers
    from stemline.presets import (
        Preset,
        find_preset,
        list_presets,
        read_presets,
        remove_preset,
        save_presets,
        write_presets,
    )
    from stemline.prompts import Box, Mask
    from stemline.workflow.detect import Detection, detect
    from stemline.workflow.replacing import Replace
    from stemline.workflow.results import ClipOutcome, Estimate, Progress, StemOutcome
    from stemline.workflow.settings import Settings
    from stemline.workflow.sign import sign
    from stemline.workflow.verify import Verdict, verify

__all__ = [
    "Block",
    "Box",
    "Cancelled",
    "Client",
    "ClipOutcome",
    "Code",
    "Detection",
    "EditError",
    "EditOptions",
    "EditResult",
    "Estimate",
    "HostError",
    "InputError",
    "KnownSound",
    "KnownSounds",
    "Mask",
    "MediaError",
    "NoServerError",
    "ObjectSpans",
    "OutputError",
    "Preset",
    "Progress",
    "Prompt",
    "PromptCheck",
    "PromptStatus",
    "Record",
    "Replace",
    "Result",
    "Run",
    "SeparationError",
    "Settings",
    "Span",
    "Stem",
    "StemOutcome",
    "StemlineError",
    "Suggestion",
    "Suggestions",
    "UsageError",
    "Verdict",
    "WatchEvent",
    "WatchState",
    "__version__",
    "check_prompt",
    "connect",
    "detect",
    "estimate",
    "find_preset",
    "find_voices",
    "known_sounds",
    "list_presets",
    "list_trackers",
    "read_presets",
    "recorded_stems",
    "remove_preset",
    "save_presets",
    "separate",
    "separate_edit",
    "sign",
    "start",
    "suggest",
    "suggest_spans",
    "take_back",
    "verify",
    "watch",
    "write_presets",
]

_MODULES = {
    "separate_edit": "stemline.api.edits",
    "separate": "stemline.api.files",
    "take_back": "stemline.api.growing",
    "EditResult": "stemline.api.results",
    "Record": "stemline.api.results",
    "Result": "stemline.api.results",
    "Block": "stemline.api.blocks",
    "Run": "stemline.api.running",
    "start": "stemline.api.starting",
    "estimate": "stemline.api.starting",
    "Prompt": "stemline.api.stems",
    "Span": "stemline.api.stems",
    "Stem": "stemline.api.stems",
    "recorded_stems": "stemline.api.stems",
    "Suggestion": "stemline.api.suggesting",
    "Suggestions": "stemline.api.suggesting",
    "suggest": "stemline.api.suggesting",
    "ObjectSpans": "stemline.api.object_spans",
    "suggest_spans": "stemline.api.object_spans",
    "WatchEvent": "stemline.api.watching",
    "WatchState": "stemline.api.watching",
    "watch": "stemline.api.watching",
    "find_voices": "stemline.api.voices",
    "check_prompt": "stemline.api.vocabulary",
    "known_sounds": "stemline.api.vocabulary",
    "KnownSound": "stemline.client",
    "KnownSounds": "stemline.client",
    "PromptCheck": "stemline.client",
    "PromptStatus": "stemline.client",
    "Client": "stemline.client",
    "connect": "stemline.client",
    "Cancelled": "stemline.errors",
    "Code": "stemline.errors",
    "EditError": "stemline.errors",
    "HostError": "stemline.errors",
    "InputError": "stemline.errors",
    "MediaError": "stemline.errors",
    "NoServerError": "stemline.errors",
    "OutputError": "stemline.errors",
    "SeparationError": "stemline.errors",
    "StemlineError": "stemline.errors",
    "UsageError": "stemline.errors",
    "EditOptions": "stemline.hosts.edits",
    "list_trackers": "stemline.media.pictures.trackers",
    "Preset": "stemline.presets",
    "find_preset": "stemline.presets",
    "list_presets": "stemline.presets",
    "read_presets": "stemline.presets",
    "remove_preset": "stemline.presets",
    "save_presets": "stemline.presets",
    "write_presets": "stemline.presets",
    "Detection": "stemline.workflow.detect",
    "detect": "stemline.workflow.detect",
    "Box": "stemline.prompts",
    "Mask": "stemline.prompts",
    "ClipOutcome": "stemline.workflow.results",
    "Estimate": "stemline.workflow.results",
    "Progress": "stemline.workflow.results",
    "StemOutcome": "stemline.workflow.results",
    "Replace": "stemline.workflow.replacing",
    "Settings": "stemline.workflow.settings",
    "Verdict": "stemline.workflow.verify",
    "sign": "stemline.workflow.sign",
    "verify": "stemline.workflow.verify",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - as above

    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
