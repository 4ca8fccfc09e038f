"""The Celery application, and its settings with their reasons.

A message is a doorbell: it holds a job's id and nothing else, and may be lost or come twice.
"""

from celery import Celery

from worker.jobs import JobName
from worker.settings import DeviceKind, Queues, Settings

SHORT_QUEUE = "trimtab"
LONG_QUEUE = "trimtab.long"
"""Of jobs that would keep short ones waiting."""

QUEUE_OF = {
    JobName.DIAGNOSIS: SHORT_QUEUE,
    JobName.RACE: SHORT_QUEUE,
    JobName.RACE_RUN: LONG_QUEUE,
}
"""Of jobs that a CPU does; GPUs have queues of their own."""

_CONSUMED = {
    Queues.ALL: (SHORT_QUEUE, LONG_QUEUE),
    Queues.SHORT: (SHORT_QUEUE,),
    Queues.LONG: (LONG_QUEUE,),
}


def queue_of(queue: str, device_kind: DeviceKind) -> str:
    """The queue of a kind of device that stands where `queue` does for CPUs."""
    return queue if device_kind == "cpu" else f"{queue}.{device_kind}"


def consumed_by(settings: Settings) -> list[str]:
    """The queues of a worker, in the order in which it looks for its next job."""
    return [queue_of(queue, settings.device_kind) for queue in _CONSUMED[settings.queues]]


def create_celery(settings: Settings) -> Celery:
    """An application on the broker of `settings`; sends by task name, loads no task."""
    celery = Celery("trimtab", broker=settings.broker_url)
    backstop = settings.job_time_limit_seconds
    celery.conf.update(
        # A spawned child finds its tasks by this name.
        include=["worker.tasks"],
        task_default_queue=SHORT_QUEUE,
        accept_content=["json"],
        # Results are in the database.
        task_ignore_result=True,
        # On Redis, neither way of acknowledging delivers exactly once; late adds duplicates.
        task_acks_late=False,
        # Sending is best effort and short: the dispatcher sends again.
        task_publish_retry=False,
        worker_pool="prefork",
        # A forked child hangs in its first OpenMP region, and cannot use CUDA.
        worker_pool_start_method="spawn",
        # The child imports torch before it says that it is up.
        worker_proc_alive_timeout=120,
        worker_concurrency=1,
        worker_max_tasks_per_child=100,
        # A message that waits inside a worker would be stuck there when the broker restarts.
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=False,
        # An attempt ends itself at its time limit; these catch one that cannot.
        task_soft_time_limit=backstop + 60,
        task_time_limit=backstop + 120,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Without these a connection that died silently leaves the worker deaf.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "health_check_interval": 10,
            "visibility_timeout": 900,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "global_keyprefix": "trimtab:",
            # Queues in the order in which they are named, not in turn.
            "queue_order_strategy": "priority",
        },
    )
    if settings.broker_url is not None and "+socket:" not in settings.broker_url:
        # Of TCP only.
        celery.conf.broker_transport_options["socket_keepalive"] = True
    return celery
