"""How work is asked for: by the name of the job, in a message that holds only its id."""

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from worker.celery import create_celery
from worker.jobs import JobName
from worker.settings import Settings


class Queue:
    """The broker's queues, as the senders see them."""

    def __init__(self, settings: Settings) -> None:
        self._celery: Celery = create_celery(settings)

    def enqueue(self, name: JobName, job_id: str) -> bool:
        """Send one message; False if the broker cannot be reached."""
        try:
            self._celery.send_task(name, kwargs={"job_id": job_id})
        except OperationalError:
            return False
        return True

    def is_empty(self, queue: str) -> bool:
        """Whether no message waits in `queue`; False if the broker cannot be reached."""
        try:
            with self._celery.connection_for_read() as connection:
                found = connection.default_channel.queue_declare(queue, passive=True)
        except ChannelError:
            # Redis forgets an empty list, so that the queue is there only while it holds something.
            return True
        except (OperationalError, OSError):
            return False
        return bool(found.message_count == 0)

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
        self._celery.close()
