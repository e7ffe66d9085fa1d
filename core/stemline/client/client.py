"""The client class, through which all other modules talk to the separation server."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from stemline.client.address import PathText, parse_server
from stemline.client.download import MediaReader, open_media
from stemline.client.generation import GenerationRequest, SoundGenerator, create_generations, list_generators
from stemline.client.hearing import FoundTurns, HeardSounds, Tagger, Voice, find_turns, hear, tagger_of, voice_message
from stemline.client.job_watcher import JobWatch, get_job, list_jobs
from stemline.client.link import Link
from stemline.client.live import LiveStem
from stemline.client.managed_server import START_TIMEOUT_S, token_of_local_server
from stemline.client.upload import register_path, send, send_pictures
from stemline.client.values import (
    Job,
    JobRequest,
    JobState,
    Media,
    Model,
    Progress,
    ServerInfo,
    job_of,
    model_of,
    request_message,
    server_info_of,
)
from stemline.client.vocabulary import KnownSounds, PromptCheck, check_prompts, known_sounds
from stemline.clips import MediaSource, SampleRange
from stemline.v1 import media_pb2, models_pb2, separation_pb2, suggest_pb2

PRIVATE = "private"
"""As a server's address: the private one, whatever STEMLINE_SERVER says."""

_BATCH_JOBS = 500
_CANCEL_THREADS = 8
_BATCH_BYTES = 1_000_000


def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    ca: PathText | None = None,
    certificate: PathText | tuple[PathText, PathText] | None = None,
    start_timeout_s: float = START_TIMEOUT_S,
) -> Client:
    """Connect to a server: the one at `address`, else at STEMLINE_SERVER, else this user's private one.

    The private server starts when it does not run.

    Args:
        address: HOST:PORT on this machine, or https://HOST:PORT.
        token: Token of the server; None reads STEMLINE_TOKEN, the file in STEMLINE_TOKEN_FILE, or, on this machine,
            the server's own token file.
        ca: PEM file with the certificates to trust; None reads STEMLINE_CA, else trusts those of the system.
        certificate: PEM file with the client's certificate and key, or one file for each; None reads
            STEMLINE_CERTIFICATE and STEMLINE_KEY.
        start_timeout_s: Longest time to wait for a private server to start.

    Returns:
        A client, which is a context manager.

    Raises:
        NoServerError: No server answers, or it is of another version.
        UsageError: The address, the token or a file cannot be used.

    Examples:
        >>> import stemline
        >>> with stemline.connect() as client:
        ...     [model.id for model in client.models() if model.id == "noop"]
        ['noop']
    """
    named = address or os.environ.get("STEMLINE_SERVER", "")
    endpoint = None
    if named not in ("", PRIVATE):
        endpoint = parse_server(named, token=token, ca=ca, certificate=certificate)
    if endpoint is not None and not endpoint.tls and not endpoint.token:
        endpoint = replace(endpoint, token=token_of_local_server(endpoint.port))
    link = Link(endpoint, start_timeout_s)
    with ExitStack() as undo:
        undo.callback(link.close)
        info = link.check_version()
        undo.pop_all()
    return Client(link, server_info_of(info))


class Client:
    """One connection to a server, for use from one thread or several. Every method raises StemlineError.

    Examples:
        >>> import stemline
        >>> with stemline.connect() as client:
        ...     info = client.server_info()
        >>> info.version == stemline.__version__
        True
    """

    def __init__(self, link: Link, info: ServerInfo) -> None:
        """Use a connection that is open; `connect` opens one."""
        self._link = link
        self._shares_disk = info.shares_disk

    def close(self) -> None:
        """Close the connection. Jobs go on."""
        self._link.close()

    def __enter__(self) -> Client:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    @property
    def address(self) -> str:
        """Address of the server, HOST:PORT."""
        return self._link.stubs.endpoint.address

    def server_info(self) -> ServerInfo:
        """Return the current state of the server."""
        request = models_pb2.GetServerInfoRequest()
        return server_info_of(self._link.call(lambda stubs: stubs.models.GetServerInfo, request))

    def models(self) -> tuple[Model, ...]:
        """Return all models of the server."""
        request = models_pb2.ListModelsRequest()
        response = self._link.call(lambda stubs: stubs.models.ListModels, request)
        return tuple(map(model_of, response.models))

    def ensure_media(
        self,
        source: MediaSource,
        range: SampleRange,
        progress: Progress | None = None,
        *,
        accept_peaks: bool = False,
    ) -> Media:
        """Make sure that the server holds this range of the source's sound.

        Where the server reads the file itself nothing is sent; else only what it does not hold yet.

        Raises:
            MediaError: The sound cannot be read, or has a peak of more than 60 dB over full scale
                (MEDIA_PEAK_TOO_HIGH) and `accept_peaks` is False.
        """
        if self._shares_disk:
            media = register_path(self._link, source, range, accept_peaks=accept_peaks)
            if media is not None:
                return media
        return send(self._link, source, range, progress, accept_peaks=accept_peaks)

    def ensure_pictures(self, path: PathText, progress: Progress | None = None) -> Media:
        """Make sure that the server holds a picture track, and return it. `progress` counts bytes.

        Raises:
            MediaError: The file is not a picture track.
            OutputError: The server's store has no room for it (DISK_QUOTA, DISK_FULL).
        """
        return send_pictures(self._link, Path(path), progress)

    def create_jobs(self, requests: Sequence[JobRequest]) -> list[Job]:
        """Create jobs and return them in the order of the requests. A job whose result exists is finished at once."""
        jobs: list[Job] = []
        for batch in _batches(map(request_message, requests)):
            response = self._link.call(lambda stubs: stubs.jobs.BatchCreateJobs, batch)
            jobs += map(job_of, response.jobs)
        return jobs

    def generators(self) -> tuple[SoundGenerator, ...]:
        """Return all generators of the server, the default first."""
        return list_generators(self._link)

    def create_generations(self, requests: Sequence[GenerationRequest]) -> list[Job]:
        """Create jobs that make sound from words, and return them in the order of the requests.

        The other methods for jobs take them, too. The `stem` of a finished one names its sound.
        """
        return create_generations(self._link, requests)

    def watch(self, jobs: str | Sequence[str]) -> Generator[Job, None, None]:
        """Yield each job in its current state, then whenever it changes, until all have ended.

        The watch survives a lost connection and a killed private server. Leaving it early cancels nothing.

        Args:
            jobs: A batch id, or names of jobs.
        """
        batch_id, names = (jobs, ()) if isinstance(jobs, str) else ("", jobs)
        return JobWatch(self._link, batch_id, names).jobs()

    def cancel(self, names: Sequence[str]) -> list[Job]:
        """Cancel jobs and return them.

        A running job is "cancelling" until the engine stops. A job that has ended does not change.
        """
        with ThreadPoolExecutor(_CANCEL_THREADS) as pool:
            return list(pool.map(self._cancel, names))

    def _cancel(self, name: str) -> Job:
        request = separation_pb2.CancelJobRequest(name=name)
        return job_of(self._link.call(lambda stubs: stubs.jobs.CancelJob, request))

    def job(self, name: str) -> Job:
        """Return one job. Raises SeparationError (JOB_UNKNOWN)."""
        return get_job(self._link, name)

    def jobs(self, batch_id: str = "", states: tuple[JobState, ...] = ()) -> Iterator[Job]:
        """Yield jobs, newest first; of all batches and in all states unless given."""
        return list_jobs(self._link, batch_id, states)

    def delete_job(self, name: str) -> None:
        """Delete a job that has ended. Its stem stays in the store."""
        request = separation_pb2.DeleteJobRequest(name=name)
        self._link.call(lambda stubs: stubs.jobs.DeleteJob, request)

    def check_prompts(self, texts: Sequence[str], model: str = "") -> tuple[PromptCheck, ...]:
        """Return how a model understands each of up to 64 texts; an empty model is the server's default.

        Raises:
            UsageError: There is no such model (MODEL_UNKNOWN).
            SeparationError: The model cannot run on the server (MODEL_UNAVAILABLE).
        """
        return check_prompts(self._link, texts, model)

    def known_sounds(self, model: str = "") -> KnownSounds:
        """Return the sounds that a model knows by name. Raises UsageError (MODEL_UNKNOWN)."""
        return known_sounds(self._link, model)

    def taggers(self) -> tuple[Tagger, ...]:
        """Return all taggers of the server, in the order in which the default is chosen."""
        request = suggest_pb2.ListTaggersRequest()
        response = self._link.call(lambda stubs: stubs.suggest.ListTaggers, request)
        return tuple(map(tagger_of, response.taggers))

    def hear(
        self,
        media: str,
        tagger: str = "",
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> HeardSounds:
        """Return the sounds that a tagger hears in a media.

        Args:
            media: Name of the media.
            tagger: Id of the tagger; empty for the server's default.
            progress: Called with the finished share, 0..1.
            cancelled: Asked with every progress; true stops the work.

        Raises:
            Cancelled: `cancelled` returned true.
            UsageError: There is no such tagger (MODEL_UNKNOWN).
            SeparationError: No tagger can run on the server (MODEL_UNAVAILABLE).
        """
        return hear(self._link, suggest_pb2.SuggestSoundsRequest(media=media, tagger=tagger), progress, cancelled)

    def find_turns(
        self,
        media: str,
        voices: Sequence[Voice],
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> FoundTurns:
        """Return the turns of voices in a media, in the order of `voices`, and where two speak at once.

        Args:
            media: Name of the media.
            voices: Voices by marked spans or by embeddings.
            progress: Called with the finished share, 0..1.
            cancelled: Asked with every progress; true stops the work.

        Raises:
            Cancelled: `cancelled` returned true.
            UsageError: A mark has too little speech.
            SeparationError: The extra `voices` is not installed on the server (MODEL_UNAVAILABLE).
        """
        request = suggest_pb2.FindTurnsRequest(media=media, voices=map(voice_message, voices))
        return find_turns(self._link, request, progress, cancelled)

    def open_media(self, name: str, progress: Progress | None = None) -> MediaReader:
        """Open the sound of a media for random access."""
        return open_media(self._link, name, progress)

    def receive_stem(self, job: str, channels: int, on_received: Callable[[], None]) -> LiveStem:
        """Receive the stem of a running job while it is computed; close what this returns.

        Args:
            job: Name of the job.
            channels: Channels of its media.
            on_received: Called in another thread whenever more of it can be read.
        """
        return LiveStem(self._link, job, channels, on_received)

    def delete_media(self, name: str) -> None:
        """Delete a media from the server's store."""
        self._link.call(lambda stubs: stubs.media.DeleteMedia, media_pb2.DeleteMediaRequest(name=name))


def _batches(
    requests: Iterable[separation_pb2.CreateJobRequest],
) -> Iterator[separation_pb2.BatchCreateJobsRequest]:
    """Yield messages well below the largest size that a server accepts, however long the prompts are."""
    batch: list[separation_pb2.CreateJobRequest] = []
    size_bytes = 0
    for request in requests:
        size_bytes += request.ByteSize()
        if batch and (size_bytes > _BATCH_BYTES or len(batch) == _BATCH_JOBS):
            yield separation_pb2.BatchCreateJobsRequest(requests=batch)
            batch, size_bytes = [], request.ByteSize()
        batch.append(request)
    if batch:
        yield separation_pb2.BatchCreateJobsRequest(requests=batch)
