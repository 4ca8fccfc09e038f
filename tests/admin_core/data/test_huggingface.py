from typing import Any

import pytest
import torch

from admin_core.data.batch import IGNORED, Batch
from admin_core.data.huggingface import HuggingFaceData
from admin_core.data.text import Split, pydoc_text
from admin_core.errors import InvalidSpecError
from admin_core.models.huggingface import build_huggingface, head_of, read_config
from admin_core.spec import DataSpec, TextData
from admin_core.training.loss import batch_loss
from tests.admin_core.huggingface import (
    BART,
    BERT,
    CLIP,
    GPT2,
    MAMBA,
    RESNET,
    SMALL,
    SPEECH,
    T5,
    VIT,
    WAV2VEC2,
    WHISPER,
    spec_of,
)


def data_of(
    config: dict[str, Any], data: DataSpec | None = None, **changes: Any
) -> HuggingFaceData:
    read = read_config(spec_of(config))
    sizes = {"batch_size": 2, "sequence_length": 16} | changes
    return HuggingFaceData(config=read, head=head_of(read), data=data or TextData(), **sizes)


@pytest.mark.parametrize(
    "config",
    [
        *(BERT, GPT2, T5, BART, WHISPER, VIT, RESNET, WAV2VEC2, MAMBA, CLIP),
        BERT | {"architectures": ["BertForSequenceClassification"]},
        BERT | {"architectures": ["BertForTokenClassification"]},
        BERT | {"architectures": ["BertForQuestionAnswering"]},
        WAV2VEC2 | {"architectures": ["Wav2Vec2ForSequenceClassification"]},
        {"model_type": "audio-spectrogram-transformer", "max_length": 64, "num_mel_bins": 32}
        | SMALL,
        {"model_type": "llama", "vocab_size": 99, **SMALL},
        {"model_type": "hubert", **SPEECH, **SMALL},
        {"model_type": "canine", **SMALL},
    ],
    ids=lambda config: " ".join([config["model_type"], *config.get("architectures", [])]),
)
@pytest.mark.parametrize("lengths", ["full", "varied"])
def test_a_model_can_be_trained_on_its_batches(config: dict[str, Any], lengths: str) -> None:
    batch = data_of(config, TextData(lengths=lengths)).batch(seed=0)
    loss = batch_loss(build_huggingface(spec_of(config), seed=0), batch)
    assert torch.isfinite(loss)
    loss.backward()  # type: ignore[no-untyped-call]


def test_the_same_arguments_give_the_same_batch() -> None:
    data = data_of(VIT)
    first, again, other = data.batch(seed=0), data.batch(seed=0), data.batch(seed=0, step=1)
    assert torch.equal(first.inputs["pixel_values"], again.inputs["pixel_values"])
    assert not torch.equal(first.inputs["pixel_values"], other.inputs["pixel_values"])


def test_text_is_the_built_in_one_s_byte_by_byte() -> None:
    data = data_of(GPT2)  # its special tokens stand behind the bytes
    batch = data.batch(seed=0)
    written = bytes(batch.inputs["input_ids"][0].tolist())
    assert written in pydoc_text()
    assert torch.equal(batch.inputs["input_ids"][:, 1:], batch.targets[:, :-1])


def test_special_tokens_are_left_to_their_use() -> None:
    special = {"pad_token_id": 101, "bos_token_id": 110, "eos_token_id": [32, 33]}
    batch = data_of(GPT2 | special).batch(seed=0)
    assert not torch.isin(batch.inputs["input_ids"], torch.tensor([101, 110, 32, 33])).any()


def test_too_small_a_vocabulary_gets_uniform_tokens() -> None:
    data = data_of({"model_type": "llama", "vocab_size": 99, **SMALL})
    assert not data.tokens_are_bytes
    assert data.batch(seed=0).inputs["input_ids"].max() < 99


def test_padding_is_masked_in_each_stack() -> None:
    batch = data_of(T5, TextData(lengths="varied"), batch_size=8).batch(seed=0)
    for stack, mask in (("encoder", "attention_mask"), ("decoder", "decoder_attention_mask")):
        padding = batch.padding(stack)
        assert padding is not None
        assert padding.any()
        assert torch.equal(padding, batch.inputs[mask] == 0)
    padding = batch.padding("decoder")
    assert padding is not None
    assert torch.equal(batch.targets == IGNORED, padding)


def test_an_image_shows_its_class() -> None:
    data = data_of(VIT | {"num_labels": 3}, batch_size=24)

    def of_class(batch: Batch, label: int) -> torch.Tensor:
        images: torch.Tensor = batch.inputs["pixel_values"]
        return images[batch.targets == label].mean(0).flatten()

    trained = data.batch(seed=0, split=Split.TRAINING)
    held_out = data.batch(seed=7, split=Split.HELD_OUT)
    for label in range(3):
        likeness = [
            torch.cosine_similarity(of_class(held_out, label), of_class(trained, other), dim=0)
            for other in range(3)
        ]
        assert int(torch.stack(likeness).argmax()) == label


def test_denoising_needs_a_model_that_reads_and_writes() -> None:
    assert data_of(T5, TextData(objective="denoising")).batch(seed=0).has_targets
    with pytest.raises(InvalidSpecError, match="leave the objective out"):
        data_of(GPT2, TextData(objective="denoising")).batch(seed=0)


def test_inputs_that_nobody_here_makes_are_refused() -> None:
    with pytest.raises(InvalidSpecError, match="past_values"):
        data_of({"model_type": "patchtst"}).batch(seed=0)


def test_images_beyond_memory_are_refused() -> None:
    with pytest.raises(InvalidSpecError, match="training.batch_size"):
        data_of(RESNET, batch_size=10**6).batch(seed=0)
