"""Metrics for Prometheus and traces for OpenTelemetry, both through the OpenTelemetry SDK (extra `operations`)."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from stemline.errors import UsageError
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.record import JobRecord
from stemline_server.operations.logs import current_call
from stemline_server.seats.access import caller

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

_log = logging.getLogger(__name__)

_ANSWER_TIMEOUT_S = 5.0
_REMEMBERED_BATCHES = 10_000
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


class Worker(Protocol):
    """A worker, as far as metrics go."""

    device: str

    @property
    def progress_age_s(self) -> float:
        """Return the seconds since its engine last reported anything."""
        ...

    @property
    def device_bytes(self) -> int:
        """Return the memory of the device that the models used after the last group of jobs."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Return the resident memory of the process of its engines."""
        ...


class Facts(Protocol):
    """What a running server says about itself."""

    @property
    def workers(self) -> Sequence[Worker]:
        """Return the workers, one for each device."""
        ...

    def queue(self) -> Future[tuple[int, int, float]]:
        """Return how many jobs wait, how many run, and how many seconds the oldest has waited."""
        ...

    def stored_bytes(self) -> Future[int]:
        """Return how much sound the store holds."""
        ...

    def store_limit_bytes(self) -> int:
        """Return how much it may hold."""
        ...

    def is_ready(self) -> bool:
        """Return whether the server takes and does work."""
        ...


class Metrics:
    """Measures a server, and serves what it measured. One for each process."""

    def __init__(self, facts: Facts, otlp_endpoint: str = "") -> None:
        """Measure a server. Raises UsageError where the extra `operations` is missing.

        Args:
            facts: What it says about itself.
            otlp_endpoint: Where traces go, such as "http://127.0.0.1:4317"; empty for no traces.
        """
        try:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415 - an extra
            from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
            from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(
                "Metrics and traces need the extra `operations`.", advice='Run: pip install "stemline[operations]"'
            ) from error
        self._facts = facts
        resource = Resource.create({"service.name": "stemline"})
        seconds = View(instrument_name="*_seconds", aggregation=ExplicitBucketHistogramAggregation(_SECONDS))
        self._provider = MeterProvider([PrometheusMetricReader()], resource, views=[seconds])
        self._traces = _trace_provider(otlp_endpoint, resource) if otlp_endpoint else None
        self._batches: OrderedDict[str, None] = OrderedDict()
        meter = self._provider.get_meter("stemline")
        self._jobs = meter.create_counter("stemline_jobs", description="Jobs that ended, by state, reason and model")
        self._audio = meter.create_counter("stemline_audio", "s", "Seconds of sound in jobs that succeeded")
        self._wait = meter.create_histogram("stemline_job_wait_seconds", description="From creation to start")
        self._first = meter.create_histogram(
            "stemline_first_sound_seconds", description="From the creation of a batch to its first result"
        )
        self._calls = meter.create_counter("stemline_calls", description="Calls, by method and status")
        self._bytes = meter.create_counter("stemline_transfer", "By", "Sound that was sent or received")
        self._observe(meter)

    def _observe(self, meter: Any) -> None:
        from opentelemetry.metrics import Observation  # noqa: PLC0415 - an extra

        def gauge(name: str, description: str, values: Callable[[], Iterable[tuple[float, dict[str, str]]]]) -> None:
            def callback(_: CallbackOptions) -> list[Observation]:
                try:
                    return [Observation(value, labels) for value, labels in values()]
                except Exception as error:  # noqa: BLE001 - the other metrics are served all the same
                    _log.warning("%s cannot be measured: %s", name, error)
                    return []

            meter.create_observable_gauge(name, [callback], description=description)

        def queue(number: int) -> Callable[[], list[tuple[float, dict[str, str]]]]:
            return lambda: [(self._facts.queue().result(_ANSWER_TIMEOUT_S)[number], {})]

        gauge("stemline_queued_jobs", "Jobs that wait", queue(0))
        gauge("stemline_running_jobs", "Jobs that run", queue(1))
        gauge("stemline_queue_age_seconds", "How long the oldest waiting job has waited", queue(2))
        gauge(
            "stemline_store_bytes",
            "Sound in the store",
            lambda: [(self._facts.stored_bytes().result(_ANSWER_TIMEOUT_S), {})],
        )
        gauge("stemline_store_limit_bytes", "What it may hold", lambda: [(self._facts.store_limit_bytes(), {})])
        gauge(
            "stemline_engine_progress_age_seconds",
            "Seconds since an engine with work last reported progress",
            lambda: [(worker.progress_age_s, {"device": worker.device}) for worker in self._facts.workers],
        )
        gauge(
            "stemline_device_memory_bytes",
            "Memory of a device that models used after the last work",
            lambda: [(worker.device_bytes, {"device": worker.device}) for worker in self._facts.workers],
        )
        gauge(
            "stemline_engine_memory_bytes",
            "Resident memory of the process of the engines of a device",
            lambda: [(worker.memory_bytes, {"device": worker.device}) for worker in self._facts.workers],
        )

    def jobs_changed(self, jobs: Sequence[JobRecord]) -> None:
        """Count jobs that started or ended. For any thread; must not raise."""
        for job in jobs:
            if job.state == pb.STATE_RUNNING and job.start_us is not None and job.attempt == 1:
                self._wait.record(max(0, job.start_us - job.create_us) / 1e6)
            elif job.ended:
                self._job_ended(job)

    def _job_ended(self, job: JobRecord) -> None:
        state = pb.State.Name(job.state).removeprefix("STATE_").lower()
        reason = pb.JobError.FromString(job.packed_error).reason if job.packed_error else ""
        self._jobs.add(1, {"state": state, "reason": reason, "model": job.model})
        if job.state == pb.STATE_SUCCEEDED:
            self._audio.add(job.audio_s, {"model": job.model})
            batch = job.batch_id or job.name
            if batch not in self._batches and job.end_us is not None:
                self._batches[batch] = None
                self._first.record(max(0, job.end_us - job.create_us) / 1e6)
                if len(self._batches) > _REMEMBERED_BATCHES:
                    self._batches.popitem(last=False)
        if self._traces is not None and job.end_us is not None:
            self._trace(self._traces.get_tracer("stemline"), job, state, reason)

    def jobs_created(self, jobs: Sequence[JobRecord]) -> None:
        """Export that the current call created jobs or asked for them again: a span in the trace of each request."""
        if self._traces is None:
            return
        tracer = self._traces.get_tracer("stemline")
        for job in jobs:
            facts = {"job": job.name, "call": current_call(), "request_id": job.request_id}
            tracer.start_span("accepted", _trace_of(job), attributes=facts).end()

    def _trace(self, tracer: Any, job: JobRecord, state: str, reason: str) -> None:
        """Export the life of a job as a span, with its time in the queue and the engine's time as children."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        end_ns = (job.end_us or 0) * 1000
        facts = {
            "job": job.name, "request_id": job.request_id, "batch": job.batch_id, "seat": job.owned_by,
            "model": job.model, "state": state, "reason": reason, "attempt": job.attempt,
        }  # fmt: skip
        span = tracer.start_span("job", _trace_of(job), start_time=job.create_us * 1000, attributes=facts)
        context = trace.set_span_in_context(span)
        start_ns = end_ns if job.start_us is None else job.start_us * 1000
        tracer.start_span("queue", context, start_time=job.create_us * 1000).end(start_ns)
        if job.start_us is not None:
            tracer.start_span("engine", context, start_time=start_ns, attributes={"model": job.model}).end(end_ns)
        span.end(end_ns)

    def call_ended(self, method: str, status: str, call: str = "", start_ns: int = 0) -> None:
        """Count a call, and export it as a span. `call` is its id in the log, `start_ns` the time when it began."""
        self._calls.add(1, {"method": method, "status": status})
        if self._traces is not None and start_ns:
            facts = {"call": call, "status": status, "seat": caller().name}
            self._traces.get_tracer("stemline").start_span(method, start_time=start_ns, attributes=facts).end()

    def transferred(self, direction: str, size_bytes: int) -> None:
        """Count sound that was sent ("out") or received ("in")."""
        self._bytes.add(size_bytes, {"direction": direction})

    def serve(self, host: str, port: int) -> WSGIServer:
        """Serve /metrics, /live and /ready on a thread, and return the HTTP server. Raises UsageError."""
        from prometheus_client import make_wsgi_app  # noqa: PLC0415 - an extra

        metrics = make_wsgi_app()

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path in ("/live", "/ready"):
                well = path == "/live" or self._facts.is_ready()
                start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"ok\n" if well else b"not ready\n"]
            found: Iterable[bytes] = metrics(environ, start_response)
            return found

        try:
            server = make_server(host, port, app, handler_class=_QuietHandler)
        except OSError as error:
            raise UsageError(
                f"Metrics cannot be served on {host}:{port}: {error.strerror}.", advice="Give another --metrics."
            ) from error
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return server

    def close(self) -> None:
        """Export the rest and stop."""
        self._provider.shutdown()
        if self._traces is not None:
            self._traces.shutdown()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log no request."""


def _trace_of(job: JobRecord) -> Any:
    """Return the context of the trace of a request: its id is made from the request id, which the client knows."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    digest = hashlib.sha256(job.request_id.encode()).digest()
    root = trace.SpanContext(
        int.from_bytes(digest[:16], "big") or 1,
        int.from_bytes(digest[16:24], "big") or 1,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(root))


def _trace_provider(endpoint: str, resource: Any) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http:"))))
    return provider
