"""How long the server works on the page of a finished diagnosis, and what the page weighs.

    python -m bench.page_speed

Of 36 sub-layers, and of 500 (the same ones over and over). Time is of the processor, so that a busy
machine does not lengthen it, and on the clock; medians of twenty looks, with the slowest. Figures
are drawn apart from the page, when somebody looks at them.
"""

import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog
from starlette.testclient import TestClient

from admin_core.diagnosis import diagnose_spec
from admin_core.report import Report
from admin_core.spec import DiagnosisSpec
from app.main import create_app
from worker import jobs
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

LOOKS = 20
SPEC: dict[str, Any] = {
    "model": {
        "architecture": "encoder_decoder",
        "encoder_layers": 9,
        "decoder_layers": 6,
        "d_model": 64,
        "num_heads": 2,
    },
    "analyses": ["omega", "amplification", "dependency", "gradients"],
}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = diagnose_spec(DiagnosisSpec.model_validate(SPEC))
    few = report.branches
    many = [few[n % len(few)].model_copy(update={"index": n + 1}) for n in range(500)]
    print("sub-layers   processor, median and slowest   on the clock   weight")
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), broker_url="memory://", device="cpu")
        store, queue = Store(settings.database_url), Queue(settings)
        store.migrate()
        browser = TestClient(create_app(settings, store, queue), base_url="http://127.0.0.1")
        for branches in (few, many):
            look(browser, store, report.model_copy(update={"branches": branches}))
        queue.close()
        store.close()


def look(browser: TestClient, store: Store, report: Report) -> None:
    spec = DiagnosisSpec.model_validate(SPEC | {"seed": len(report.branches)})
    claim = jobs.claim(store, jobs.submit(store, spec)[0], worker="bench", lease_seconds=600)
    assert claim is not None
    jobs.succeed(store, claim, report.model_dump(mode="json"))
    worked, waited, weight = [], [], 0
    # The first look loads the templates.
    for _ in range(LOOKS + 1):
        processor, clock = time.process_time(), time.perf_counter()
        answer = browser.get(f"/diagnoses/{claim.job_id}")
        worked.append(1000 * (time.process_time() - processor))
        waited.append(1000 * (time.perf_counter() - clock))
        assert answer.status_code == 200
        weight = len(answer.content)
    print(
        f"{len(report.branches):>10} {statistics.median(worked[1:]):>13.0f} ms "
        f"{max(worked[1:]):>10.0f} ms {statistics.median(waited[1:]):>12.0f} ms "
        f"{weight / 1e6:>9.2f} MB"
    )


if __name__ == "__main__":
    main()
