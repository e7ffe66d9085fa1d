"""The engine `embedded`: separation with weights that come with Stemline or its wheels, without any download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from stemline.errors import Code, SeparationError, UsageError
from stemline_server.engines.base import (
    Control,
    EngineInfo,
    EnginePrompt,
    EngineRequest,
    Finding,
    KnownSound,
    TextMatch,
    Waveform,
)
from stemline_server.engines.embedded import deepfilter, dtln, spleeter_weights, voice_activity
from stemline_server.engines.embedded.confidence import TargetMeter, warnings
from stemline_server.engines.embedded.deepfilter import SpeechSource
from stemline_server.engines.embedded.dialogue import RefinedSpeech
from stemline_server.engines.embedded.estimators import EstimatorSet, VoiceSources
from stemline_server.engines.embedded.fusion import fuse
from stemline_server.engines.embedded.net_separator import NetSeparator
from stemline_server.engines.embedded.routing import Route, choose_route, without_full_spans
from stemline_server.engines.embedded.span_nmf import NoBackgroundError
from stemline_server.engines.embedded.spooled_source import fade_gate
from stemline_server.engines.embedded.vocabulary import known_sounds, proposals
from stemline_server.engines.embedded.vocals import VocalsSource
from stemline_server.engines.embedded.voice_activity import VoiceDetector
from stemline_server.engines.embedded.weights import load_net, net_classes, net_digest

if TYPE_CHECKING:
    from stemline_server.engines.embedded.spleeter_unet import UNet

_CELL_S, _CONTEXT_S, _UNDIVIDED_S = 20, 1, 30
"""Measured on the evaluation set, clip after clip: cells of 20 s lose at most 0.2 dB against the whole sound, cells of
10 s a whole dB of rain. Most clips of an edit have extents below 30 s, for which cells would take twice the time."""
_VERSION = 11
"""Increase this whenever the same request gives another result with the same weights."""


class EmbeddedEngine:
    """Separate speech by name, other sounds by name as far as the net knows them, and any sound by marked spans."""

    def __init__(self) -> None:
        """Create the engine without loading weights."""
        self._net: NetSeparator | None = None
        self._vocal_nets: tuple[UNet, UNet] | None = None
        self._detector: VoiceDetector | None = None

    @property
    def info(self) -> EngineInfo:
        """Description of the engine; it depends on whether the extra `vocals` and the voice detector are installed."""
        has_vocals, has_detector = spleeter_weights.is_installed(), voice_activity.is_installed()
        parts = (spleeter_weights, voice_activity, dtln)
        optional = [part.digest() for part in parts if part.is_installed()]
        return EngineInfo(
            id="embedded",
            title="Embedded: speech, sounds by name, any sound you mark",
            revision="+".join((f"embedded-{_VERSION}", net_digest(), *optional)),
            sample_rate=deepfilter.SAMPLE_RATE,
            spans=True,
            licence="Apache-2.0; DeepFilterNet3 MIT or Apache-2.0"
            + ("; Spleeter MIT" if has_vocals else "")
            + ("; Silero VAD MIT" if has_detector else "")
            + ("; DTLN MIT" if dtln.is_installed() else ""),
            note="Nothing to download. It knows a fixed set of sounds and suggests the nearest ones for other prompts."
            + ("" if has_vocals else " Vocals need the extra `vocals`.")
            + ("" if dtln.is_installed() else f" {dtln.install_advice()}"),
            made_by="masking",
            cell_s=_CELL_S,
            context_s=_CONTEXT_S,
            undivided_s=_UNDIVIDED_S,
        )

    def availability(self) -> str:
        """Return "" if DeepFilterNet3 can be loaded, else one sentence that says why not."""
        return deepfilter.availability()

    def check(self, prompt: EnginePrompt) -> None:
        """Check a prompt.

        Raises:
            UsageError: The engine cannot serve the prompt (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNKNOWN,
                PROMPT_UNSUPPORTED).
        """
        choose_route(prompt, net_classes(), has_vocals=spleeter_weights.is_installed())

    def match_text(self, text: str) -> TextMatch:
        """Return the sound that a text is taken for, or proposals for an unknown text."""
        try:
            route = choose_route(EnginePrompt(text), net_classes(), has_vocals=spleeter_weights.is_installed())
        except UsageError as error:
            offered = proposals(text) if error.code is Code.PROMPT_UNKNOWN else ()
            return TextMatch("", proposals=tuple(filter(self._separates, offered)))
        return TextMatch(route.matched, route.substituted)

    def sounds(self) -> tuple[KnownSound, ...]:
        """Return the sounds that the installed weights separate by name."""
        return tuple(sound for sound in known_sounds() if self._separates(sound.name))

    def _separates(self, text: str) -> bool:
        try:
            self.check(EnginePrompt(text))
        except UsageError:
            return False
        return True

    def load(self, device: str) -> None:
        """Do nothing: nets load when a prompt first needs them, and stay on the CPU because they are small."""

    def unload(self) -> None:
        """Free the nets."""
        deepfilter.release()
        dtln.release()
        self._net = self._vocal_nets = self._detector = None

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Separate all prompts of a request.

        Args:
            request: The mix, one channel at 48 kHz, and the prompts.
            control: Receives progress, warnings and findings.

        Yields:
            Blocks [prompts, 1, samples] of at most one second.

        Raises:
            UsageError: A prompt cannot be served; see `check`.
            SeparationError: The spans leave no audio to learn the background from (PROMPT_UNSUPPORTED).
        """
        length = request.audio.length_samples
        has_vocals = spleeter_weights.is_installed()
        routes = [
            without_full_spans(choose_route(prompt, net_classes(), has_vocals=has_vocals), length)
            for prompt in request.prompts
        ]
        progress = _Progress(control, length)
        # Matrix products are small here: more threads wait for each other and take cores from the editing program.
        with threadpool_limits(1), ExitStack() as open_files:
            voices = self._voices(request, routes, progress)
            open_files.enter_context(voices.speech)
            for source in (voices.refined, voices.vocals):
                if source:
                    open_files.enter_context(source)
            estimators = EstimatorSet(request, routes, voices, self._net_for(routes, voices), progress)
            meters = [TargetMeter(route) for route in routes]
            try:
                for block in _targets(estimators, routes, meters):
                    progress.advance(block.shape[1])
                    yield block[:, None]
            except NoBackgroundError as error:
                raise _no_background() from error
            for number, meter in enumerate(meters):
                finding = meter.finding(estimators.certainty(number))
                control.find(number, finding)
                doubts = {"is_whole_mix": meter.is_whole_mix, "has_rumble": estimators.has_rumble(number)}
                for code, message in warnings(routes[number], finding, **doubts):
                    control.warn(number, code, message)

    def _voices(self, request: EngineRequest, routes: Sequence[Route], progress: _Progress) -> VoiceSources:
        speech = SpeechSource(request.audio, progress.tick, request.scratch)
        self._detector = self._detector or voice_activity.load_detector()
        if not any(route.benefits_from_speech_nets for route in routes):
            return VoiceSources(speech, None, self._detector)
        vocals = refined = None
        if denoiser := dtln.load():
            refined = RefinedSpeech(request.audio, speech, denoiser, request.scratch)
        if spleeter_weights.is_installed():
            self._vocal_nets = self._vocal_nets or spleeter_weights.load_nets()
            vocals = VocalsSource(request.audio, self._vocal_nets, progress.tick, request.scratch)
        return VoiceSources(speech, vocals, self._detector, refined)

    def _net_for(self, routes: Sequence[Route], voices: VoiceSources) -> NetSeparator | None:
        if self._net is None and (voices.vocals or any(route.net_class for route in routes)):
            self._net = load_net()
        return self._net


def _targets(estimators: EstimatorSet, routes: Sequence[Route], meters: Sequence[TargetMeter]) -> Iterator[Waveform]:
    """Yield blocks [prompts, samples] and measure them; absent sounds are faded to silence."""
    was_present: list[bool] = []
    for start_sample, blocks in estimators.blocks():
        estimates = [estimators.estimates(number, blocks, start_sample) for number in range(len(routes))]
        targets = [fuse(route, estimate)[None] for route, estimate in zip(routes, estimates, strict=True)]
        is_present = [not estimators.is_absent(number) for number in range(len(routes))]
        block = np.concatenate(list(map(fade_gate, targets, is_present, was_present or is_present)))
        was_present = is_present
        for meter, estimate, target in zip(meters, estimates, block, strict=True):
            meter.add(estimate.mix, target)
        yield block


def _no_background() -> SeparationError:
    return SeparationError(
        "The marked spans leave no audio to learn the background from.",
        code=Code.PROMPT_UNSUPPORTED,
        advice="Leave a second or more without the sound unmarked, or mark where the sound is absent.",
    )


class _Progress:
    """Report progress in samples of the output, whatever the parts of the engine count."""

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
        """Ignore findings of parts: the engine reports its own."""
