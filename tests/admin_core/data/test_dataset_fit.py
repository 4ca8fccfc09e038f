from typing import Any

import pytest

from admin_core.data.dataset_fit import check_fit, window_length
from admin_core.data.records import RecordFormat
from admin_core.errors import InvalidSpecError
from admin_core.spec import Architecture, Subject, TextData
from tests.admin_core.data.datasets import BPE, PAIRS, PROSE, facts_of

STACKS: dict[str, dict[str, Any]] = {
    "decoder_only": {"decoder_layers": 1},
    "encoder_only": {"encoder_layers": 1},
    "encoder_decoder": {"encoder_layers": 1, "decoder_layers": 1},
}

UPLOAD = {"kind": "upload", "id": "ds-" + "0" * 32}


def subject(architecture: str, length: int = 16, **changes: Any) -> Subject:
    model = {"architecture": architecture, "d_model": 8, "num_heads": 1, **STACKS[architecture]}
    return Subject.model_validate(
        {
            "model": model | changes.get("model", {}),
            "data": UPLOAD | changes.get("data", {}),
            "training": {"sequence_length": length},
        }
    )


def refused(spec: Subject, content: str, form: RecordFormat, **facts: Any) -> InvalidSpecError:
    with pytest.raises(InvalidSpecError) as caught:
        check_fit(spec, facts_of(content, form, **facts), held_out=True)
    return caught.value


@pytest.mark.parametrize("architecture", STACKS)
def test_text_fits_every_architecture(architecture: str) -> None:
    check_fit(subject(architecture), facts_of(PROSE), held_out=True)


@pytest.mark.parametrize("architecture", STACKS)
def test_a_sequence_may_be_as_long_as_the_data_and_no_longer(architecture: str) -> None:
    text = facts_of(PROSE)
    available = text.held_out_tokens
    fitting = max(
        n
        for n in range(2, 1_000)
        if window_length(TextData(), Architecture(architecture), n) <= available
    )
    check_fit(subject(architecture, fitting), text, held_out=True)
    error = refused(subject(architecture, fitting + 1), PROSE, RecordFormat.TEXT)
    assert error.field == "training.sequence_length"
    assert f"part for validation has {available:,}" in error.reason


def test_where_nothing_is_held_out_the_whole_text_counts() -> None:
    check_fit(subject("encoder_only", len(PROSE)), facts_of(PROSE), held_out=False)
    with pytest.raises(InvalidSpecError, match=f"whole has {len(PROSE):,};"):
        check_fit(subject("encoder_only", len(PROSE) + 1), facts_of(PROSE), held_out=False)


def test_a_sequence_of_parallel_text_may_be_as_long_as_the_longest_line() -> None:
    facts = facts_of(PAIRS, RecordFormat.TSV)
    longest = facts.longest[1] + 1
    check_fit(subject("encoder_decoder", longest), facts, held_out=True)
    error = refused(subject("encoder_decoder", longest + 1), PAIRS, RecordFormat.TSV)
    assert error.field == "training.sequence_length"
    assert f"longest line has {longest} tokens" in error.reason


def test_a_vocabulary_that_is_too_small_is_refused() -> None:
    spec = subject("decoder_only", model={"vocab_size": 299})
    error = refused(spec, PROSE, RecordFormat.TEXT, tokenizer=BPE)
    assert error.field == "model.vocab_size"
    assert "is 299, below the 300" in error.reason
    fitting = subject("decoder_only", model={"vocab_size": 300})
    check_fit(fitting, facts_of(PROSE, tokenizer=BPE), held_out=True)


@pytest.mark.parametrize("architecture", ["decoder_only", "encoder_only"])
def test_parallel_text_needs_two_stacks(architecture: str) -> None:
    assert refused(subject(architecture), PAIRS, RecordFormat.TSV).field == "model.architecture"


def test_parallel_text_is_not_denoised() -> None:
    spec = subject("encoder_decoder", data={"objective": "denoising"})
    assert refused(spec, PAIRS, RecordFormat.TSV).field == "data.objective"
