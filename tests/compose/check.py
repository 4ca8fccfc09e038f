"""Facts about the running stack of docker-compose.yml; check.sh starts it and this program.

Each fact is a function that is named like a sentence, and raises where it does not hold. They run
in the order in which they stand here, as `down` and `up` come last. Only Python's own library is
used, as nothing of Trimtab is installed where the stack runs.
"""

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPOSE = shlex.split(os.environ["COMPOSE"])
OURS = ("api", "worker", "worker-short")
PRIVATE = {"database": 5432, "broker": 6379}

PATIENCE = float(os.environ.get("CHECK_PATIENCE", "1"))
"""By which all times to wait are longer, as on a machine that has much else to do."""

RACE: dict[str, Any] = {
    "model": {"architecture": "decoder_only", "decoder_layers": 6, "d_model": 64, "num_heads": 2},
    "training": {
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup_steps": 20,
        # Long enough to be killed in the middle of, also on a fast machine.
        "steps": int(os.environ.get("CHECK_STEPS", "400")),
        "batch_size": 8,
        "sequence_length": 32,
    },
    "arms": ["post_ln", "pre_ln", "admin"],
    "seeds": 1,
}
"""Three runs, of some twenty seconds each where nothing else runs."""

DIAGNOSIS: dict[str, Any] = {
    "model": {"architecture": "encoder_only", "encoder_layers": 2, "d_model": 32, "num_heads": 4},
    "training": {"batch_size": 4, "sequence_length": 16},
}


def main() -> None:
    checks: list[Callable[[], None]] = [
        missing_secrets_are_refused,
        nobody_gets_in_without_a_key,
        the_curl_gate_passes_and_fails,
        ours_run_as_nobody_on_a_read_only_root,
        only_the_port_of_the_api_is_published,
        others_reach_neither_database_nor_broker,
        three_workers_train_the_arms_of_a_race_at_once,
        stops_and_kills_of_worker_broker_database_and_api_lose_nothing,
        data_survives_down_and_up,
    ]
    # All, or those that were named.
    for check in [each for each in checks if each.__name__ in sys.argv[1:] or not sys.argv[1:]]:
        begun = time.monotonic()
        check()
        fact = check.__name__.replace("_", " ")
        print(f"  {time.monotonic() - begun:4.0f} s  {fact}", flush=True)
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image_of("api")))
    print(f"  the image of API and workers holds {size / 1e6:,.0f} MB")


def missing_secrets_are_refused() -> None:
    """With a message that says what to do, before anything is started."""
    run = subprocess.run(
        [*COMPOSE, "up", "--detach", "--no-recreate"],
        env=os.environ | {"TRIMTAB_SECRETS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "examples/compose-secrets.sh" in run.stderr, run.stderr


def nobody_gets_in_without_a_key() -> None:
    assert status_of("/healthz", key=None) == 200
    assert status_of("/v1/jobs", key=None) == 401
    assert status_of("/v1/jobs", key="tt_000000000000_" + "0" * 64) == 401
    assert status_of("/v1/jobs", key=first_key()) == 200
    another = compose("run", "--rm", "-T", "keys", "create", "ci")
    assert status_of("/v1/jobs", key=another) == 200


def the_curl_gate_passes_and_fails() -> None:
    for request, expected in (("stable", 0), ("unstable", 22)):
        gate = subprocess.run(
            ["examples/ci-check.sh", f"examples/{request}.json"],
            env=os.environ | {"TRIMTAB_URL": url(), "TRIMTAB_KEY": first_key()},
            capture_output=True,
            text=True,
        )
        assert gate.returncode == expected, gate.stdout + gate.stderr


def ours_run_as_nobody_on_a_read_only_root() -> None:
    for service in OURS:
        for container in containers(service):
            settings = inspect(container)
            assert settings["HostConfig"]["ReadonlyRootfs"]
            assert settings["HostConfig"]["CapDrop"] == ["ALL"]
            assert inside(container, "id -u") == "10001"
            for folder in ("/", "/usr/bin", "/etc", "/opt/trimtab", "/root"):
                assert inside(container, f"touch {folder}/x 2>/dev/null || echo refused") == (
                    "refused"
                ), f"{service} can write to {folder}"
            assert inside(container, "cat /proc/self/status | grep -c 'CapEff:\\s*0*$'") == "1"
            assert inside(container, "grep -c 'NoNewPrivs:\\s*1' /proc/self/status") == "1"
            tools = inside(container, "command -v gcc cc make pip git curl || true")
            assert tools == "", f"{service} has {tools}"


def only_the_port_of_the_api_is_published() -> None:
    """And on loopback, as nothing else was asked for."""
    published = {
        (service, inner, address["HostIp"])
        for service in every_service()
        for container in containers(service)
        for inner, addresses in (inspect(container)["NetworkSettings"]["Ports"] or {}).items()
        for address in addresses or ()
    }
    assert published == {("api", "8000/tcp", "127.0.0.1")}, published


def others_reach_neither_database_nor_broker() -> None:
    """Tried by address from a network of its own and from the API's outer one."""
    addresses = {
        (service, network["IPAddress"])
        for service in (*PRIVATE, "api")
        for container in containers(service)
        for network in inspect(container)["NetworkSettings"]["Networks"].values()
    }
    inner = sorted((address, PRIVATE[name]) for name, address in addresses if name in PRIVATE)
    (outside,) = (name for name in networks_of("api") if name not in networks_of("database"))
    assert docker("network", "inspect", "--format", "{{.Internal}}", *networks_of("database")) == (
        "true"
    )
    api = next(
        network["IPAddress"]
        for name, network in inspect(containers("api")[0])["NetworkSettings"]["Networks"].items()
        if name == outside
    )
    for network, expected in ((outside, {(api, 8000)}), ("bridge", set())):
        assert reached_from(network, [*inner, (api, 8000)]) == expected, network


def three_workers_train_the_arms_of_a_race_at_once() -> None:
    compose("up", "--detach", "--no-recreate", "--scale", "worker=3")
    until(lambda: warm_workers() == 3, 180)
    race = submit("/v1/races?fresh=true", RACE)
    until(lambda: len(owners_of_running_runs()) == 3, 120)
    assert finished(race, 600)["state"] == "succeeded"


def stops_and_kills_of_worker_broker_database_and_api_lose_nothing() -> None:
    """A worker is told to stop, and then one of each dies by SIGKILL in the middle of the work. The
    restart policy brings back all but the database, which was PID 1 and is started again."""
    # The one before, of which everybody was left alive.
    undisturbed = outcome_of(finished(submit("/v1/races", RACE), 600))
    jobs = [diagnosed(seed) for seed in range(4)]
    race = submit("/v1/races?fresh=true", RACE)
    until(lambda: len(owners_of_running_runs()) == 3, 120)

    stopped = owners_of_running_runs()[0]
    docker("stop", container_of(stopped))
    state = inspect(container_of(stopped))["State"]
    assert state["ExitCode"] == 0, state
    endings = sql(f"SELECT ending FROM attempts WHERE worker = '{stopped}' AND {of_runs(race)}")
    assert endings in ("released", "succeeded"), endings
    docker("start", container_of(stopped))

    jobs += [diagnosed(seed) for seed in range(4, 6)]
    until(lambda: len(owners_of_running_runs()) > 0, 120)
    crash(container_of(owners_of_running_runs()[-1]))
    jobs += [diagnosed(seed) for seed in range(6, 8)]
    crash(containers("broker")[0])
    jobs += [diagnosed(seed) for seed in range(8, 10)]
    docker("kill", "--signal", "KILL", containers("database")[0])
    compose("start", "database")
    until_ready()
    crash(containers("api")[0])
    until_ready()

    assert outcome_of(finished(race, 900)) == undisturbed
    for job in jobs:
        assert finished(job, 300)["state"] == "succeeded", job
    ids = ", ".join(f"'{job['id']}'" for job in (race, *jobs))
    once = f"job_id IN ({ids}) OR {of_runs(race)}"
    counts = sql(
        "SELECT DISTINCT count(*) FILTER (WHERE ending = 'succeeded') FROM attempts "
        f"WHERE {once} GROUP BY job_id"
    )
    assert counts == "1", f"some job did not succeed exactly once, but: {counts.split()}"
    lost = sql(f"SELECT count(*) FROM attempts WHERE ending = 'lost' AND {of_runs(race)}")
    assert int(lost) >= 1, "the kill met no run"


def data_survives_down_and_up() -> None:
    compose("up", "--detach", "--no-recreate", "--scale", "worker=1")
    uploaded = ask("/v1/datasets?tokenizer=bytes", b"one line of text\n" * 200, "text/plain")
    before = {job["id"]: ask(job["links"]["self"]) for job in ask("/v1/jobs?limit=5")["jobs"]}
    compose("down")
    compose("up", "--detach", "--no-build")
    until_ready()
    for job in before.values():
        assert ask(job["links"]["self"]) == job
    on_upload = DIAGNOSIS | {"data": {"kind": "upload", "id": uploaded["id"]}}
    assert finished(submit("/v1/diagnoses?fresh=true", on_upload), 300)["state"] == "succeeded"


# The service, through its published port


def url() -> str:
    """Where the API is; another port after a restart, where any was to be taken."""
    if "url" not in found:
        found["url"] = "http://" + compose("port", "api", "8000")
    return found["url"]


found: dict[str, str] = {}
"""What takes a while to ask Docker for, until it turns out to be wrong."""


def first_key() -> str:
    return Path("secrets/trimtab_first_key").read_text().strip()


def ask(
    path: str, body: bytes | None = None, content_type: str = "application/json", attempts: int = 60
) -> Any:
    """The answer of the service; asked again while it is away, as a client should."""
    headers = {"authorization": f"Bearer {first_key()}", "content-type": content_type}
    for _ in range(attempts):
        request = urllib.request.Request(url() + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (500, 503):
                said = error.read().decode(errors="replace")
                raise AssertionError(f"{path}: {error.code} {said}") from None
        except (OSError, subprocess.CalledProcessError):
            found.clear()
        time.sleep(1)
    raise AssertionError(f"{path} was not answered")


def submit(path: str, body: dict[str, Any]) -> Any:
    return ask(path, json.dumps(body).encode())


def diagnosed(seed: int) -> Any:
    """A small job, which is not finished yet."""
    return submit("/v1/diagnoses?fresh=true", DIAGNOSIS | {"seed": seed})


def until_ready() -> None:
    until(lambda: status_of("/readyz", key=None) == 200, 180)


def status_of(path: str, *, key: str | None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url() + path, headers=headers), timeout=20
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, subprocess.CalledProcessError):
        found.clear()
        return 0


def finished(job: Any, seconds: float) -> Any:
    def is_finished() -> bool:
        return ask(job["links"]["self"])["state"] not in ("queued", "running")

    until(is_finished, seconds)
    return ask(job["links"]["self"])


def outcome_of(race: Any) -> Any:
    """What must not depend on who was killed: every loss of every run."""
    assert race["state"] == "succeeded", race["problem"]
    return [
        (arm["name"], seed["seed"], seed["outcome"], seed["losses"])
        for arm in race["report"]["arms"]
        for seed in arm["seeds"]
    ]


# The database, as its operator sees it


def sql(query: str) -> str:
    if "database" not in found:
        found["database"] = containers("database")[0]
    return docker("exec", found["database"], "psql", "-U", "trimtab", "-At", "-c", query)


def of_runs(race: Any) -> str:
    """A condition on attempts: that they are at the race's runs."""
    return f"job_id IN (SELECT id FROM jobs WHERE parent_id = '{race['id']}')"


def owners_of_running_runs() -> list[str]:
    """The workers that train a run just now."""
    return sql(
        "SELECT DISTINCT owner FROM jobs WHERE state = 'running' AND parent_id IS NOT NULL "
        "ORDER BY owner"
    ).split()


def warm_workers() -> int:
    """How many have said that their process for jobs is up, since when they take some at once."""
    logs = [
        subprocess.run(["docker", "logs", each], capture_output=True, text=True, check=True)
        for each in containers("worker")
    ]
    return sum(" warm " in log.stdout + log.stderr for log in logs)


# Docker


def docker(*arguments: str) -> str:
    return run("docker", *arguments)


def compose(*arguments: str) -> str:
    return run(*COMPOSE, *arguments)


def run(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{shlex.join(arguments)}\n{done.stdout}{done.stderr}", file=sys.stderr)
        done.check_returncode()
    return done.stdout.strip()


def every_service() -> list[str]:
    return compose("ps", "--services").split()


def containers(service: str) -> list[str]:
    return compose("ps", "-q", service).split()


def inspect(container: str) -> Any:
    return json.loads(docker("inspect", container))[0]


def inside(container: str, command: str) -> str:
    return docker("exec", container, "sh", "-c", command)


def container_of(worker: str) -> str:
    """The worker is named after its host, which is the container."""
    return worker.rpartition("@")[2]


def image_of(service: str) -> str:
    return str(inspect(containers(service)[0])["Image"])


def networks_of(service: str) -> list[str]:
    return list(inspect(containers(service)[0])["NetworkSettings"]["Networks"])


def reached_from(network: str, targets: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of the addresses and ports that a container of this network can connect to."""
    program = f"""
import socket
for target in {targets!r}:
    try:
        socket.create_connection(target, timeout=2).close()
    except OSError:
        continue
    print(*target)
"""
    said = docker(
        *("run", "--rm", "--network", network, "--entrypoint", "python", image_of("api")),
        *("-c", program),
    )
    return {(host, int(port)) for host, port in (line.split() for line in said.splitlines())}


def crash(container: str) -> None:
    """SIGKILL every process of the container; its restart policy must bring it back."""
    begun = inspect(container)["State"]["StartedAt"]
    # From within, as Docker takes its own `kill` for somebody's wish that it be down.
    subprocess.run(["docker", "exec", container, "sh", "-c", "kill -9 -1"], capture_output=True)

    def is_back() -> bool:
        state = inspect(container)["State"]
        return bool(state["Running"] and state["StartedAt"] != begun)

    until(is_back, 60)


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        try:
            if condition():
                return
        except subprocess.CalledProcessError:
            # What is asked may be down just now.
            pass
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
