"""The client of the separation server. Everything else of the core talks to it through this class."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from stemline.client.address import PathText, parse_server
from stemline.client.download import MediaReader, open_media
from stemline.client.job_watcher import Watch, get_job, list_jobs
from stemline.client.link import Link
from stemline.client.managed_server import START_TIMEOUT_S, token_of_local_server
from stemline.client.upload import register_path, send
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
from stemline.clips import MediaSource, SampleRange
from stemline.v1 import media_pb2, models_pb2, separation_pb2

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
        certificate: PEM file with the client's certificate and key, or one file for each.
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
    try:
        info = link.check_version()
    except BaseException:
        link.close()
        raise
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
        self._link = link
        self._shares_disk = info.shares_disk

    def close(self) -> None:
        """Jobs go on without us."""
        self._link.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        return self._link.stubs.endpoint.address

    def server_info(self) -> ServerInfo:
        request = models_pb2.GetServerInfoRequest()
        return server_info_of(self._link.call(lambda stubs: stubs.models.GetServerInfo, request))

    def models(self) -> tuple[Model, ...]:
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

    def create_jobs(self, requests: Sequence[JobRequest]) -> list[Job]:
        """The jobs, in the order of the requests, as they stand: one that was done before is done at once."""
        jobs: list[Job] = []
        for batch in _batches(map(request_message, requests)):
            response = self._link.call(lambda stubs: stubs.jobs.BatchCreateJobs, batch)
            jobs += map(job_of, response.jobs)
        return jobs

    def watch(self, jobs: str | Sequence[str]) -> Generator[Job, None, None]:
        """Each of these jobs (a batch id, or names) as it stands, then whenever it moves, until all have ended.

        Goes on through a lost connection and a killed private server. Leaving early cancels nothing.
        """
        batch_id, names = (jobs, ()) if isinstance(jobs, str) else ("", jobs)
        return Watch(self._link, batch_id, names).jobs()

    def cancel(self, names: Sequence[str]) -> list[Job]:
        """As they stand after the request: "cancelling" until the engine has let go. One that had ended stays as it
        is.
        """
        with ThreadPoolExecutor(_CANCEL_THREADS) as pool:
            return list(pool.map(self._cancel, names))

    def _cancel(self, name: str) -> Job:
        request = separation_pb2.CancelJobRequest(name=name)
        return job_of(self._link.call(lambda stubs: stubs.jobs.CancelJob, request))

    def job(self, name: str) -> Job:
        return get_job(self._link, name)

    def jobs(self, batch_id: str = "", states: tuple[JobState, ...] = ()) -> Iterator[Job]:
        """Newest first; all batches and all states unless told."""
        return list_jobs(self._link, batch_id, states)

    def delete_job(self, name: str) -> None:
        """Forgets an ended job."""
        request = separation_pb2.DeleteJobRequest(name=name)
        self._link.call(lambda stubs: stubs.jobs.DeleteJob, request)

    def open_media(self, name: str, progress: Progress | None = None) -> MediaReader:
        """The sound of a media: random access, `read(start_sample, end_sample)` -> float32 [channels, n]."""
        return open_media(self._link, name, progress)

    def delete_media(self, name: str) -> None:
        self._link.call(lambda stubs: stubs.media.DeleteMedia, media_pb2.DeleteMediaRequest(name=name))


def _batches(
    requests: Iterable[separation_pb2.CreateJobRequest],
) -> Iterator[separation_pb2.BatchCreateJobsRequest]:
    """Messages well below the size that a server takes, however long the prompts are."""
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
