"""Traces, where OpenTelemetry's own environment variables say where they go.

The API's spans are FastAPI's. A job keeps the `traceparent` of the request that asked for it, and
each attempt at it is a span of the same trace, whichever process makes it. The SDK is an extra,
``pip install 'trimtab[telemetry]'``; without the variables nothing of it is loaded.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry import propagate, trace

from worker.jobs import Claim

log = structlog.get_logger(__name__)

FLUSH_MILLISECONDS = 2_000


def is_wanted() -> bool:
    """Whether the environment names a place for traces."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in names)


def configure(service_name: str) -> None:
    """Send the spans of this process to where the environment says, if it says so."""
    if not is_wanted():
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("no traces are sent: pip install 'trimtab[telemetry]' brings what sends them")
        return
    name = os.environ.get("OTEL_SERVICE_NAME", service_name)
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def current_traceparent() -> str | None:
    """Of the span that is open just now, for a job to be traced on from."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def attempt_span(held: Claim) -> Iterator[None]:
    """A span around one attempt, in the trace of the request that asked for the job."""
    if not is_wanted():
        yield
        return
    parent = propagate.extract({"traceparent": held.traceparent} if held.traceparent else {})
    tracer = trace.get_tracer("trimtab.worker")
    try:
        with tracer.start_as_current_span(
            "attempt",
            context=parent,
            kind=trace.SpanKind.CONSUMER,
            attributes={"trimtab.job_id": held.job_id, "trimtab.attempt": held.number},
        ):
            yield
    finally:
        # The process may be ended before it comes to send by itself.
        flush = getattr(trace.get_tracer_provider(), "force_flush", None)
        if flush is not None:
            flush(FLUSH_MILLISECONDS)
