"""`trimtab serve`: the whole service on one machine, started and ended in order.

lock ▸ database ▸ port ▸ broker ▸ dispatcher ▸ worker ▸ HTTP     and back

`trimtab api` is the part of it that answers, where workers and broker run elsewhere.
"""

import fcntl
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from anyio import to_thread
from fastapi import FastAPI

from app.auth import NoKeyError, guarded
from app.embedded import BrokerError, EmbeddedBroker
from app.main import create_app
from app.slow_clients import PunctualProtocol
from app.supervisor import WorkerSupervisor
from worker import datasets, jobs, logs, telemetry
from worker.dispatcher import Dispatcher
from worker.queue import Queue
from worker.settings import Queues, Settings
from worker.store import CONNECTIONS, Store

log = structlog.get_logger(__name__)


KEEP_ALIVE_SECONDS = 20


class ServeError(Exception):
    """The service cannot start; the message says what to do."""


class _Server(uvicorn.Server):
    """Ends waiting requests at once when told to stop, as they would hold up the end."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        # As many as have a connection of the database at a time; more would only wait for one.
        to_thread.current_default_thread_limiter().total_tokens = CONNECTIONS
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_exit()
        super().handle_exit(sig, frame)


def serve(settings: Settings, *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Run the service until SIGINT or SIGTERM; leaves no process behind.

    Args:
        host: the address to listen on; beyond loopback, only where there is a key.
        port: 0 for any free port.
        announce: told the URL once the service listens.

    Raises:
        ServeError: another service has the home folder or the port, or there is no broker.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    logs.configure(settings, "serve")
    with ExitStack() as running:
        running.enter_context(_interruptible())
        running.enter_context(_locked(settings.home))
        store = Store(settings.database_url)
        running.callback(store.close)
        store.migrate()
        settings = _guarded(settings, store, host)
        listener = running.enter_context(_listening(host, port))
        datasets.remove_left_over(store, settings)
        if settings.broker_url is None:
            _move_jobs(store, settings)
            settings = settings.model_copy(update={"broker_url": _start_broker(settings, running)})
        queue = Queue(settings)
        running.callback(queue.close)
        dispatcher = Dispatcher(store, queue, settings)
        running.callback(dispatcher.stop)
        dispatcher.start()
        supervisors = [
            WorkerSupervisor(store, settings, queues, device)
            for queues, device in worker_kinds(settings)
        ]
        for supervisor in supervisors:
            running.callback(supervisor.stop)
            supervisor.start()
        # All are told before any is waited for.
        for supervisor in supervisors:
            running.callback(supervisor.tell_to_stop)
        announce(_url(listener))
        _answer(settings, store, queue, listener)


def serve_api(settings: Settings, *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Answer requests until SIGINT or SIGTERM, on the broker and the database of the settings; the
    workers are others' to run. Several such processes may share the two.

    Raises:
        ServeError: as `serve`; also where no broker is named, or the database cannot be used.
    """
    if settings.broker_url is None:
        raise ServeError(
            "Set TRIMTAB_BROKER_URL, as in redis://localhost:6379/0, so that workers hear of jobs; "
            "trimtab serve brings a broker and workers of its own."
        )
    settings.home.mkdir(parents=True, exist_ok=True)
    logs.configure(settings, "api")
    with ExitStack() as running:
        running.enter_context(_interruptible())
        store = Store(settings.database_url)
        running.callback(store.close)
        store.migrate()
        settings = _guarded(settings, store, host)
        listener = running.enter_context(_listening(host, port))
        queue = Queue(settings)
        running.callback(queue.close)
        dispatcher = Dispatcher(store, queue, settings)
        running.callback(dispatcher.stop)
        dispatcher.start()
        announce(_url(listener))
        _answer(settings, store, queue, listener)


def _answer(settings: Settings, store: Store, queue: Queue, listener: socket.socket) -> None:
    """Answer requests until a signal says to stop."""
    telemetry.configure("trimtab")
    app = create_app(settings, store, queue)
    # What is there by now stays; no collection need look at it again.
    gc.collect()
    gc.freeze()
    server_of(app, settings).run(sockets=[listener])


def server_of(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """The HTTP server of an app, with bounds on connections."""
    config = uvicorn.Config(
        app,
        log_config=None,
        # There is a line of our own for each request.
        access_log=False,
        http=PunctualProtocol,
        limit_concurrency=settings.max_connections,
        # Longer than clients keep an idle connection, so that none is closed under a request.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
        server_header=False,
    )
    return _Server(config, on_exit=app.state.waiting.close)


def worker_kinds(settings: Settings) -> list[tuple[Queues, str]]:
    """Which jobs each worker takes, and its device."""
    # A worker each, so that no diagnosis waits for a race.
    on_cpu = [(queues, "cpu") for queues in (Queues.SHORT, Queues.LONG)]
    if settings.device_kind == "cpu":
        return on_cpu
    # A GPU has one job at a time.
    on_gpu = [(Queues.ALL, settings.device)]
    return on_gpu if settings.gpu_from_parameters is None else on_cpu + on_gpu


def _move_jobs(store: Store, settings: Settings) -> None:
    """Let no job wait for a kind of device that the only workers there are do not have."""
    if settings.gpu_from_parameters is not None and settings.device_kind == "cuda":
        return  # There are workers of both kinds.
    moved = jobs.move_to(store, settings.device_kind)
    if moved:
        log.warning("jobs moved to the device that is here", device=settings.device, jobs=moved)


def _guarded(settings: Settings, store: Store, host: str) -> Settings:
    try:
        return guarded(settings, store, host=host)
    except NoKeyError as error:
        raise ServeError(str(error)) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as Ctrl-C does; none of them cuts the end short."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def hang_up(*_: object) -> None:
        # The HTTP server knows how to end on this one.
        signal.raise_signal(signal.SIGTERM)

    before = {number: signal.signal(number, interrupt) for number in signals}
    signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    except KeyboardInterrupt:
        log.info("stopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the home folder; the lock goes with the process, however it ends."""
    with (home / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ServeError(
                f"Another trimtab serve (process {lock.read().strip() or 'unknown'}) has "
                f"{home}. Stop it, or set TRIMTAB_HOME to another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, asyncio lets no small packet wait for the client to acknowledge the one before,
    # which costs 40 ms a request on a connection that is kept.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            # Requests that come before the service is up wait here.
            listener.listen(128)
        except OSError as error:
            raise ServeError(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another port with "
                "--port, or 0 for any free one."
            ) from None
        yield listener


def _start_broker(settings: Settings, running: ExitStack) -> str:
    try:
        broker = EmbeddedBroker(settings.home)
        running.callback(broker.stop)
        broker.start()
    except BrokerError as error:
        raise ServeError(str(error)) from None
    return broker.url


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
