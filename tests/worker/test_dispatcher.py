import base64
import json
import time
from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import update

from admin_core.spec import DiagnosisSpec
from tests.broker import Broker
from tests.service import SMALL, until
from worker import jobs
from worker import store as tables
from worker.celery import LONG_QUEUE, SHORT_QUEUE, queue_of
from worker.dispatcher import dispatch, resend
from worker.jobs import JobName
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store

SPEC = DiagnosisSpec.model_validate(SMALL)


@pytest.fixture
def queue(broker: Broker) -> Iterator[Queue]:
    """On a real broker, whose queues are empty."""
    broker.client.flushall()
    queue = Queue(Settings(broker_url=broker.url()))
    yield queue
    queue.close()


def submitted(store: Store, count: int) -> list[str]:
    """Jobs whose messages are taken for sent, long ago."""
    ids = [jobs.submit(store, SPEC, announced=True)[0] for _ in range(count)]
    with store.writing() as connection:
        # One after the other.
        for age, job_id in zip(range(1_000, 0, -1), ids, strict=False):
            connection.execute(
                update(tables.jobs)
                .where(tables.jobs.c.id == job_id)
                .values(published_at=tables.jobs.c.created_at - age)
            )
    return ids


def messages(broker: Broker, queue: str = SHORT_QUEUE) -> list[str]:
    """Ids in the queue, in the order in which workers get them."""
    found = broker.client.lrange(f"trimtab:{queue}", 0, -1)
    assert isinstance(found, list)
    bodies = [json.loads(base64.b64decode(json.loads(each)["body"])) for each in reversed(found)]
    return [str(body[1]["job_id"]) for body in bodies]


def test_a_lost_message_is_sent_again_though_others_wait(
    store: Store, queue: Queue, broker: Broker
) -> None:
    lost, *others = submitted(store, 4)
    for job_id in others:
        queue.enqueue(JobName.DIAGNOSIS, job_id)
    for _ in range(3):
        resend(store, queue, older_than_seconds=10)
    assert messages(broker) == [*others, lost]


def test_where_every_job_has_its_message_none_is_sent(
    store: Store, queue: Queue, broker: Broker
) -> None:
    ids = submitted(store, 5)
    for job_id in ids:
        queue.enqueue(JobName.DIAGNOSIS, job_id)
    resend(store, queue, older_than_seconds=10)
    assert messages(broker) == ids


def test_after_a_flush_every_message_is_sent_once(
    store: Store, queue: Queue, broker: Broker
) -> None:
    ids = submitted(store, 5)
    for _ in range(3):
        resend(store, queue, older_than_seconds=10)
    assert messages(broker) == ids


def test_a_job_that_is_known_to_have_no_message_comes_before_those_that_may_have(
    store: Store, queue: Queue, broker: Broker
) -> None:
    others = submitted(store, 3)
    for job_id in others:
        queue.enqueue(JobName.DIAGNOSIS, job_id)
    unsent, _ = jobs.submit(store, SPEC)
    resend(store, queue, older_than_seconds=10)
    assert messages(broker) == [*others, unsent]


def test_jobs_for_gpus_have_a_queue_of_their_own(
    store: Store, queue: Queue, broker: Broker
) -> None:
    on_cpu, _ = jobs.submit(store, SPEC)
    on_gpu, _ = jobs.submit(store, SPEC, device_kind="cuda")
    resend(store, queue, older_than_seconds=10)
    assert messages(broker) == [on_cpu]
    assert messages(broker, queue_of(SHORT_QUEUE, "cuda")) == [on_gpu]


def test_a_job_whose_lease_ran_out_gets_a_new_message(
    store: Store, queue: Queue, broker: Broker
) -> None:
    job_id, _ = jobs.submit(store, SPEC, announced=True)
    jobs.claim(store, job_id, worker="w", lease_seconds=-1)
    dispatch(store, queue, resend_after_seconds=10)
    assert messages(broker) == [job_id]


class TestQueue:
    def test_a_broker_that_is_away_holds_nobody_up(self, store: Store) -> None:
        nobody = Queue(Settings(broker_url="redis://127.0.0.1:1/0"))
        started = time.monotonic()
        sent = [nobody.enqueue(JobName.DIAGNOSIS, "j") for _ in range(50)]
        assert not any(sent)
        assert nobody.length(LONG_QUEUE) is None
        # Fifty that each waited would take minutes; one second is for a busy machine.
        assert time.monotonic() - started < 3
        nobody.close()

    def test_what_comes_together_is_sent_in_its_order(self, queue: Queue, broker: Broker) -> None:
        def unsent(*job_ids: str) -> None:
            raise AssertionError(job_ids)

        ids = [f"j{number}" for number in range(300)]
        queue.enqueue_soon(JobName.DIAGNOSIS, ids[:3], "cpu", unsent=unsent)
        for job_id in ids[3:]:
            queue.enqueue_soon(JobName.DIAGNOSIS, [job_id], "cpu", unsent=unsent)
        queue.close()
        assert messages(broker) == ids

    def test_jobs_whose_message_could_not_be_sent_are_told(self, store: Store) -> None:
        nobody = Queue(Settings(broker_url="redis://127.0.0.1:1/0"))
        ids = [jobs.submit(store, SPEC, announced=True)[0] for _ in range(3)]
        unsent = partial(jobs.mark_unpublished, store)
        nobody.enqueue_soon(JobName.DIAGNOSIS, ids[:2], "cpu", unsent=unsent)
        nobody.enqueue_soon(JobName.DIAGNOSIS, ids[2:], "cpu", unsent=unsent)
        nobody.close()
        found = jobs.unpublished(store, [JobName.DIAGNOSIS], older_than_seconds=60)
        assert [job_id for job_id, _ in found] == ids

    def test_a_failure_to_note_that_does_not_end_the_sending(self) -> None:
        nobody = Queue(Settings(broker_url="redis://127.0.0.1:1/0"))
        told: list[tuple[str, ...]] = []

        def unsent(*job_ids: str) -> None:
            told.append(job_ids)
            raise RuntimeError("the database is away too")

        for job_id in ("a", "b"):
            nobody.enqueue_soon(JobName.DIAGNOSIS, [job_id], "cpu", unsent=unsent)
            until(lambda: bool(told))
            assert told.pop() == (job_id,)
        nobody.close()

    def test_tells_how_many_messages_wait(self, queue: Queue) -> None:
        assert queue.length(SHORT_QUEUE) == 0
        for _ in range(3):
            queue.enqueue(JobName.DIAGNOSIS, "j")
        assert queue.length(SHORT_QUEUE) == 3
