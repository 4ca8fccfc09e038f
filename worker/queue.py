"""How work is asked for: by the name of the job, in a message that holds only its id."""

import time
from collections.abc import Iterable, Sequence

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError

from worker.celery import QUEUE_OF, create_celery, queue_of
from worker.jobs import JobName
from worker.sender import Message, Sender, Unsent
from worker.settings import DeviceKind, Settings

ANSWER_SECONDS = 2.0
"""How long a sender waits for the broker."""
REST_SECONDS = 1.0
"""How long a broker that did not answer is left alone, so that requests do not wait in a row."""


class Queue:
    """The broker's queues, as the senders see them."""

    def __init__(self, settings: Settings) -> None:
        self._celery: Celery = create_celery(settings)
        # No request waits for a broker that is away; the dispatcher sends later.
        self._celery.conf.broker_transport_options |= {
            "max_retries": 0,
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": ANSWER_SECONDS,
        }
        self._try_again_at = 0.0
        self._sender = Sender(self._send)
        self._sender.start()

    def enqueue_soon(
        self, name: JobName, job_ids: Iterable[str], device_kind: DeviceKind, *, unsent: Unsent
    ) -> None:
        """Send a message for each job in a moment, together with what others send."""
        messages = [Message(name=name, job_id=each, device_kind=device_kind) for each in job_ids]
        self._sender.put(messages, unsent)

    def enqueue(self, name: JobName, job_id: str, device_kind: DeviceKind = "cpu") -> bool:
        """Send one message; False if the broker cannot be reached, or could not just before."""
        return self._send([Message(name=name, job_id=job_id, device_kind=device_kind)])

    def _send(self, messages: Sequence[Message]) -> bool:
        """Send them in one go; False if some may not have been sent."""
        if time.monotonic() < self._try_again_at:
            return False
        try:
            with self._celery.producer_or_acquire() as producer, producer.batch():
                for message in messages:
                    self._celery.send_task(
                        message.name,
                        kwargs={"job_id": message.job_id},
                        queue=queue_of(QUEUE_OF[message.name], message.device_kind),
                        producer=producer,
                        # Its worker declares the queue.
                        declare=(),
                        # Celery would work out at length how to show the arguments.
                        argsrepr="",
                        kwargsrepr=message.job_id,
                    )
        except (OperationalError, BatchPublishError, OSError):
            self._try_again_at = time.monotonic() + REST_SECONDS
            return False
        return True

    def length(self, queue: str) -> int | None:
        """How many messages wait in `queue`; None if the broker cannot be reached."""
        try:
            with self._celery.connection_for_read() as connection:
                # Not by declaring it passively: kombu asks Redis for it without the prefix, and
                # never finds it.
                return int(connection.default_channel.client.llen(queue))
        except Exception:
            # Each transport has its own errors for a broker that is away.
            return None

    def is_reachable(self) -> bool:
        """Whether the broker answers."""
        try:
            with self._celery.connection_for_read() as connection:
                connection.default_channel.client.ping()
        except Exception:
            # Each transport has its own errors for a broker that is away.
            return False
        return True

    def close(self) -> None:
        self._sender.stop()
        self._celery.close()
