"""The life of a job, as functions on the store.

    submit ─▶ queued ─▶ running ─▶ succeeded | failed | cancelled
                 ▲          │
                 └──────────┘  the attempt was lost, or its worker is shutting down

An attempt holds a lease and a fencing number, its `number`. Whatever it writes, it writes on the
condition that the job still runs under this number; once it does not, nothing that the attempt
does can be seen any more. So a message that comes twice, a worker that was taken for dead, and a
dead worker are all harmless.

A race is a job whose runs, one per arm and seed, are jobs too. The transaction that ends its last
run ends the race if a run failed or was cancelled; otherwise the race can be claimed from then on,
to be concluded. Whoever writes to a run holds the race's row first, so that no two wait for each
other.
"""

from worker.jobs.attempts import beat, claim, fail, release, stop, succeed
from worker.jobs.cancelling import cancel
from worker.jobs.job import (
    FINISHED,
    UNFINISHED,
    Attempt,
    Beat,
    Claim,
    Ending,
    Job,
    JobName,
    JobSummary,
    State,
    new_id,
)
from worker.jobs.moving import move_to
from worker.jobs.publishing import (
    count_queued,
    mark_published,
    mark_unpublished,
    unpublished,
)
from worker.jobs.reading import finished_among, get, newest, specs_of
from worker.jobs.reaping import MAX_ATTEMPTS, lose_job, lose_worker, reap
from worker.jobs.retention import remove_old
from worker.jobs.submitting import (
    IdempotencyKeyReusedError,
    QueueFullError,
    Reuse,
    TooManyJobsError,
    check_room,
    check_share,
    earlier_job,
    hold_dataset,
    hold_question,
    keep_report,
    made_by,
    no_such_dataset,
    spec_sha256,
    submit,
)
from worker.jobs.workers import (
    drain,
    forget_silent_workers,
    forget_worker,
    live_workers,
    worker_is_alive,
)

__all__ = [
    "Attempt",
    "Beat",
    "Claim",
    "Ending",
    "FINISHED",
    "IdempotencyKeyReusedError",
    "Job",
    "JobName",
    "JobSummary",
    "MAX_ATTEMPTS",
    "QueueFullError",
    "Reuse",
    "State",
    "TooManyJobsError",
    "UNFINISHED",
    "beat",
    "cancel",
    "check_room",
    "check_share",
    "claim",
    "count_queued",
    "drain",
    "earlier_job",
    "fail",
    "finished_among",
    "forget_silent_workers",
    "forget_worker",
    "get",
    "hold_dataset",
    "hold_question",
    "keep_report",
    "live_workers",
    "lose_job",
    "lose_worker",
    "made_by",
    "mark_published",
    "mark_unpublished",
    "move_to",
    "new_id",
    "newest",
    "no_such_dataset",
    "reap",
    "release",
    "remove_old",
    "spec_sha256",
    "specs_of",
    "stop",
    "submit",
    "succeed",
    "unpublished",
    "worker_is_alive",
]
