"""The measured part of docs/verdict.md.

    python -m bench.prediction.report    # seconds; from the files that the other commands left

Everything between the two marks of the page is written anew, and the reliability diagram.
"""

import operator
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from admin_core.report import Outcome
from admin_core.training.outcomes import STALLED_SHARE
from admin_core.verdict.failure_model import failure_model
from admin_core.verdict.reasons import outcome_of
from bench.figures.look import svg
from bench.figures.reliability import chart
from bench.prediction.cost import COSTS
from bench.prediction.edges import FOUND
from bench.prediction.families import is_tested
from bench.prediction.measures import auroc, expected_calibration_error, reliability
from bench.prediction.outcomes import stored
from bench.prediction.prescriptions import TRIED
from bench.prediction.rows import Row, rows
from bench.prediction.verdicts import probability

PAGE = Path(__file__).parents[2] / "docs" / "verdict.md"
DIAGRAM = PAGE.parent / "figures" / "verdict-reliability.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

PATIENTS = 30
"""Configurations that the target for prescriptions speaks of."""

Score = Callable[[Row], float]
BASELINES: dict[str, Score] = {
    "learning rate alone": lambda row: row.spec["training"]["learning_rate"],
    "depth alone": lambda row: row.features["depth"][0],
    "gradient decay after the probe alone": lambda row: row.features["gradient_decay"][0],
    "token similarity after the probe alone": lambda row: row.features["token_similarity"][0],
    "loss after the probe alone": lambda row: row.features["loss_late"][0],
    "fall of the loss in the probe alone": lambda row: -row.features["loss_fall"][0],
    "gain from context after the probe alone": lambda row: -row.features["context_gain"][0],
    "fit of places to their answers after the probe alone": lambda row: (
        -row.features["alignment"][0]
    ),
    "output change under one step at the peak learning rate": lambda row: row.update,
    "growth of the output change over depth": lambda row: row.growth,
}


def table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)])


def number(x: float | None, digits: int = 3) -> str:
    return "–" if x is None else f"{x:.{digits}f}"


def ranking(tested: Sequence[Row]) -> str:
    failed = [row.failed for row in tested]
    scores: dict[str, Score] = {"**the verdict's probability**": probability, **BASELINES}
    return table(
        ["ranked by", "AUROC"],
        [
            [name, number(auroc([score(row) for row in tested], failed))]
            for name, score in scores.items()
        ],
    )


def ceiling(tested: Sequence[Row]) -> str:
    """How well a second run with another seed ranks the first ones' failures."""
    twice = [row for row in tested if row.final_share_again is not None]
    if not twice:
        return "No configuration has been run again yet."
    shares = [row.final_share_again or 0.0 for row in twice]
    failed = [row.failed for row in twice]
    again = [share >= STALLED_SHARE for share in shares]
    alike = sum(one is other for one, other in zip(failed, again, strict=True))
    ours = auroc([probability(row) for row in twice], failed)
    same = f"{alike} ({100 * alike / len(twice):.0f} %)"
    return (
        f"Of {len(twice)} test configurations that were run a second time with another seed, "
        f"{same} had the same fate. The second run's final loss ranks the failures of the first "
        f"with an AUROC of {number(auroc(shares, failed))}, the verdict, before any training, with "
        f"{number(ours)}."
    )


def by_family(tested: Sequence[Row]) -> str:
    families = defaultdict(list)
    for row in tested:
        families[row.family].append(row)
    body = []
    for family, own in sorted(families.items()):
        failed = [row.failed for row in own]
        called_stable = sum(
            row.failed and outcome_of(probability(row)) is Outcome.STABLE for row in own
        )
        body.append(
            [
                family,
                "first" if own[0].split == "test" else "second",
                str(len(own)),
                str(sum(failed)),
                number(auroc([probability(row) for row in own], failed), 2),
                str(called_stable),
            ]
        )
    header = ["test family", "test", "runs", "failed", "AUROC within", "failed, but called stable"]
    return table(header, body)


def confusion(tested: Sequence[Row]) -> str:
    def scheme(row: Row) -> str:
        model = row.spec["model"]
        if model["kind"] == "huggingface":
            return str(model["config"]["model_type"])
        return model["scheme"] if isinstance(model["scheme"], str) else "hybrid"

    body = []
    for name in sorted({scheme(row) for row in tested}):
        own = [row for row in tested if scheme(row) == name]
        cells = [name]
        for failed in (False, True):
            for outcome in Outcome:
                cells.append(
                    str(
                        sum(
                            row.failed is failed and outcome_of(probability(row)) is outcome
                            for row in own
                        )
                    )
                )
        body.append(cells)
    return table(
        [
            "scheme",
            *(f"trained, {outcome.value}" for outcome in Outcome),
            *(f"failed, {outcome.value}" for outcome in Outcome),
        ],
        body,
    )


def bins_of(tested: Sequence[Row]) -> list[tuple[int, float, float]]:
    """Runs, mean probability and share of failures of each tenth of the probabilities."""
    return reliability([probability(row) for row in tested], [row.failed for row in tested])


def calibration(tested: Sequence[Row]) -> str:
    rows_of_bins = table(
        ["runs", "mean probability", "share that failed"],
        [[str(n), number(p, 2), number(share, 2)] for n, p, share in bins_of(tested)],
    )
    return f"![Reliability diagram](figures/{DIAGRAM.name})\n\n{rows_of_bins}"


def summary(every: Sequence[Row]) -> str:
    """The figures of each test, and of both together."""
    tests = {
        "first test": [row for row in every if row.split == "test"],
        "second test": [row for row in every if row.split == "second test"],
        "both": [row for row in every if row.split != "calibration"],
    }
    costs = [cost["probe_seconds"] / cost["run_seconds"] for cost in stored(COSTS)]
    columns = [quality(tested) for tested in tests.values()]
    targets = ["", "at least 0.985", "at least 0.95", "at most 0.04", "at most 2 %", ""]
    body = [
        [name, *(column[name] for column in columns), target]
        for name, target in zip(columns[0], targets, strict=True)
    ]
    share = f"{100 * median(costs):.1f} %" if costs else "–"
    cost = f"probe's processor time over its run's, median of {len(costs)}"
    return table(
        ["on the test families", *tests, "target"],
        [*body, [cost, "", "", share, "at most 5 %"]],
    )


def quality(tested: Sequence[Row]) -> dict[str, str]:
    """How good the verdict's probabilities of these configurations are, by name."""
    failed = [row.failed for row in tested]
    probabilities = [probability(row) for row in tested]
    stable = [outcome_of(p) is Outcome.STABLE for p in probabilities]
    missed = sum(map(operator.and_, failed, stable))
    trained = len(tested) - sum(failed)
    families = {row.family for row in tested}
    within = [
        auroc(
            [probability(row) for row in tested if row.family == family],
            [row.failed for row in tested if row.family == family],
        )
        for family in families
    ]
    worst = min((area for area in within if area is not None), default=None)
    ece = expected_calibration_error(probabilities, failed)
    return {
        "runs, failures, families": f"{len(tested)}, {sum(failed)}, {len(families)}",
        "AUROC": number(auroc(probabilities, failed)),
        "AUROC within the worst family": number(worst, 2),
        "expected calibration error": number(ece),
        "failed runs called stable": f"{missed} of {sum(failed)} "
        f"({100 * missed / sum(failed):.1f} %)",
        "trained runs called stable": f"{sum(stable) - missed} of {trained} "
        f"({100 * (sum(stable) - missed) / trained:.0f} %)",
    }


def edges() -> str:
    found = [row for row in stored(FOUND) if row["bisected"] is not None]
    if not found:
        return "No edges have been bisected yet."
    factors = []
    body = []
    inside = 0
    for row in found:
        stable, interval = row["forecast"]["stable"], row["forecast"]["interval"]
        real = row["bisected"]
        factor = max(stable / real, real / stable) if stable else float("inf")
        factors.append(factor)
        inside += bool(interval) and interval[0] <= real <= interval[1]
        body.append(
            [
                f"{row['family']}/{row['number']}",
                f"{real:.2g}",
                f"{stable:.2g}" if stable else "none",
                f"{interval[0]:.2g} to {interval[1]:.2g}" if interval else "–",
                f"{factor:.2f}",
            ]
        )
    header = ["model", "bisected", "forecast", "interval", "factor"]
    return (
        f"Median factor {median(factors):.2f} over {len(found)} models (target: 1.5); the bisected "
        f"edge lies in the forecast interval in {inside} of them.\n\n{table(header, body)}"
    )


def prescriptions() -> str:
    tried = stored(TRIED)
    if not tried:
        return "No prescriptions have been tried yet."
    first = tried[:PATIENTS]
    helped = [row for row in tried if row["change"]]
    body = [
        [
            f"{row['family']}/{row['number']}",
            row["change"] or "none found",
            number(row["failure_probability"], 2),
            row["outcome"] or "–",
        ]
        for row in tried
    ]
    header = ["configuration that failed", "first prescription", "predicted failure", "it then"]
    return (
        f"Of the first {len(first)} configurations the first prescription trains in "
        f"{sum(row['trains'] for row in first)} (target: 27 of 30), and none was found for "
        f"{sum(row['change'] is None for row in first)}. Of all {len(tried)} that were tried "
        f"{len(helped)} have one, and {sum(row['trains'] for row in helped)} of these train; of "
        f"the first {len(helped[:PATIENTS])} that have one, "
        f"{sum(row['trains'] for row in helped[:PATIENTS])}."
        f"\n\n{table(header, body)}"
    )


def horizon() -> str:
    """How well a test run's own loss ranks failures, once a share of it is over."""
    runs = [row for row in stored() if row["curve"] and is_tested(row["family"])]
    failed = [
        row["outcome"] == "diverged"
        or row["final_loss"] is None
        or row["final_loss"] >= STALLED_SHARE * row["unigram_loss"]
        for row in runs
    ]
    body = []
    for share in (0.05, 0.2, 0.4, 0.5):
        seen = [row["curve"][: int(share * len(row["curve"])) + 1][-2:] for row in runs]
        scores = [
            sum(losses) / len(losses) / row["unigram_loss"]
            for losses, row in zip(seen, runs, strict=True)
        ]
        body.append([f"{100 * share:.0f} %", number(auroc(scores, failed), 2)])
    return table(["of the run is over", "AUROC of its loss"], body)


def measured() -> str:
    """All tables, as Markdown."""
    every = rows()
    tested = [row for row in every if row.split != "calibration"]
    model = failure_model()
    calibrating = [row for row in every if row.split == "calibration"]
    sections = [
        f"{len(every)} runs, {sum(row.failed for row in every)} of them failures (diverged, or "
        f"still at {STALLED_SHARE:g} of the unigram loss or above): {len(calibrating)} of "
        f"{len({row.family for row in calibrating})} families to calibrate on, {len(tested)} of "
        f"{len({row.family for row in tested})} others to test on. *At risk* begins at a "
        f"probability of {model.at_risk:.3f}, *unstable* at {model.unstable:.2f}.",
        summary(every),
        "### Against simpler rules",
        ranking(tested),
        "### Family by family",
        by_family(tested),
        "### Reliability",
        calibration(tested),
        "### Confusion by scheme",
        confusion(tested),
        "### What another seed does\n\n`python -m bench.prediction.again`",
        ceiling(tested),
        "### Watching the run itself",
        horizon(),
        "### The largest stable learning rate\n\n`python -m bench.prediction.edges`",
        edges(),
        "### Prescriptions\n\n`python -m bench.prediction.prescriptions --configurations 108`",
        prescriptions(),
    ]
    return "\n\n".join(sections)


def main() -> None:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{measured()}\n\n{END}{after}")
    tested = [row for row in rows() if row.split != "calibration"]
    DIAGRAM.write_text(svg(chart(bins_of(tested))))


if __name__ == "__main__":
    main()
