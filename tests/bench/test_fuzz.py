from pathlib import Path

from bench.fuzz.round import furnish, fuzz
from tests.admin_core.reports import diagnosis
from tests.app.in_thread import listening


def test_some_requests_that_nobody_would_write_are_answered_as_documented(tmp_path: Path) -> None:
    """`make fuzz` makes many more."""
    limits = {"max_parameters": 200_000, "max_tokens": 256, "max_race_steps": 20}
    rates = {"rate_limit": "none", "submit_rate_limit": "none"}
    with listening(tmp_path / "home", require_key="always", **limits, **rates) as heard:
        mine, others = heard.api.key(), heard.api.key()
        known = furnish(heard.url, mine, diagnosis().model_dump(mode="json"))
        phases = ("examples", "fuzzing", "stateful")
        done = fuzz(
            *(heard.url, mine, others, tmp_path),
            known=known,
            examples=2,
            seed=1,
            phases=phases,
        )
    assert done.passed
    assert done.cases > 50
    # Those that were made before, at the least.
    assert done.probed >= 3
