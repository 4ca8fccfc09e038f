import json
import subprocess
from pathlib import Path

import pytest

from admin_core.race_report import RaceReport
from admin_core.report import Report
from tests.app.test_races import TINY
from tests.service import EXAMPLES, SMALL, TRIMTAB, environment


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
    assert all(command in run.stdout for command in ("serve", "diagnose", "race", "gate", "verify"))


def test_an_unknown_command_is_wrong_use(home: Path) -> None:
    assert trimtab("fly", home=home).returncode == 2
