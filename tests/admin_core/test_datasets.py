"""Diagnoses and trainings on a data set."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from admin_core.data.dataset import open_dataset
from admin_core.data.records import RecordFormat
from admin_core.diagnosis import diagnose_spec
from admin_core.errors import InvalidSpecError
from admin_core.race import race
from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec, Tokenizer
from admin_core.training.arm import train_arm
from admin_core.training.run_batches import UNIGRAM_TOKENS
from tests.admin_core.data.datasets import BPE, BYTES, PAIRS, PROSE, facts_of, write
from tests.admin_core.specs import small
from tests.admin_core.training.arms import arm

UPLOAD = {"kind": "upload", "id": "ds-" + "0" * 32}

ALL_KINDS = [
    ("decoder_only", PROSE, RecordFormat.TEXT, {}),
    ("encoder_only", PROSE, RecordFormat.TEXT, {}),
    ("encoder_decoder", PROSE, RecordFormat.TEXT, {}),
    ("encoder_decoder", PROSE, RecordFormat.TEXT, {"objective": "denoising"}),
    ("encoder_decoder", PAIRS, RecordFormat.TSV, {}),
]


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
@pytest.mark.parametrize(("architecture", "content", "form", "data"), ALL_KINDS)
class TestEveryKind:
    def test_can_be_diagnosed(
        self,
        tmp_path: Path,
        architecture: str,
        content: str,
        form: RecordFormat,
        data: dict[str, str],
        tokenizer: Tokenizer,
    ) -> None:
        dataset = open_dataset(write(tmp_path, content, form, tokenizer))
        spec = DiagnosisSpec.model_validate(
            {
                "model": small(architecture, vocab_size=300, scheme="admin"),
                "data": UPLOAD | data,
                "training": {"batch_size": 4, "sequence_length": 4},
            }
        )
        report = diagnose_spec(spec, dataset=dataset)
        assert report.verdict is not None
        assert report.environment.data_sha256 == facts_of(content, form).sha256

    def test_can_be_trained_on_and_taught_by(
        self,
        tmp_path: Path,
        architecture: str,
        content: str,
        form: RecordFormat,
        data: dict[str, str],
        tokenizer: Tokenizer,
    ) -> None:
        dataset = open_dataset(write(tmp_path, content, form, tokenizer))
        run = arm(
            model=small(architecture, vocab_size=300, scheme="pre_ln").model_dump(mode="json"),
            data=UPLOAD | data,
            training={"sequence_length": 4, "learning_rate": 1e-2},
        )
        result = train_arm(run, seed=0, dataset=dataset)
        assert result.steps == 20
        assert sum(result.losses[-5:]) < sum(result.losses[:5])
        assert result.validation[-1].loss is not None


def test_the_same_run_gives_the_same_losses(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path))
    first, again, other = (
        train_arm(arm(data=UPLOAD), seed=seed, dataset=dataset).losses for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_the_unigram_loss_is_that_of_the_data_sets_tokens(tmp_path: Path) -> None:
    content = "a" * 300 + "\n" + "b" * 300 + "\n" + "c" * 300 + "\n"
    dataset = open_dataset(write(tmp_path, content))
    steps = UNIGRAM_TOKENS // (4 * 16)
    run = arm(data=UPLOAD, training={"steps": steps}, stop={"hopeless_after": 0.001})
    tokens = Counter(("a" * 300 + "\n" + "c" * 300 + "\n").encode())
    entropy = -sum(n / 602 * math.log(n / 602) for n in tokens.values())
    result = train_arm(run, seed=0, dataset=dataset)
    assert result.unigram_loss == pytest.approx(entropy, abs=0.01)


def test_a_race_names_the_file_that_it_was_run_on(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path))
    body: dict[str, Any] = arm().model_dump(mode="json", include={"model", "training"})
    spec = RaceSpec.model_validate(
        body | {"arms": ["post_ln", "admin"], "seeds": 1, "data": UPLOAD}
    )
    assert race(spec, dataset=dataset).environment.data_sha256 == facts_of(PROSE).sha256


class TestASequenceTooLongForTheCountedTokens:
    """Of which a trained tokenizer makes fewer than there are bytes."""

    def test_is_refused_before_a_diagnosis(self, tmp_path: Path) -> None:
        dataset = open_dataset(write(tmp_path, PROSE[:600], tokenizer=BPE))
        spec = DiagnosisSpec.model_validate(
            {
                "model": small("encoder_only", vocab_size=300),
                "data": UPLOAD,
                "training": {"batch_size": 2, "sequence_length": 600},
            }
        )
        with pytest.raises(InvalidSpecError, match="whole has [0-9]+;") as caught:
            diagnose_spec(spec, dataset=dataset)
        assert caught.value.field == "training.sequence_length"

    def test_is_refused_before_a_training(self, tmp_path: Path) -> None:
        facts = facts_of(PROSE, tokenizer=BPE)
        dataset = open_dataset(write(tmp_path, tokenizer=BPE))
        length = facts.held_out_tokens - 1
        run = arm(model={"vocab_size": 300}, data=UPLOAD, training={"sequence_length": length})
        with pytest.raises(InvalidSpecError, match="part for validation has") as caught:
            train_arm(run, seed=0, dataset=dataset)
        assert caught.value.field == "training.sequence_length"
