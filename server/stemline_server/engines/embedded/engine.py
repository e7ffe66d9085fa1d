"""The engine `embedded`: what Stemline can do with nothing but itself installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from stemline.errors import Code, SeparationError
from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.engines.embedded import deepfilter, spleeter_weights
from stemline_server.engines.embedded.confidence import Tally, warnings
from stemline_server.engines.embedded.estimators import Means, Voices
from stemline_server.engines.embedded.fusion import combine
from stemline_server.engines.embedded.net_separator import Net, load_net
from stemline_server.engines.embedded.routing import Route, route, settled
from stemline_server.engines.embedded.span_nmf import NothingToCompareError
from stemline_server.engines.embedded.speech import Speech
from stemline_server.engines.embedded.spooled_source import faded
from stemline_server.engines.embedded.vocals import Vocals
from stemline_server.engines.embedded.weights import net_classes, net_digest

if TYPE_CHECKING:
    from stemline_server.engines.embedded.spleeter_unet import UNet

_VERSION = 3


class EmbeddedEngine:
    """Speech by words, other sounds by words as far as the net knows them, and any sound by marking where it is."""

    def __init__(self) -> None:
        self._net: Net | None = None
        self._vocal_nets: tuple[UNet, UNet] | None = None

    @property
    def info(self) -> EngineInfo:
        has_vocals = spleeter_weights.is_installed()
        return EngineInfo(
            id="embedded",
            title="Embedded: speech, sounds by name, any sound you mark",
            revision=f"embedded-{_VERSION}+{net_digest()}" + (f"+{spleeter_weights.digest()}" if has_vocals else ""),
            sample_rate=deepfilter.SAMPLE_RATE,
            spans=True,
            licence="Apache-2.0; DeepFilterNet3 MIT or Apache-2.0" + ("; Spleeter MIT" if has_vocals else ""),
            note="Nothing to download. A prompt is taken for one of the sounds it knows, or refused with the nearest."
            + ("" if has_vocals else " Vocals need the extra `vocals`."),
        )

    def availability(self) -> str:
        return deepfilter.availability()

    def check(self, prompt: EnginePrompt) -> None:
        """Raises UsageError (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNKNOWN, PROMPT_UNSUPPORTED)."""
        route(prompt, net_classes(), has_vocals=spleeter_weights.is_installed())

    def load(self, device: str) -> None:
        """The nets come in when a prompt first needs them. Being small they stay on the CPU whatever `device` is."""

    def unload(self) -> None:
        self._net = self._vocal_nets = None

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Blocks [prompts, 1, n] of at most a second.

        Raises UsageError as `check` does, and SeparationError (PROMPT_UNSUPPORTED) for marks that leave nothing to
        compare with.
        """
        length = request.audio.length_samples
        has_vocals = spleeter_weights.is_installed()
        routes = [settled(route(one, net_classes(), has_vocals=has_vocals), length) for one in request.prompts]
        progress = _Progress(control, length)
        # Its products are small: more threads only wait for each other, and take the cores from the editing program.
        with threadpool_limits(1), ExitStack() as open_files:
            voices = self._voices(request, routes, progress)
            open_files.enter_context(voices.speech)
            if voices.vocals:
                open_files.enter_context(voices.vocals)
            means = Means(request, routes, voices, self._net_for(routes, voices), progress)
            tallies = [Tally(chosen) for chosen in routes]
            try:
                for block in _targets(means, routes, tallies):
                    progress.advance(block.shape[1])
                    yield block[:, None]
            except NothingToCompareError as error:
                raise _nothing_to_compare() from error
            for number, tally in enumerate(tallies):
                finding = tally.finding(means.sure(number))
                control.find(number, finding)
                for code, message in warnings(routes[number], finding):
                    control.warn(number, code, message)

    def _voices(self, request: EngineRequest, routes: Sequence[Route], progress: _Progress) -> Voices:
        speech = Speech(request.audio, progress.tick, request.scratch)
        if not spleeter_weights.is_installed() or not any(chosen.wants_vocals for chosen in routes):
            return Voices(speech, None)
        if self._vocal_nets is None:
            self._vocal_nets = spleeter_weights.load_nets()
        return Voices(speech, Vocals(request.audio, self._vocal_nets, progress.tick, request.scratch))

    def _net_for(self, routes: Sequence[Route], voices: Voices) -> Net | None:
        if self._net is None and (voices.vocals or any(chosen.net_class for chosen in routes)):
            self._net = load_net()
        return self._net


def _targets(means: Means, routes: Sequence[Route], tallies: Sequence[Tally]) -> Iterator[Waveform]:
    """Blocks [prompts, n], counted in the tallies; silence, by short fades, where a sound is not there."""
    was_open: list[bool] = []
    for start_sample, parts in means.in_step():
        heard = [means.heard(number, parts, start_sample) for number in range(len(routes))]
        found = [combine(chosen, part)[None] for chosen, part in zip(routes, heard, strict=True)]
        is_open = [not means.is_absent(number) for number in range(len(routes))]
        block = np.concatenate(list(map(faded, found, is_open, was_open or is_open)))
        was_open = is_open
        for tally, part, target in zip(tallies, heard, block, strict=True):
            tally.add(part, target)
        yield block


def _nothing_to_compare() -> SeparationError:
    return SeparationError(
        "The marks leave no sound to compare with.",
        code=Code.PROMPT_UNSUPPORTED,
        advice="Leave a second or more without the sound unmarked, or mark where it is not.",
    )


class _Progress:
    """A control for the parts: whatever they count, what is told is how much of the sound is through."""

    def __init__(self, control: Control, length_samples: int) -> None:
        self._control = control
        self._length = length_samples
        self.done = 0

    def advance(self, samples: int) -> None:
        self.done += samples
        self.tick()

    def tick(self) -> None:
        self._control.step(self.done, self._length)

    def step(self, done: int, total: int) -> None:
        self.tick()

    def warn(self, prompt: int, code: str, message: str) -> None:
        self._control.warn(prompt, code, message)

    def find(self, prompt: int, finding: Finding) -> None:
        """What a part finds becomes part of the tally."""
