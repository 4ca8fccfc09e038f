"""What an operator can set, from the environment: ``TRIMTAB_HOME``, ``TRIMTAB_DEVICE``, ...

What is not in the environment may be in a file of the folder ``/run/secrets``, where containers
have their secrets: ``trimtab_database_password`` there is ``TRIMTAB_DATABASE_PASSWORD``.
"""

import functools
import os
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from admin_core.race_size import RaceLimits
from admin_core.size import Limits, num_parameters
from admin_core.spec import ModelSpec

Device = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda:\d+)$")]
DeviceKind = Literal["cpu", "cuda"]
"""What numbers depend on, whichever of its devices a machine takes."""
DEVICE_KINDS: tuple[DeviceKind, ...] = ("cpu", "cuda")


SECRETS = Path("/run/secrets")

Password = Annotated[SecretStr, Field(min_length=1)]

FLOPS_PER_CORE = 2e11
"""Two fused multiply-adds of 16 numbers in each of 3e9 cycles a second."""
FLOPS_PER_GPU = 5e15
"""More than any GPU of today does in dense bfloat16."""


class Queues(StrEnum):
    """Which jobs wait for each other."""

    ALL = "all"
    SHORT = "short"
    """Diagnoses, and the conclusions of races."""
    LONG = "long"
    """Runs of races."""


class LogFormat(StrEnum):
    """How a line of the log looks."""

    TEXT = "text"
    JSON = "json"


class RequireKey(StrEnum):
    """When a request on a loopback address needs a key."""

    AUTO = "auto"
    """Once there is one."""
    ALWAYS = "always"
    NEVER = "never"
    """Somebody else checks who asks."""


RateLimit = Annotated[str, StringConstraints(pattern=r"^(none|[1-9]\d{0,8}/(second|minute|hour))$")]
"""Such as ``100/minute``, over a window that slides; ``none`` for no limit."""


@functools.cache
def nvidia_is_here() -> bool:
    """Whether there seems to be a GPU. Looked for once in the life of a process, as every job that
    is asked for wants to know, and the search goes through all of `PATH`."""
    return shutil.which("nvidia-smi") is not None


class Settings(BaseSettings):
    """One object per process; every field is an environment variable with the prefix."""

    model_config = SettingsConfigDict(
        env_prefix="TRIMTAB_",
        frozen=True,
        env_ignore_empty=True,
        # It may be a password.
        hide_input_in_errors=True,
    )

    home: Path = Path(".trimtab")
    """Folder of everything the service keeps: database, broker, logs."""
    broker_url: str | None = None
    """Redis or Valkey to use; `trimtab serve` brings its own unless this is given."""
    database_url: str = ""
    """SQLAlchemy URL; a SQLite file in `home` unless given."""
    broker_password: Password | None = None
    """Goes into `broker_url`, which has none then."""
    database_password: Password | None = None
    """Goes into `database_url`, which has none then."""
    device: Device = "auto"
    """Where diagnoses run; ``auto`` takes the first CUDA device if there is one."""
    gpu_from_parameters: Annotated[int, Field(ge=0)] | None = None
    """Models of this many weights and more go to workers with a GPU, smaller ones to those without;
    unless given, all go to workers whose device is of this process's kind."""
    max_parameters: Annotated[int, Field(gt=0)] = 1_000_000_000
    """Weights of one model that is held whole."""
    max_streamed_bytes: Annotated[int, Field(ge=0)] = 10 * 2**30
    """Memory for the largest sub-layer of a built-in Transformer with more weights, which is
    profiled a sub-layer at a time; 0 refuses such a model."""
    max_tokens: Annotated[int, Field(gt=0)] = 65_536
    """Tokens of one batch in one stack."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 1024 * 1024
    """Size of one request body."""
    max_dataset_bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    """Size of one data set, uploaded or taken from the hub."""
    allow_hub: bool = False
    """Whether workers may fetch data sets of the Hugging Face hub."""
    hub_folder: Path | None = None
    """Folder of data sets as ``namespace/name``, which is looked at before the hub is."""
    max_race_runs: Annotated[int, Field(gt=0)] = 1_000
    """Arms times seeds of one race."""
    max_race_steps: Annotated[int, Field(gt=0)] = 1_000_000
    """Training steps of all runs of one race together."""
    max_run_points: Annotated[int, Field(gt=0)] = 200_000
    """Points that a training loop of a caller's own may tell."""
    run_silence_seconds: Annotated[float, Field(gt=0)] = 300.0
    """After this time without a sign of life, such a loop counts as abandoned."""
    flops_per_second: Annotated[float, Field(gt=0)] | None = None
    """What the machine does at its very best; a race whose budget cannot suffice even so is
    refused. By the device unless given."""
    require_key: RequireKey = RequireKey.AUTO
    """Whether a request on a loopback address needs a key; others always do."""
    rate_limit: RateLimit = "6000/minute"
    """Requests of one key, or of one address where no key is needed, to one process."""
    submit_rate_limit: RateLimit = "1200/minute"
    """Of these, the ones that ask for work, upload, cancel or delete."""
    max_jobs_per_key: Annotated[int, Field(gt=0)] = 1_000
    """Jobs of one key that are queued or running; a race counts as one."""
    max_queued_jobs: Annotated[int, Field(gt=0)] = 10_000
    """Jobs that are queued, whosever they are."""
    max_streams_per_key: Annotated[int, Field(gt=0)] = 50
    """Event streams that one key has open at a time, at one process."""
    max_connections: Annotated[int, Field(gt=0)] = 800
    """Open connections to one process, below what a system allows it to have open."""
    queues: Queues = Queues.ALL
    """Which jobs a worker takes."""
    log_format: LogFormat = LogFormat.TEXT
    """What a process writes to standard error; its file is always JSON."""
    artifacts_url: str | None = None
    """Where jobs leave files, as fsspec understands it: a folder, or ``s3://bucket/path`` for
    workers on several machines; a folder in `home` unless given."""
    retention_seconds: Annotated[float, Field(gt=0)] | None = None
    """After this time, a finished job is forgotten with all that it left; never unless given."""
    max_memory_bytes: Annotated[int, Field(gt=0)] | None = None
    """What one job may take beside what its process holds anyway, in main memory; 80 % of the
    machine's unless given."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Between two checkpoints of a race's run."""
    lease_seconds: Annotated[float, Field(gt=0)] = 30.0
    """After this time without a beat, an attempt counts as lost."""
    job_time_limit_seconds: Annotated[float, Field(gt=0)] = 3_600.0
    """After this time, an attempt is ended and its job fails."""
    shutdown_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long requests and work in hand may take to end when the service is told to stop."""

    @model_validator(mode="after")
    def _paths_and_urls_stand_on_their_own(self) -> Self:
        # The worker may be started in another folder than the face.
        home = self.home.expanduser().absolute()
        object.__setattr__(self, "home", home)
        if self.hub_folder is not None:
            object.__setattr__(self, "hub_folder", self.hub_folder.expanduser().absolute())
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{home / 'trimtab.db'}")
        for name in ("broker", "database"):
            password, url = getattr(self, f"{name}_password"), getattr(self, f"{name}_url")
            if password is not None:
                whole = _with_password(url or "", password.get_secret_value(), name)
                object.__setattr__(self, f"{name}_url", whole)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, env_settings)
        if not SECRETS.is_dir():
            return sources
        return (*sources, SecretsSettingsSource(settings_cls, secrets_dir=SECRETS))

    @property
    def limits(self) -> Limits:
        return Limits(
            max_parameters=self.max_parameters,
            max_tokens=self.max_tokens,
            max_streamed_bytes=self.max_streamed_bytes,
        )

    @property
    def memory_limit(self) -> int:
        """`max_memory_bytes`, or what stands for it."""
        if self.max_memory_bytes is not None:
            return self.max_memory_bytes
        return int(0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    @property
    def device_kind(self) -> DeviceKind:
        """Of `device`, as far as can be told without torch, which takes seconds to load."""
        no_gpu = self.device == "auto" and not nvidia_is_here()
        return "cpu" if self.device == "cpu" or no_gpu else "cuda"

    def device_kind_for(self, *models: ModelSpec) -> DeviceKind:
        """Of the workers that a job with these models goes to."""
        if self.gpu_from_parameters is None:
            return self.device_kind
        largest = max(num_parameters(model) for model in models)
        return "cuda" if largest >= self.gpu_from_parameters else "cpu"

    @property
    def race_limits(self) -> RaceLimits:
        flops = self.flops_per_second
        if flops is None:
            on_cpu = self.device_kind == "cpu"
            flops = FLOPS_PER_CORE * (os.cpu_count() or 1) if on_cpu else FLOPS_PER_GPU
        return RaceLimits(
            job=self.limits,
            max_runs=self.max_race_runs,
            max_steps=self.max_race_steps,
            flops_per_second=flops,
        )

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def datasets(self) -> Path:
        return self.home / "datasets"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


def _with_password(url: str, password: str, name: str) -> str:
    """The URL with the password in it.

    Raises:
        ValueError: it names no server that could ask for one, or has one already that differs.
    """
    parts = urlsplit(url)
    user, _, given = parts.netloc.rpartition("@")[0].partition(":")
    if not parts.hostname:
        raise ValueError(
            f"TRIMTAB_{name.upper()}_PASSWORD is set, and TRIMTAB_{name.upper()}_URL names no "
            "server to give it to; set the URL, or leave the password out"
        )
    quoted = quote(password, safe="")
    if given not in ("", quoted):
        raise ValueError(
            f"TRIMTAB_{name.upper()}_URL holds another password than "
            f"TRIMTAB_{name.upper()}_PASSWORD; leave one of them out"
        )
    server = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{quoted}@{server}").geturl()
