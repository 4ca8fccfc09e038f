from typing import Any

import pytest
import torch
import torch.nn.functional as F

from admin_core.analysis.attention_logits import LogitRange, logit_range
from admin_core.analysis.attention_watch import watching_attention
from admin_core.data.huggingface import HuggingFaceData
from admin_core.models.huggingface import build_huggingface, head_of
from admin_core.residual import discover
from admin_core.spec import TextData
from tests.admin_core.huggingface import BERT, GPT2, T5, spec_of


def watched(config: dict[str, Any], attention: str) -> tuple[dict[str, LogitRange], Any]:
    """What the watch sees of each attention, and the probabilities that the model gives out."""
    model = build_huggingface(spec_of(config), seed=0)
    model.train(False)
    data = HuggingFaceData(
        config=model.config,
        head=head_of(model.config),
        data=TextData(lengths="varied"),
        batch_size=3,
        sequence_length=8,
    )
    inputs = dict(data.batch(seed=0).inputs)
    branches = discover(model, inputs).branches
    seen: dict[str, LogitRange] = {}

    def see(_: str, path: str, found: LogitRange) -> None:
        seen[path] = found

    with torch.no_grad(), watching_attention(branches, see):
        model(**inputs)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        given = model(**inputs, output_attentions=True)[attention]
    return seen, given


@pytest.mark.parametrize(
    ("config", "attention"),
    [(BERT, "attentions"), (GPT2, "attentions"), (T5, "decoder_attentions")],
    ids=["bert", "gpt2", "t5"],
)
def test_the_entropy_is_that_of_the_probabilities_that_the_model_gives_out(
    config: dict[str, Any], attention: str
) -> None:
    seen, given = watched(config, attention)
    wanted = [path for path in seen if "decoder" in path and "Enc" not in path]
    found = [seen[path] for path in wanted] if attention != "attentions" else list(seen.values())
    assert len(found) == len(given) == 2
    for one, probabilities in zip(found, given, strict=True):
        entropy = -torch.special.xlogy(probabilities, probabilities).sum(-1)
        torch.testing.assert_close(one.entropy, entropy.mean((0, 2)), rtol=0, atol=1e-4)


def test_a_network_after_the_watch_is_as_before() -> None:
    model = build_huggingface(spec_of(BERT), seed=0)
    model.train(False)
    tokens = {"input_ids": torch.randint(300, (2, 8))}
    branches = discover(model, tokens).branches
    before = model(**tokens).logits
    with watching_attention(branches, lambda *_: None):
        within = model(**tokens).logits
    assert torch.equal(before, within)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class TestMasks:
    QUERIES, KEYS = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 5, 8)

    def test_that_hide_or_add_are_as_torch_means_them(self) -> None:
        visible = torch.rand(2, 1, 5, 5) < 0.6
        visible[..., 0] = True
        hiding = torch.zeros(2, 1, 5, 5).masked_fill(~visible, torch.finfo(torch.float32).min)
        by_truth = logit_range(self.QUERIES, self.KEYS, causal=False, mask=visible)
        by_number = logit_range(self.QUERIES, self.KEYS, causal=False, mask=hiding)
        torch.testing.assert_close(by_truth.entropy, by_number.entropy)
        torch.testing.assert_close(by_truth.largest, by_number.largest)

    def test_that_are_a_bias_belong_to_the_logit(self) -> None:
        bias = torch.randn(1, 4, 5, 5)
        found = logit_range(self.QUERIES, self.KEYS, causal=False, mask=bias, scale=0.5)
        logits = 0.5 * self.QUERIES @ self.KEYS.mT + bias
        torch.testing.assert_close(found.largest, logits.abs().amax((0, 2, 3)))
        p = logits.softmax(-1)
        torch.testing.assert_close(found.entropy, -(p * p.log()).sum(-1).mean((0, 2)))

    def test_that_are_causal_are_torch_s_own(self) -> None:
        mask = torch.ones(5, 5, dtype=torch.bool).tril()
        by_flag = logit_range(self.QUERIES, self.KEYS, causal=True)
        by_mask = logit_range(self.QUERIES, self.KEYS, causal=False, mask=mask)
        torch.testing.assert_close(by_flag.entropy, by_mask.entropy)
        assert F.scaled_dot_product_attention(self.QUERIES, self.KEYS, self.KEYS).isfinite().all()
