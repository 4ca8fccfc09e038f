"""The CI recipes: what their jobs run, run here against a real service."""

import http.server
import os
import shutil
import subprocess
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.service import EXAMPLES, Service

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two models of which one fails, and with the gate's script."""
    for folder in ("models", "ci", "bin", "runner"):
        (tmp_path / folder).mkdir()
    for name in ("stable", "unstable"):
        shutil.copy(EXAMPLES / f"{name}.json", tmp_path / "models")
    shutil.copy(EXAMPLES / "ci-check.sh", tmp_path / "ci")
    return tmp_path


def recipe(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "ci" / name).read_text())
    return found


def run(
    script: str, checkout: Path, shell: tuple[str, ...], **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, "-c", script],
        cwd=checkout,
        env=os.environ | {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}"} | variables,
        capture_output=True,
        text=True,
        timeout=250,
    )


class TestGitHubActions:
    BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
    """As GitHub starts it."""

    @pytest.fixture
    def steps(self) -> dict[str, str]:
        (job,) = recipe("github-actions.yml")["jobs"].values()
        return {step["name"]: step["run"] for step in job["steps"] if "run" in step}

    def test_asks_about_every_model_and_annotates_the_pull_request(
        self, service: Service, checkout: Path, steps: dict[str, str]
    ) -> None:
        asked = run(
            steps["Ask for verdicts"],
            checkout,
            self.BASH,
            TRIMTAB_URL=service.url,
            RUNNER_TEMP=str(checkout / "runner"),
        )
        assert asked.returncode == 1, asked.stderr
        assert "::error file=models/unstable.json::unstable does not pass" in asked.stdout
        assert "stable passes.\n" in asked.stdout
        assert "The verdict is unstable." in asked.stdout

        # The program that would send the comment writes down what it was told.
        gh = checkout / "bin" / "gh"
        gh.write_text('#!/bin/sh\necho "$@" >gh.txt\n')
        gh.chmod(0o755)
        annotated = run(
            steps["Annotate the pull request"],
            checkout,
            self.BASH,
            PULL_REQUEST="7",
            GITHUB_STEP_SUMMARY=str(checkout / "summary.md"),
        )
        assert annotated.returncode == 0, annotated.stderr
        assert (checkout / "gh.txt").read_text().startswith("pr comment 7 --body-file comment.md")
        comment = (checkout / "comment.md").read_text()
        assert comment == (checkout / "summary.md").read_text()
        headings = [line for line in comment.splitlines() if line.startswith("## ")]
        assert [heading.rpartition(" ")[2] for heading in headings] == ["stable", "unstable"]

    def test_every_script_is_one_that_bash_can_read(self, steps: dict[str, str]) -> None:
        for script in steps.values():
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)


class TestGitLab:
    SH = ("sh", "-e")
    """Of the image, which has bash for the gate's script alone."""

    @pytest.fixture
    def job(self) -> dict[str, Any]:
        (job,) = recipe("gitlab-ci.yml").values()
        assert isinstance(job, dict)
        return job

    @pytest.fixture
    def gitlab(self) -> Iterator[http.server.HTTPServer]:
        """Takes notes, in `notes`."""

        class Notes(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                notes.append((self.path, self.headers["private-token"], body))
                self.send_response(201)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        notes: list[tuple[str, str, str]] = []
        with http.server.HTTPServer(("127.0.0.1", 0), Notes) as server:
            server.notes = notes  # type: ignore[attr-defined]
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    def test_asks_leaves_junit_and_annotates_the_merge_request(
        self,
        service: Service,
        checkout: Path,
        job: dict[str, Any],
        gitlab: http.server.HTTPServer,
    ) -> None:
        asked = run("\n".join(job["script"]), checkout, self.SH, TRIMTAB_URL=service.url)
        assert asked.returncode == 1, asked.stderr
        junit = sorted(checkout.glob(job["artifacts"]["reports"]["junit"]))
        failures = [int(ET.parse(file).getroot().attrib["failures"]) for file in junit]
        assert [file.parent.name for file in junit] == ["stable", "unstable"]
        assert failures[0] == 0
        assert failures[1] >= 1

        noted = run(
            "\n".join(job["after_script"]),
            checkout,
            self.SH,
            TRIMTAB_NOTES_TOKEN="a token",
            CI_API_V4_URL=f"http://127.0.0.1:{gitlab.server_port}/api/v4",
            CI_PROJECT_ID="3",
            CI_MERGE_REQUEST_IID="7",
        )
        assert noted.returncode == 0, noted.stderr
        ((path, token, body),) = gitlab.notes  # type: ignore[attr-defined]
        assert path == "/api/v4/projects/3/merge_requests/7/notes"
        assert token == "a token"
        text = urllib.parse.parse_qs(body)["body"][0]
        assert text == "".join(
            (checkout / "trimtab" / name / "report.md").read_text()
            for name in ("stable", "unstable")
        )
