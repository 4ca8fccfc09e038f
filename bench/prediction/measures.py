"""How good probabilities are, in the words of the field."""

from collections.abc import Sequence


def auroc(scores: Sequence[float], failed: Sequence[bool]) -> float | None:
    """The chance that a run that failed scores higher than one that trained, ties counted half;
    None where all did the same."""
    bad = [score for score, one in zip(scores, failed, strict=True) if one]
    good = [score for score, one in zip(scores, failed, strict=True) if not one]
    if not bad or not good:
        return None
    wins = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    return wins / (len(bad) * len(good))


def reliability(
    probabilities: Sequence[float], failed: Sequence[bool], *, bins: int = 10
) -> list[tuple[int, float, float]]:
    """For each of `bins` equally wide bins that holds a run: how many it holds, their mean
    probability, and the share that failed."""
    found = []
    for i in range(bins):
        last = i == bins - 1
        inside = [
            (p, y)
            for p, y in zip(probabilities, failed, strict=True)
            if i / bins <= p and (p < (i + 1) / bins or last)
        ]
        if inside:
            n = len(inside)
            found.append((n, sum(p for p, _ in inside) / n, sum(y for _, y in inside) / n))
    return found


def expected_calibration_error(probabilities: Sequence[float], failed: Sequence[bool]) -> float:
    """The mean over runs of how far their bin's share of failures is from its probability."""
    table = reliability(probabilities, failed)
    return sum(n * abs(p - share) for n, p, share in table) / len(probabilities)
