"""Both clients with a real service, and a real network that breaks."""

import asyncio
import json
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from admin_core.race_report import RaceReport
from admin_core.report import Report
from admin_core.spec import DiagnosisSpec
from app.client import (
    AsyncTrimtab,
    Event,
    Job,
    JobFailedError,
    RefusedError,
    Trimtab,
    UnfinishedError,
    UnreachableError,
)
from app.client.calls import Calls
from tests.app.client.flaky import CUT, busy, flaky
from tests.app.test_races import TINY
from tests.service import EXAMPLES, LONG, SMALL, Service

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
OMEGA_ALONE = SMALL | {"analyses": ["omega"]}


class TestTrimtab:
    def test_a_diagnosis_comes_back_with_its_report(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            job = trimtab.run(DiagnosisSpec.model_validate(SMALL))
            report = job.result()
            assert isinstance(report, Report)
            assert report.verdict is not None
            assert job.outcome == report.verdict.outcome
            assert trimtab.job(job.id) == trimtab.wait(job.id, seconds=0)
            assert trimtab.report_file(job).startswith(b"## ")
            assert len(json.loads(trimtab.omega(job.id))["omegas"]) == 4

    def test_a_race_is_told_by_its_arms_and_compared(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            race = trimtab.run(TINY)
            assert isinstance(race.result(), RaceReport)
            assert len(trimtab.curves(race)["curves"]) == 4
            other = trimtab.run(TINY | {"seeds": 1})
            comparison = trimtab.compare(race.id, other.id)
            assert (comparison.kind, comparison.columns) == ("race", [race.id, other.id])

    def test_an_unfinished_job_is_cancelled(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            job = trimtab.submit(LONG, fresh=True)
            with pytest.raises(UnfinishedError) as unfinished:
                trimtab.wait(job, seconds=0.1)
            assert unfinished.value.job.id == job.id
            trimtab.cancel(job)
            ended = trimtab.wait(job)
            assert ended.state == "cancelled"
            with pytest.raises(JobFailedError, match="cancelled"):
                ended.result()

    def test_the_gate_fails_without_an_error(self, service: Service) -> None:
        bad = json.loads((EXAMPLES / "unstable.json").read_text())
        with Trimtab(service.url) as trimtab:
            assert trimtab.gate(SMALL, max_failure_probability=1.0).passed
            judged = trimtab.gate(bad)
        assert (judged.passed, judged.outcome) == (False, "unstable")
        assert "The verdict is unstable" in judged.detail

    def test_what_is_wrong_with_a_request_is_told_by_field(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            with pytest.raises(RefusedError) as refused:
                trimtab.submit(SMALL | {"seed": "x"})
            assert refused.value.fields.keys() == {"seed"}
            with pytest.raises(RefusedError, match=UNKNOWN):
                trimtab.job(UNKNOWN)

    def test_lists_across_pages_as_many_as_wanted(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            trimtab.run(OMEGA_ALONE, fresh=True)
            newest = trimtab.run(OMEGA_ALONE, fresh=True)
            listed = trimtab.jobs(kind="diagnosis", limit=2)
            assert (len(listed), listed[0].id) == (2, newest.id)
            assert trimtab.presets()[0]["model"]

    def test_a_data_set_comes_and_goes(self, service: Service, tmp_path: Path) -> None:
        file = tmp_path / "words.txt"
        file.write_text("one line\nanother line\n" * 40)
        with Trimtab(service.url) as trimtab:
            dataset = trimtab.upload_dataset(file)
            assert dataset["id"] in [found["id"] for found in trimtab.datasets()]
            trimtab.delete_dataset(dataset["id"])
            with pytest.raises(ValueError, match="should end in one of"):
                trimtab.upload_dataset(tmp_path / "words.pdf")


class TestWhenTheNetworkFails:
    def test_a_busy_service_and_a_broken_connection_are_borne(self, service: Service) -> None:
        with flaky(service.url, busy(503, "0"), CUT, busy(429, "0")) as way:
            with Trimtab(way.url) as trimtab:
                assert trimtab.jobs(limit=1) is not None
            assert len(way.requests) == 4

    def test_a_fresh_job_that_is_asked_for_twice_is_one_job(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            before = {job.id for job in trimtab.jobs(limit=50)}
        # The service hears the first request, but its answer never arrives.
        with flaky(service.url, cut_after="HTTP") as way, Trimtab(way.url) as unlucky:
            unlucky._calls.service.met = True
            job = unlucky.submit(OMEGA_ALONE, fresh=True)
            assert len(way.requests) == 2
        with Trimtab(service.url) as trimtab:
            trimtab.wait(job)
            new = {found.id for found in trimtab.jobs(limit=50)} - before
        assert new == {job.id}

    def test_events_go_on_after_the_last_one_seen(self, service: Service) -> None:
        with Trimtab(service.url) as trimtab:
            race = trimtab.run(TINY)
            whole = list(trimtab.events(race))
        with flaky(service.url, cut_after=r"id: \d+\r?\n\r?\n") as way, Trimtab(way.url) as unlucky:
            told = list(unlucky.events(race))
            assert len(way.requests) == 2
        assert b"last-event-id" in way.requests[1].lower()
        assert points(told) == points(whole)
        assert told[-1] == whole[-1]
        assert (told[-1].job or race).state == "succeeded"

    def test_nobody_there_is_told_at_once(self) -> None:
        with Trimtab("http://127.0.0.1:9") as trimtab, pytest.raises(UnreachableError, match="9"):
            trimtab.jobs()

    @pytest.mark.parametrize("url", ["nowhere", "ftp://a", "http://", "http://a:b"])
    def test_an_address_that_is_none_is_told(self, url: str) -> None:
        with pytest.raises(UnreachableError, match="no address"):
            Trimtab(url)


class TestAsyncTrimtab:
    def test_has_the_same_calls_with_the_same_arguments(self) -> None:
        for name, call in vars(Calls).items():
            if name.startswith("_") or name == "patience":
                continue
            for client in (Trimtab, AsyncTrimtab):
                method = getattr(client, name)
                assert signature(method) == signature(call)
                assert method.__doc__ == call.__doc__

    def test_does_many_things_at_once(self, service: Service) -> None:
        async def work() -> tuple[list[Job], list[Event]]:
            with flaky(service.url, CUT, busy(503, "0")) as way:
                async with AsyncTrimtab(way.url) as trimtab:
                    trimtab._calls.service.met = True
                    specs = [OMEGA_ALONE | {"seed": seed} for seed in (1, 2)]
                    jobs = await asyncio.gather(*(trimtab.run(spec) for spec in specs))
                    race = await trimtab.run(TINY)
                    return list(jobs), [event async for event in trimtab.events(race.id)]

        jobs, events = asyncio.run(work())
        assert [job.json["spec"]["seed"] for job in jobs] == [1, 2]
        assert {job.state for job in jobs} == {"succeeded"}
        assert events[-1].name == "race"

    def test_uploads_piece_by_piece(self, service: Service, tmp_path: Path) -> None:
        file = tmp_path / "words.txt"
        file.write_text("a line of some words\n" * 5_000)

        async def work() -> dict[str, Any]:
            async with AsyncTrimtab(service.url) as trimtab:
                dataset = await trimtab.upload_dataset(file)
                await trimtab.delete_dataset(dataset["id"])
                return dataset

        assert asyncio.run(work())["facts"]["lines"] == 5_000


class TestConnection:
    def test_is_of_the_arguments_then_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def headers(trimtab: Trimtab) -> Any:
            return trimtab._http.headers.get("authorization")

        monkeypatch.delenv("TRIMTAB_KEY", raising=False)
        monkeypatch.delenv("TRIMTAB_URL", raising=False)
        assert (Trimtab().url, headers(Trimtab())) == ("http://127.0.0.1:8000", None)
        monkeypatch.setenv("TRIMTAB_KEY", "tt_environment")
        monkeypatch.setenv("TRIMTAB_URL", "https://trimtab.example/")
        assert Trimtab().url == "https://trimtab.example"
        assert headers(Trimtab()) == "Bearer tt_environment"
        assert headers(Trimtab("http://a", key="tt_argument")) == "Bearer tt_argument"

    def test_loads_neither_torch_nor_a_server(self) -> None:
        heavy = {"torch", "transformers", "fastapi", "sqlalchemy", "celery", "typer"}
        program = f"import app.client, sys; print(*{heavy!r} & set(sys.modules))"
        command = [sys.executable, "-c", program]
        assert subprocess.check_output(command, text=True).split() == []


def points(events: list[Event]) -> list[Any]:
    return [(event.id, event.data) for event in events if event.name == "points"]
