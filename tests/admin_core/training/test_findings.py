from admin_core.training import findings
from admin_core.training.findings import Findings
from admin_core.training.watch_rules import Violation


def large(path: str, measured: float | None = 20.0, rule: str = "weight_update_ratio") -> Violation:
    return Violation(rule, path, measured, 10.0, "ratio > 10")


def test_a_rule_that_keeps_firing_is_one_finding_with_its_worst_value() -> None:
    log = Findings()
    for step, measured in ((50, 20.0), (100, 40.0), (150, 30.0)):
        log.add("look", step, [large("a", measured)])
    (found,) = log.found
    assert (found.first_step, found.last_step, found.count) == (50, 150, 3)
    assert found.measured == 40.0


def test_after_a_pause_it_is_a_new_finding() -> None:
    log = Findings()
    for step, fired in ((50, True), (100, False), (150, True)):
        log.add("look", step, [large("a")] if fired else [])
    assert [found.first_step for found in log.found] == [50, 150]


def test_no_path_and_no_rule_hides_another() -> None:
    log = Findings()
    log.add("look", 50, [large("a"), large("b"), large("a", rule="vanishing_gradient")])
    log.add("look", 100, [large("b")])
    assert [(found.path, found.count) for found in log.found] == [("a", 1), ("b", 2), ("a", 1)]


def test_steps_between_looks_do_not_end_what_a_look_found() -> None:
    log = Findings()
    log.add("look", 50, [large("a")])
    log.add("loss", 51, [])
    log.add("look", 100, [large("a")])
    assert len(log.found) == 1


def test_worse_means_smaller_where_a_value_is_too_small() -> None:
    log = Findings()
    for step, measured in ((50, 1e-9), (100, 1e-12), (150, 1e-10)):
        violation = Violation("vanishing_gradient", "a", measured, 1e-7, "norm < 1e-7", below=True)
        log.add("look", step, [violation])
    assert log.found[0].measured == 1e-12


def test_beyond_what_is_kept_findings_are_counted() -> None:
    log = Findings()
    for step in range(findings.MAX_FINDINGS + 5):
        log.add("loss", step, [large(f"path {step}")])
    assert len(log.found) == findings.MAX_FINDINGS
    assert log.left_out == 5


def test_a_restored_log_goes_on_with_what_was_open() -> None:
    log, other = Findings(), Findings()
    log.add("look", 50, [large("a"), large("b", None)])
    other.restore(log.state())
    for each in (log, other):
        each.add("look", 100, [large("a")])
    assert other.found == log.found
