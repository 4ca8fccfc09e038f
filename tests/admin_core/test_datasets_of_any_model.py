"""Data sets read by architectures of the Transformers library."""

from pathlib import Path
from typing import Any

import pytest
import torch

from admin_core.data.dataset import Dataset, open_dataset
from admin_core.data.dataset_fit import check_fit
from admin_core.data.huggingface import HuggingFaceData
from admin_core.data.records import RecordFormat
from admin_core.diagnosis import diagnose_spec
from admin_core.errors import InvalidSpecError
from admin_core.models.huggingface import head_of, read_config
from admin_core.race import race
from admin_core.race_spec import RaceSpec
from admin_core.spec import DiagnosisSpec, Tokenizer, UploadData
from tests.admin_core.data.datasets import BPE, BYTES, PAIRS, PROSE, facts_of, write
from tests.admin_core.huggingface import BART, BERT, GPT2, SMALL, T5, VIT, WHISPER, request, spec_of

UPLOAD = {"kind": "upload", "id": "ds-" + "0" * 32}


def batches_of(config: dict[str, Any], dataset: Dataset) -> HuggingFaceData:
    read = read_config(spec_of(config))
    return HuggingFaceData(
        config=read,
        head=head_of(read),
        data=UploadData.model_validate(UPLOAD),
        batch_size=2,
        sequence_length=12,
        dataset=dataset,
    )


def asked(config: dict[str, Any], **fields: Any) -> DiagnosisSpec:
    return request(config, data=UPLOAD | fields.pop("data", {}), **fields)


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
@pytest.mark.parametrize(
    ("config", "content", "form", "data"),
    [
        (BERT | {"vocab_size": 400}, PROSE, RecordFormat.TEXT, {}),
        (GPT2 | {"vocab_size": 400}, PROSE, RecordFormat.TEXT, {"lengths": "varied"}),
        (WHISPER, PROSE, RecordFormat.TEXT, {}),
        (T5, PROSE, RecordFormat.TEXT, {"objective": "denoising"}),
        (T5, PAIRS, RecordFormat.TSV, {}),
        (BART, PAIRS, RecordFormat.TSV, {}),
    ],
)
def test_models_that_read_text_are_diagnosed_on_it(
    tmp_path: Path,
    config: dict[str, Any],
    content: str,
    form: RecordFormat,
    data: dict[str, str],
    tokenizer: Tokenizer,
) -> None:
    dataset = open_dataset(write(tmp_path, content, form, tokenizer))
    training = {"batch_size": 2, "sequence_length": 4}
    spec = asked(config, data=data, training=training, analyses=["verdict"])
    report = diagnose_spec(spec, dataset=dataset)
    assert report.verdict is not None
    assert report.environment.data_sha256 == facts_of(content, form).sha256


def test_a_byte_is_the_token_that_it_is_without_a_data_set(tmp_path: Path) -> None:
    config = GPT2 | {"bos_token_id": 0, "eos_token_id": 0}  # so that byte b is token b + 1
    dataset = open_dataset(write(tmp_path, "a" * 200 + "\n" + "a" * 200 + "\n"))
    batch = batches_of(config, dataset).batch(seed=0)
    assert set(batch.inputs["input_ids"].unique().tolist()) <= {ord("a") + 1, ord("\n") + 1}


def test_what_pads_parallel_text_is_masked_and_not_judged(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, "to be\tb\nbe\tto be\n" * 5, RecordFormat.TSV))
    examples = batches_of(T5, dataset)
    mixed = next(b for b in (examples.batch(seed=s) for s in range(20)) if uneven(b.inputs))
    for prefix in ("", "decoder_"):
        mask = mixed.inputs[f"{prefix}attention_mask"]
        assert mask.shape == mixed.inputs[f"{prefix}input_ids"].shape
        assert not mask.all()
    padding = mixed.inputs["decoder_attention_mask"] == 0
    assert torch.equal(mixed.targets < 0, padding)


def uneven(inputs: Any) -> bool:
    return not bool(inputs["attention_mask"].all())


@pytest.mark.parametrize(
    ("config", "content", "form", "field", "reason"),
    [
        (VIT, PROSE, RecordFormat.TEXT, "data.kind", "reads no text"),
        (BERT, PAIRS, RecordFormat.TSV, "model.config.model_type", "a source and a target"),
        (BERT | {"vocab_size": 256}, PROSE, RecordFormat.TEXT, "model.config.vocab_size", "255"),
        (T5, PROSE[:60], RecordFormat.TEXT, "training.sequence_length", "takes 65 tokens"),
    ],
)
def test_a_data_set_that_a_model_cannot_read_is_refused_by_the_field_to_change(
    tmp_path: Path,
    config: dict[str, Any],
    content: str,
    form: RecordFormat,
    field: str,
    reason: str,
) -> None:
    spec = asked(config, training={"batch_size": 2, "sequence_length": 32})
    if form is RecordFormat.TSV:
        spec = asked(config, training={"batch_size": 2, "sequence_length": 4})
    with pytest.raises(InvalidSpecError, match=reason) as caught:
        diagnose_spec(spec, dataset=open_dataset(write(tmp_path, content, form)))
    assert caught.value.field == field


class TestBeforeTheModelIsBuilt:
    """What the config says by itself is enough to refuse it at the door."""

    def test_a_vocabulary_that_the_config_states_is_held_against_the_data_sets(self) -> None:
        facts = facts_of(PROSE, tokenizer=BPE)
        with pytest.raises(InvalidSpecError, match="is 299, below the 300") as caught:
            check_fit(asked(BERT | {"vocab_size": 299}), facts, held_out=False)
        assert caught.value.field == "model.config.vocab_size"

    def test_one_that_it_leaves_to_its_library_is_not(self) -> None:
        facts = facts_of(PROSE, tokenizer=BPE)
        check_fit(asked({"model_type": "bert", **SMALL}), facts, held_out=False)

    def test_a_sequence_longer_than_the_text_is_refused(self) -> None:
        spec = asked(BERT, training={"sequence_length": len(PROSE) + 1})
        with pytest.raises(InvalidSpecError, match="the data set's whole") as caught:
            check_fit(spec, facts_of(PROSE), held_out=False)
        assert caught.value.field == "training.sequence_length"


def test_a_race_of_configs_runs_on_a_data_set(tmp_path: Path) -> None:
    spec = RaceSpec.model_validate(
        {
            "model": {"kind": "huggingface", "config": BERT | {"vocab_size": 400}},
            "training": {"steps": 4, "warmup_steps": 1, "batch_size": 2, "sequence_length": 8},
            "data": UPLOAD,
            "arms": ["post_ln", "admin"],
            "seeds": 1,
        }
    )
    report = race(spec, dataset=open_dataset(write(tmp_path)))
    assert [arm.seeds[0].steps for arm in report.arms] == [4, 4]
    assert report.environment.data_sha256 == facts_of(PROSE).sha256
