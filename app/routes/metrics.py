"""Figures for Prometheus, read from the database whenever they are asked for."""

from collections.abc import Iterable

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.auth import admin
from app.deps import StoreDep
from app.problems import documented
from worker.metrics import DURATION_SECONDS, WAIT_SECONDS, Figures, Times, figures

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=[Depends(admin)],
    responses={
        200: {
            "description": "In Prometheus's text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **documented(401, 403, 429, 500),
    },
)
def get_metrics(store: StoreDep) -> Response:
    """Jobs, queues, times, attempts and workers, of all keys: a key needs the scope `admin`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(figures(store)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Told(Collector):
    """Figures that were read already."""

    def __init__(self, told: Figures) -> None:
        self._told = told

    def collect(self) -> Iterable[Metric]:
        told = self._told
        jobs = GaugeMetricFamily("trimtab_jobs", "Jobs that are kept.", labels=["kind", "state"])
        for labels, number in told.jobs.items():
            jobs.add_metric(labels, number)
        yield jobs
        depth = GaugeMetricFamily("trimtab_queue_depth", "Jobs that wait.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "trimtab_queue_oldest_seconds",
            "Age of the job that waits the longest.",
            labels=["queue"],
        )
        for queue in told.queues:
            depth.add_metric([queue.queue], queue.waiting)
            oldest.add_metric([queue.queue], queue.oldest_seconds)
        yield from (depth, oldest)
        yield _histogram(
            "trimtab_job_wait_seconds",
            "From submission to the first attempt.",
            ["kind"],
            told.waits,
            WAIT_SECONDS,
        )
        yield _histogram(
            "trimtab_job_duration_seconds",
            "From the first attempt to the end.",
            ["kind", "state", "outcome"],
            told.durations,
            DURATION_SECONDS,
        )
        attempts = CounterMetricFamily(
            "trimtab_attempts",
            "Attempts, by how they ended; lost ones lost their lease.",
            labels=["ending"],
        )
        for ending, number in told.attempts.items():
            attempts.add_metric([ending], number)
        yield attempts
        memory = GaugeMetricFamily(
            "trimtab_worker_memory_bytes",
            "Resident memory of a worker with its processes.",
            labels=["worker"],
        )
        silent = GaugeMetricFamily(
            "trimtab_worker_silent_seconds",
            "Since a worker's last sign of life.",
            labels=["worker"],
        )
        for worker in told.workers:
            silent.add_metric([worker.name], worker.silent_seconds)
            if worker.memory_bytes is not None:
                memory.add_metric([worker.name], worker.memory_bytes)
        yield from (memory, silent)


def _histogram(
    name: str, help_text: str, labels: list[str], found: list[Times], upper_ends: tuple[float, ...]
) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=labels)
    for times in found:
        buckets = [
            (str(end), float(number)) for end, number in zip(upper_ends, times.buckets, strict=True)
        ]
        buckets.append(("+Inf", float(times.number)))
        values = [times.labels[label] for label in labels]
        family.add_metric(values, buckets, sum_value=times.total_seconds)
    return family
