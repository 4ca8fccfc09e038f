"""`trimtab submit`, `wait`, `watch`, `cancel`, `list` and `compare`, with a real service. Commands
run in this process, which is much quicker than a process for each."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from admin_core.comparison import Comparison
from app.cli import app
from tests.app.test_races import TINY
from tests.service import EXAMPLES, LONG, SMALL, TRIMTAB, Service, until

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
UNSTABLE = (EXAMPLES / "unstable.json").read_text()


@pytest.fixture(autouse=True)
def found_by_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_URL", service.url)
    monkeypatch.setenv("COLUMNS", "200")


def trimtab(*words: str, stdin: Any = None) -> Result:
    text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
    return CliRunner().invoke(app, words, input=text)


def submitted(spec: Any) -> str:
    run = trimtab("submit", "-", stdin=spec)
    assert run.exit_code == 0, run.stderr
    return run.stdout.strip()


class TestSubmitAndWait:
    def test_prints_the_id_alone_and_then_the_report(self, service: Service) -> None:
        job_id = submitted(SMALL)
        run = trimtab("wait", job_id)
        job = service.job(job_id)
        assert run.exit_code == (1 if job["outcome"] == "unstable" else 0)
        assert run.stdout.startswith(job["outcome"].replace("_", " "))
        assert run.stderr == ""

    def test_an_unstable_model_exits_1_with_the_job_as_json(self, service: Service) -> None:
        job_id = submitted(UNSTABLE)
        run = trimtab("wait", job_id, "--json")
        assert run.exit_code == 1
        assert json.loads(run.stdout) == service.job(job_id)

    def test_a_race_is_submitted_by_its_arms(self) -> None:
        run = trimtab("submit", "-", "--json", stdin=TINY)
        job = json.loads(run.stdout)
        assert job["kind"] == "race"
        assert f"/v1/races/{job['id']}" in run.stderr
        waited = trimtab("wait", job["id"])
        assert waited.exit_code == 0
        assert "unigram loss" in waited.stdout

    @pytest.mark.parametrize(
        ("stdin", "message"),
        [
            ("{", "cannot be read as JSON"),
            ("[]", "a JSON object was expected"),
            (SMALL | {"seed": "x"}, "seed: "),
            (TINY | {"seeds": 501}, "TRIMTAB_MAX_RACE_RUNS"),
        ],
    )
    def test_bad_input_exits_2(self, stdin: Any, message: str) -> None:
        run = trimtab("submit", "-", stdin=stdin)
        assert (run.exit_code, run.stdout) == (2, "")
        assert message in run.stderr


class TestWatch:
    def test_prints_what_came_of_a_race(self) -> None:
        job_id = submitted(TINY)
        run = trimtab("watch", job_id)
        assert run.exit_code == 0
        for expected in ("post_ln", "admin", "final loss"):
            assert expected in run.stdout
        # Not a terminal, and so nothing that moves.
        assert run.stderr == ""

    def test_as_json_is_the_events_line_by_line(self) -> None:
        job_id = submitted(TINY)
        run = trimtab("watch", job_id, "--json")
        told = [json.loads(line) for line in run.stdout.splitlines()]
        assert {event["event"] for event in told} == {"progress", "points", "race"}
        assert told[-1]["data"]["id"] == job_id

    def test_of_a_diagnosis_exits_as_its_verdict_says(self) -> None:
        run = trimtab("watch", submitted(UNSTABLE), "--json")
        assert run.exit_code == 1
        last = json.loads(run.stdout.splitlines()[-1])
        assert (last["event"], last["data"]["outcome"]) == ("diagnosis", "unstable")


class TestCancel:
    def test_of_what_is_cancelled_there_is_nothing_to_show(self, service: Service) -> None:
        job_id = submitted(LONG)
        run = trimtab("cancel", job_id)
        assert run.exit_code == 0
        assert run.stdout.startswith(job_id)
        until(lambda: service.job(job_id)["state"] == "cancelled")
        run = trimtab("wait", job_id)
        assert (run.exit_code, run.stdout) == (3, "")
        assert "cancelled" in run.stderr
        run = trimtab("list", "--state", "cancelled", "--limit", "1", "--json")
        assert [listed["id"] for listed in json.loads(run.stdout)] == [job_id]

    def test_an_unknown_job_exits_2(self) -> None:
        for command in ("cancel", "wait", "watch", "report"):
            run = trimtab(command, UNKNOWN)
            assert run.exit_code == 2
            assert UNKNOWN in run.stderr


class TestCompare:
    @pytest.fixture(scope="class")
    @staticmethod
    def pair(service: Service) -> tuple[str, str]:
        """Ids of a diagnosis in Post-LN and in Admin."""
        ids = [
            service.diagnose(SMALL | {"model": SMALL["model"] | {"scheme": scheme}})["id"]
            for scheme in ("post_ln", "admin")
        ]
        return ids[0], ids[1]

    def test_prints_two_diagnoses_side_by_side(self, pair: tuple[str, str]) -> None:
        run = trimtab("compare", *pair)
        assert run.exit_code == 0
        lines = {line.strip("│ ").split("│")[0].strip(): line for line in run.stdout.splitlines()}
        assert "post_ln" in lines["model.scheme"]
        assert "admin" in lines["model.scheme"]
        assert {"outcome", "slope", "omega, last"} <= lines.keys()

    def test_as_json_is_the_comparison_and_differences_alone_are_fewer(
        self, pair: tuple[str, str]
    ) -> None:
        whole = Comparison.model_validate_json(trimtab("compare", *pair, "--json").stdout)
        assert whole.columns == list(pair)
        run = trimtab("compare", *pair, "--json", "--differences")
        rows = Comparison.model_validate_json(run.stdout).rows
        assert rows == [row for row in whole.rows if row.differs]
        assert len(rows) < len(whole.rows)

    def test_takes_files_beside_jobs(
        self, service: Service, pair: tuple[str, str], tmp_path: Path
    ) -> None:
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(service.job(pair[0])["report"]))
        run = trimtab("compare", str(file), pair[1], "--json")
        assert Comparison.model_validate_json(run.stdout).columns == ["mine", pair[1]]

    def test_one_job_or_jobs_of_two_kinds_exit_2(self, pair: tuple[str, str]) -> None:
        assert trimtab("compare", pair[0]).exit_code == 2
        race = submitted(TINY)
        trimtab("wait", race)
        run = trimtab("compare", pair[0], race)
        assert run.exit_code == 2
        assert "races with races" in run.stderr


def test_a_service_that_is_not_there_exits_3() -> None:
    for words in (("list",), ("submit", str(EXAMPLES / "unstable.json")), ("wait", UNKNOWN)):
        run = trimtab(*words, "--url", "http://127.0.0.1:9")
        assert (run.exit_code, run.stdout) == (3, "")
        assert "trimtab serve" in run.stderr


def test_every_command_that_prints_a_result_prints_it_as_json() -> None:
    def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from commands(command, f"{path}{name} ")
            else:
                yield f"{path}{name}", command

    without = {
        name
        for name, command in commands(get_command(app))
        if not any("--json" in option.opts for option in command.params)
    }
    assert without == {"migrate", "datasets delete", "keys revoke"}


@pytest.mark.parametrize(("typed", "offered"), [("wa", {"wait", "watch"}), ("keys cr", {"create"})])
def test_a_shell_completes_commands(typed: str, offered: set[str]) -> None:
    words = f"trimtab {typed}"
    environment = os.environ | {
        "_TRIMTAB_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    found = subprocess.check_output([TRIMTAB], env=environment, text=True)
    assert set(found.split()) == offered
