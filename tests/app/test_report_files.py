"""Report files and figures through the front door."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from admin_core.race_report import RaceReport
from admin_core.report import Report
from tests.admin_core.reports import HOSTILE
from tests.service import LONG, SMALL, Service, children, command, until

RACE: dict[str, Any] = {
    "model": {"architecture": "decoder_only", "decoder_layers": 2, "d_model": 16, "num_heads": 2},
    "training": {"steps": 12, "warmup_steps": 2, "batch_size": 2, "sequence_length": 8},
    "arms": ["post_ln", {"name": HOSTILE}],
    "seeds": 1,
    "monitoring": {"every": 4},
    "validation": {"batches": 1},
}

UNSTABLE = SMALL | {
    "model": SMALL["model"] | {"encoder_layers": 24, "scheme": "post_ln"},
}


@pytest.fixture(scope="module")
def diagnosed(service: Service) -> str:
    """Address of a finished diagnosis."""
    return str(service.diagnose(SMALL)["links"]["self"])


@pytest.fixture(scope="module")
def raced(service: Service) -> str:
    """Address of a finished race, an arm of which has a hostile name."""
    answer = service.http.post("/v1/races", params={"wait": 60}, json=RACE)
    assert answer.json()["state"] == "succeeded", answer.text
    return str(answer.json()["links"]["self"])


class TestReports:
    def test_html_says_the_verdict_and_may_load_nothing(
        self, service: Service, diagnosed: str
    ) -> None:
        found = service.http.get(f"{diagnosed}/report.html")
        assert found.status_code == 200, found.text
        assert found.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.text.count("<svg") == 6
        assert '<p class="verdict ' in found.text

    def test_a_second_look_is_not_drawn_again(self, service: Service, raced: str) -> None:
        first = service.http.get(f"{raced}/report.html")
        again = service.http.get(f"{raced}/report.html")
        assert again.content == first.content
        assert again.elapsed < first.elapsed / 2
        known = {"If-None-Match": first.headers["etag"]}
        assert service.http.get(f"{raced}/report.html", headers=known).status_code == 304

    def test_markdown_and_json_are_of_the_same_report(
        self, service: Service, diagnosed: str
    ) -> None:
        report = service.http.get(diagnosed).json()["report"]
        found = service.http.get(f"{diagnosed}/report.json")
        assert Report.model_validate_json(found.content) == Report.model_validate(report)
        markdown = service.http.get(f"{diagnosed}/report.md")
        assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
        outcome = report["verdict"]["outcome"].replace("_", " ")
        assert markdown.text.splitlines()[0].endswith(outcome)

    def test_a_race_has_the_three_too(self, service: Service, raced: str) -> None:
        assert service.http.get(f"{raced}/report.md").text.startswith("## Trimtab race ")
        RaceReport.model_validate_json(service.http.get(f"{raced}/report.json").content)
        page = service.http.get(f"{raced}/report.html").text
        assert page.count("<svg") == 3
        assert "<img" not in page

    def test_names_are_safe_to_save_under(self, service: Service, diagnosed: str) -> None:
        found = service.http.get(f"{diagnosed}/report.md").headers["content-disposition"]
        assert found == f'inline; filename="trimtab-diagnosis-{diagnosed.rpartition("/")[2]}.md"'

    def test_the_links_lead_there(self, service: Service, diagnosed: str, raced: str) -> None:
        for path in (diagnosed, raced):
            links = service.http.get(path).json()["links"]
            for name in {"report", "report_markdown", "report_json", "junit"} & links.keys():
                assert service.http.get(links[name]).status_code == 200, name


class TestJUnit:
    def test_has_a_test_case_for_each_rule(self, service: Service, diagnosed: str) -> None:
        found = service.http.get(f"{diagnosed}/junit.xml")
        assert found.headers["content-type"] == "application/xml"
        suite = ET.fromstring(found.content).find("testsuite")
        assert suite is not None
        assert {"amplification", "update", "DeadRelu"} <= {case.attrib["name"] for case in suite}

    def test_an_unstable_model_fails(self, service: Service) -> None:
        job = service.diagnose(UNSTABLE)
        assert job["outcome"] == "unstable"
        found = service.http.get(job["links"]["junit"]).text
        assert '<failure type="unstable"' in found

    def test_a_race_has_none(self, service: Service, raced: str) -> None:
        assert service.http.get(f"{raced}/junit.xml").status_code == 404


class TestFigures:
    @pytest.mark.parametrize(
        "name",
        ["branches", "omega", "amplification", "dependency", "gradients", "attention_logits"],
    )
    def test_a_diagnosis_has_each_as_svg(self, service: Service, diagnosed: str, name: str) -> None:
        found = service.http.get(f"{diagnosed}/figures/{name}.svg")
        assert found.status_code == 200, found.text
        assert found.headers["content-type"] == "image/svg+xml; charset=utf-8"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        ET.fromstring(found.content)

    def test_a_hostile_name_is_text(self, service: Service, raced: str) -> None:
        for name in ("curves", "outcomes", "gradient_norms"):
            root = ET.fromstring(service.http.get(f"{raced}/figures/{name}.svg").content)
            assert not [element for element in root.iter() if element.tag.endswith("img")]

    def test_dark_is_another_picture(self, service: Service, raced: str) -> None:
        light, dark = (
            service.http.get(f"{raced}/figures/curves.svg", params={"theme": theme})
            for theme in ("light", "dark")
        )
        assert light.headers["etag"] != dark.headers["etag"]
        assert light.content != dark.content

    def test_png_and_vega_lite(self, service: Service, raced: str) -> None:
        found = service.http.get(f"{raced}/figures/outcomes.png")
        assert found.headers["content-type"] == "image/png"
        assert found.content.startswith(b"\x89PNG")
        spec = service.http.get(f"{raced}/figures/outcomes.json").json()
        assert "vega-lite" in spec["$schema"]

    def test_an_unknown_name_is_not_found_and_the_known_ones_are_named(
        self, service: Service, diagnosed: str
    ) -> None:
        found = service.http.get(f"{diagnosed}/figures/curves.svg")
        assert found.status_code == 404
        assert "branches, omega" in found.json()["detail"]

    def test_what_was_not_measured_is_not_found(self, service: Service) -> None:
        job = service.diagnose(SMALL | {"analyses": ["omega"]})
        found = service.http.get(f"{job['links']['self']}/figures/gradients.svg")
        assert found.status_code == 404
        assert "not measured; it has branches, omega." in found.json()["detail"]

    def test_an_unknown_format_names_the_known_ones(self, service: Service, diagnosed: str) -> None:
        found = service.http.get(f"{diagnosed}/figures/omega.pdf")
        assert found.status_code == 422
        assert "'svg', 'png' or 'json'" in found.json()["errors"][0]["message"]


class TestUnfinished:
    def test_says_to_ask_again(self, service: Service) -> None:
        job_id = service.submit(LONG)
        for what in ("report.html", "junit.xml", "figures/omega.svg"):
            found = service.http.get(f"/v1/diagnoses/{job_id}/{what}")
            assert found.status_code == 503
            assert found.headers["retry-after"] == "1"
            assert found.json()["links"] == {"diagnosis": f"/v1/diagnoses/{job_id}"}
        service.http.delete(f"/v1/diagnoses/{job_id}")
        until(lambda: service.job(job_id)["state"] == "cancelled")
        found = service.http.get(f"/v1/diagnoses/{job_id}/report.md")
        assert found.status_code == 424
        assert found.json()["type"] == "urn:trimtab:problem:no-report"

    def test_an_unknown_job_is_not_found(self, service: Service, diagnosed: str) -> None:
        assert service.http.get("/v1/diagnoses/no-such-job/report.html").status_code == 404
        as_race = diagnosed.replace("diagnoses", "races")
        assert service.http.get(f"{as_race}/report.html").status_code == 404


def test_drawing_leaves_no_process_behind(service: Service, diagnosed: str) -> None:
    assert service.http.get(f"{diagnosed}/figures/branches.png").status_code == 200
    mine = children(service.process.pid)
    assert [pid for pid in mine if "report_files" in command(pid)] == []
