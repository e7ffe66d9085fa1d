"""The synchronous client of the separation server: media in, jobs, stems out."""

from __future__ import annotations

import os

# gRPC's C core writes a log of its own to stderr, between the messages of the command line
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from stemline.client.client import Client, connect
from stemline.client.download import MediaReader
from stemline.client.generation import GenerationRequest, SoundGenerator
from stemline.client.hearing import HeardSound, HeardSounds, HeardSpan, Tagger, Voice
from stemline.client.live import LiveStem
from stemline.client.managed_server import find_private, stop_private
from stemline.client.values import (
    Job,
    JobFailure,
    JobRequest,
    JobState,
    JobWarning,
    Media,
    Model,
    Progress,
    ServerInfo,
    Stem,
)
from stemline.client.vocabulary import KnownSound, KnownSounds, PromptCheck, PromptStatus
from stemline.prompts import SamplePrompt

__all__ = [
    "Client",
    "GenerationRequest",
    "HeardSound",
    "HeardSounds",
    "HeardSpan",
    "Job",
    "JobFailure",
    "JobRequest",
    "JobState",
    "JobWarning",
    "KnownSound",
    "KnownSounds",
    "LiveStem",
    "Media",
    "MediaReader",
    "Model",
    "Progress",
    "PromptCheck",
    "PromptStatus",
    "SamplePrompt",
    "ServerInfo",
    "SoundGenerator",
    "Stem",
    "Tagger",
    "Voice",
    "connect",
    "find_private",
    "stop_private",
]
