"""The stem of a running job, received while the server computes it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable

import grpc
import numpy as np
import numpy.typing as npt

from stemline.client.link import Link
from stemline.media import SAMPLE_BYTES, read_pcm
from stemline.v1 import live_pb2


class LiveStem:
    """Receives a stem in a thread, into a temporary file. What was received never changes.

    A lost connection or a server without `LiveService` ends it early: the finished stem of the job has all samples.

    Attributes:
        received_samples: How many samples can be read.
    """

    def __init__(self, link: Link, job: str, channels: int, on_received: Callable[[], None]) -> None:
        """Start to receive.

        Args:
            link: The connection.
            job: Name of the job.
            channels: Channels of the stem.
            on_received: Called in the thread whenever more can be read.
        """
        self.received_samples = 0
        self._channels = channels
        self._on_received = on_received
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(prefix="stemline-")  # noqa: SIM115 - closed by `close`
        stubs = link.stubs
        self._call = stubs.live.WatchStem(live_pb2.WatchStemRequest(job=job), metadata=stubs.endpoint.metadata)
        threading.Thread(target=self._receive, name="stemline-live", daemon=True).start()

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return samples [start_sample, end_sample) as float32 [channels, samples].

        Raises:
            ValueError: They have not been received, or the stem is closed.
        """
        with self._lock:
            if not self._file.closed:
                block = read_pcm(self._file, start_sample, self._channels, end_sample - start_sample)
                if block is not None:
                    return block
        raise ValueError(f"[{start_sample}, {end_sample}) is not within {self.received_samples} received samples")

    def close(self) -> None:
        """Stop receiving."""
        self._call.cancel()
        with self._lock:
            self._file.close()

    def _receive(self) -> None:
        frame_bytes = SAMPLE_BYTES * self._channels
        try:
            for chunk in self._call:
                with self._lock:
                    if self._file.closed or not 0 <= chunk.start_sample <= self.received_samples:
                        return
                    self._file.seek(chunk.start_sample * frame_bytes)
                    self._file.write(chunk.data)
                    self.received_samples = chunk.start_sample + len(chunk.data) // frame_bytes
                self._on_received()
        except (grpc.RpcError, OSError):
            return
