import json
import subprocess
from pathlib import Path

import pytest

from admin_core.race_report import RaceReport
from admin_core.report import Report
from tests.admin_core.reports import diagnosis, raced
from tests.app.test_races import TINY
from tests.service import EXAMPLES, SMALL, TRIMTAB, Service, environment


def trimtab(
    *words: str | Path, home: Path, stdin: str | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRIMTAB, *words],
        env=environment(home) | settings,
        input=stdin,
        capture_output=True,
        text=True,
    )


class TestDiagnose:
    def test_prints_exactly_the_report_as_json(self, home: Path) -> None:
        run = trimtab("diagnose", "-", "--json", home=home, stdin=json.dumps(SMALL))
        assert run.returncode == 0
        assert len(Report.model_validate_json(run.stdout).branches) == 4

    def test_prints_a_report_for_people_and_exits_1_for_an_unstable_model(self, home: Path) -> None:
        run = trimtab("diagnose", EXAMPLES / "unstable.json", home=home)
        assert run.returncode == 1
        assert run.stdout.startswith("unstable")
        for expected in ("Over ", "omega", "slope", "O(N)"):
            assert expected in run.stdout

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "cannot be read as JSON"),
            ("{}", '{"model": {"kind": "transformer", ...}}'),
            (json.dumps(SMALL["model"]), '{"model": {"kind": "transformer", ...}}'),
            (json.dumps(SMALL | {"seed": "x"}), "seed: "),
            (json.dumps(SMALL | {"training": {"batch_size": 10**6}}), "TRIMTAB_MAX_TOKENS"),
        ],
    )
    def test_exits_2_for_bad_input_and_says_what_was_expected(
        self, home: Path, content: str, message: str
    ) -> None:
        run = trimtab("diagnose", "-", home=home, stdin=content)
        assert run.returncode == 2
        assert message in run.stderr

    def test_exits_2_for_a_file_that_is_not_there(self, home: Path) -> None:
        run = trimtab("diagnose", "nowhere.json", home=home)
        assert run.returncode == 2
        assert "nowhere.json" in run.stderr

    def test_exits_2_for_a_wrong_setting(self, home: Path) -> None:
        run = trimtab("diagnose", "-", home=home, stdin=json.dumps(SMALL), TRIMTAB_DEVICE="tpu")
        assert run.returncode == 2
        assert "TRIMTAB_DEVICE" in run.stderr


class TestRace:
    def test_prints_exactly_the_report_as_json(self, home: Path) -> None:
        run = trimtab("race", "-", "--json", home=home, stdin=json.dumps(TINY))
        assert run.returncode == 0, run.stderr
        report = RaceReport.model_validate_json(run.stdout)
        assert [arm.name for arm in report.arms] == ["post_ln", "admin"]

    def test_prints_a_table_and_a_conclusion_for_people(self, home: Path) -> None:
        run = trimtab("race", "-", home=home, stdin=json.dumps(TINY), COLUMNS="120")
        assert run.returncode == 0, run.stderr
        for expected in ("post_ln", "admin", "stalled", "unigram loss", "final loss"):
            assert expected in run.stdout

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{}", '"arms": ["post_ln", "admin"]'),
            (
                json.dumps(TINY | {"arms": [{"name": "a", "patch": {"model": {"widht": 1}}}]}),
                "arms.0.patch.model.widht: ",
            ),
            (json.dumps(TINY | {"seeds": 501}), "TRIMTAB_MAX_RACE_RUNS"),
            (json.dumps(TINY | {"budget_seconds": 1e-6}), "48 training steps"),
        ],
    )
    def test_exits_2_for_bad_input_and_says_what_was_expected(
        self, home: Path, content: str, message: str
    ) -> None:
        run = trimtab("race", "-", home=home, stdin=content)
        assert run.returncode == 2
        assert message in run.stderr


def test_help_lists_the_commands(home: Path) -> None:
    run = trimtab("--help", home=home)
    assert run.returncode == 0
    commands = ("serve", "diagnose", "race", "gate", "verify", "report", "datasets")
    assert all(command in run.stdout for command in commands)


def test_an_unknown_command_is_wrong_use(home: Path) -> None:
    assert trimtab("fly", home=home).returncode == 2


class TestReport:
    @pytest.fixture(scope="class")
    @staticmethod
    def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """What `trimtab diagnose --json` printed."""
        file = tmp_path_factory.mktemp("report") / "report.json"
        file.write_text(diagnosis().model_dump_json())
        return file

    @pytest.mark.parametrize(
        ("file_format", "beginning"),
        [("html", "<!doctype html>"), ("md", "## "), ("json", "{"), ("junit", "<?xml ")],
    )
    def test_makes_a_file_of_a_report(
        self, home: Path, diagnosed: Path, file_format: str, beginning: str
    ) -> None:
        output = home / "out"
        run = trimtab(
            *("report", str(diagnosed), "--format", file_format, "-o", str(output)), home=home
        )
        assert run.returncode == 0, run.stderr
        assert output.read_text().startswith(beginning)
        assert run.stdout == ""

    def test_reads_a_job_from_standard_input(self, home: Path) -> None:
        job = {"kind": "race", "id": "7", "spec": {"arms": 2}, "report": raced().model_dump()}
        stdin = json.dumps(job, default=str)
        run = trimtab("report", "-", home=home, stdin=stdin)
        assert run.stdout.startswith("## Trimtab race 7\n"), run.stderr
        run = trimtab("report", "-", "--format", "junit", home=home, stdin=stdin)
        assert run.returncode == 2
        assert "no JUnit XML" in run.stderr

    def test_fetches_the_report_of_a_job(self, home: Path, service: Service) -> None:
        job = service.diagnose(SMALL)
        run = trimtab("report", job["id"], "--url", service.url, home=home)
        assert run.returncode == 0, run.stderr
        assert run.stdout == service.http.get(job["links"]["report_markdown"]).text
        race = service.http.post("/v1/races", params={"wait": 60}, json=TINY).json()
        run = trimtab("report", race["id"], "--format", "json", "--url", service.url, home=home)
        assert RaceReport.model_validate_json(run.stdout)
        unknown = "01a00000-0000-7000-8000-000000000000"
        run = trimtab("report", unknown, "--url", service.url, home=home)
        assert run.returncode == 2
        assert f"There is no job {unknown}" in run.stderr

    @pytest.mark.parametrize("content", ["{", "[]", '{"branches": 1}', '{"arms": []}'])
    def test_exits_2_for_what_is_no_report(self, home: Path, content: str) -> None:
        run = trimtab("report", "-", home=home, stdin=content)
        assert run.returncode == 2
        assert "Traceback" not in run.stderr
