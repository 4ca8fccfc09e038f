"""Finished diagnoses whose verdict a test chooses, put into a running service's own store."""

from typing import Any

from admin_core.spec import DiagnosisSpec
from tests.service import Service
from worker import jobs
from worker.store import Store

PRESCRIPTION = {
    "change": "Admin in place of Post-LN",
    "patch": {"model": {"scheme": "admin"}},
    "failure_probability": 0.04,
}
REASON = {
    "rule": "amplification",
    "outcome": "unstable",
    "path": "decoder",
    "measured": 36.4,
    "threshold": 28.0,
    "formula": "N^s",
    "explanation": "Over 4 sub-layers the decoder amplifies too much.",
    "share": 1.0,
}


def verdict(outcome: str, probability: float | None, *prescriptions: dict[str, Any]) -> Any:
    return {
        "outcome": outcome,
        "failure_probability": probability,
        "outside_calibration": [],
        "reasons": [REASON | {"outcome": outcome}],
        "edges": [],
        "prescriptions": list(prescriptions),
    }


def diagnosed(service: Service, body: dict[str, Any], verdict: dict[str, Any] | None) -> str:
    """Id of a diagnosis of `body` that has come to this verdict."""
    spec = DiagnosisSpec.model_validate(body)
    store = Store(service.database_url)
    try:
        while True:
            job_id, _ = jobs.submit(store, spec)
            # The service's own worker may be quicker, and would come to another verdict.
            held = jobs.claim(store, job_id, worker="test", lease_seconds=60)
            if held is not None:
                assert jobs.succeed(store, held, {"verdict": verdict})
                # There is no more to this report, so that it must answer nobody else.
                jobs.cancel(store, job_id)
                return job_id
    finally:
        store.close()
