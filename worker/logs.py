"""One log line an event: JSON in a file of the process; on standard error readable, or JSON too."""

import logging
import logging.handlers
import sys

import structlog

from worker.settings import LogFormat, Settings


def configure(settings: Settings, process: str) -> None:
    """Send the log of structlog and of all libraries to ``logs/<process>.log`` and to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A logger is put together once, not for each line.
        cache_logger_on_first_use=True,
    )
    settings.logs.mkdir(parents=True, exist_ok=True)
    as_json = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    as_text = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
    )
    # Watched, so that a log rotator may move the file away.
    file = logging.handlers.WatchedFileHandler(settings.logs / f"{process}.log", delay=True)
    file.setFormatter(as_json)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(as_json if settings.log_format is LogFormat.JSON else as_text)
    root = logging.getLogger()
    root.handlers[:] = [file, terminal]
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
