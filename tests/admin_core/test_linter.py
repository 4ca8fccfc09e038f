from typing import Any

import pytest
import torch
from torch import Tensor, nn

from admin_core.linter import LintRule, lint
from admin_core.report import Finding
from admin_core.residual import discover
from admin_core.residual.omega import apply_omega
from admin_core.schemes import deepnorm_alpha, deepnorm_beta
from admin_core.spec import Stack
from tests.admin_core.residual import networks
from tests.admin_core.residual.networks import IDS, SIZES, WIDTH, architecture, tokens

DEPTH = 3
ALPHA = deepnorm_alpha(Stack.ENCODER, DEPTH, None)
BETA = deepnorm_beta(Stack.ENCODER, DEPTH, None)


class PostNorm(nn.Module):
    """Three layers, LN(add(x, f(x)))."""

    def __init__(self, add: networks.Add = torch.add) -> None:
        super().__init__()
        self.add = add
        self.layers = nn.ModuleList(networks.Block() for _ in range(DEPTH))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            assert isinstance(layer, networks.Block)
            x = layer.norm1(self.add(x, layer.attention(x)))
            x = layer.norm2(self.add(x, layer.mlp(x)))
        return x


class Gated(PostNorm):
    """With a trainable scale on the shortcut, and a gate on the branch if asked for."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))
        self.gate = nn.Parameter(torch.zeros(()))
        self.add = lambda x, f: self.scale * x + (self.gate * f if gated else f)


class NoFinalNorm(networks.Layers):
    """Pre-LN without the norm at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Linear(WIDTH, WIDTH)  # type: ignore[assignment]


def rules(found: list[Finding]) -> list[str]:
    return [finding.rule for finding in found]


def linted(add: networks.Add) -> list[Finding]:
    return lint(PostNorm(add), (tokens(),))


class TestScales:
    def test_of_deepnorm_done_right_are_fine(self) -> None:
        assert linted(lambda x, f: ALPHA * x + f) == []

    def test_none_are_fine(self) -> None:
        assert linted(torch.add) == []

    def test_on_the_branch_are_found(self) -> None:
        (finding,) = linted(lambda x, f: x + ALPHA * f)
        assert finding.rule == LintRule.ALPHA_ON_BRANCH
        assert finding.measured == pytest.approx(ALPHA)
        assert finding.path == "layers.0.attention"

    def test_of_alpha_and_beta_swapped_are_found(self) -> None:
        (finding,) = linted(lambda x, f: BETA * x + f)
        assert finding.rule == LintRule.ALPHA_BETA_SWAPPED
        assert (finding.measured, finding.threshold) == pytest.approx((BETA, ALPHA))

    @pytest.mark.parametrize("count", [2 * DEPTH, 1, 12])
    def test_of_another_count_are_found(self, count: int) -> None:
        wrong = deepnorm_alpha(Stack.ENCODER, count, None)
        (finding,) = linted(lambda x, f: wrong * x + f)
        assert finding.rule == LintRule.WRONG_COUNT
        assert f"alpha for {count} layers" in finding.explanation

    def test_of_no_known_formula_are_the_authors_own(self) -> None:
        assert linted(lambda x, f: 1.3 * x + f) == []

    def test_of_two_schemes_are_found(self) -> None:
        assert rules(lint(Gated(gated=True), (tokens(),))) == [LintRule.TWO_SCHEMES]
        assert lint(Gated(gated=False), (tokens(),)) == []

    def test_that_let_an_unnormed_stream_grow_are_found(self) -> None:
        (finding,) = lint(networks.Layers(lambda x, f: 1.5 * x + f), (tokens(),))
        assert finding.rule == LintRule.TWO_SCHEMES
        assert "10^0.7" in finding.explanation  # 1.5^4
        assert lint(networks.Layers(), (tokens(),)) == []

    def test_of_the_embedding_are_none_of_the_shortcuts(self) -> None:
        sizes = {"d_model": 32, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
        model = architecture(
            "bart", encoder_layers=2, decoder_layers=2, scale_embedding=True, **sizes
        )
        assert lint(model, {"input_ids": IDS, "decoder_input_ids": IDS}) == []


class TestFinalNorm:
    def test_that_is_missing_is_found(self) -> None:
        (finding,) = lint(NoFinalNorm(), (tokens(),))
        assert finding.rule == LintRule.MISSING_FINAL_NORM
        assert finding.path == "layers.1.mlp"

    @pytest.mark.parametrize("name", ["llama", "gpt2", "vit", "bert"])
    def test_that_is_there_is_not(self, name: str) -> None:
        config = dict(SIZES) if name != "gpt2" else {"n_embd": 32, "n_head": 4, "n_layer": 2}
        if name == "vit":
            config |= {"image_size": 32, "patch_size": 8}
        inputs = torch.randn(1, 3, 32, 32) if name == "vit" else IDS
        assert lint(architecture(name, **config), (inputs,)) == []


class TestWeightDecay:
    def test_of_omegas_is_found(self) -> None:
        model = architecture("bert", **SIZES)
        branches = discover(model, (IDS,)).branches
        apply_omega(branches, [2.0] * len(branches))
        found = lint(model, (IDS,), torch.optim.AdamW(model.parameters(), weight_decay=0.1))
        assert rules(found) == [LintRule.OMEGA_UNDER_WEIGHT_DECAY] * len(branches)
        assert found[0].path == "encoder.layer.0.attention.output.LayerNorm.omega"
        assert found[0].measured == 0.1

    def test_of_the_networks_own_scales_is_found(self) -> None:
        model = Gated(gated=False)
        decayed = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
        assert rules(lint(model, (tokens(),), decayed)) == [LintRule.OMEGA_UNDER_WEIGHT_DECAY]

    def test_of_everything_else_is_fine(self) -> None:
        model = architecture("bert", **SIZES)
        branches = discover(model, (IDS,)).branches
        apply_omega(branches, [2.0] * len(branches))
        omegas = [p for name, p in model.named_parameters() if name.endswith(".omega")]
        others = [p for name, p in model.named_parameters() if not name.endswith(".omega")]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": omegas, "weight_decay": 0.0}]
        assert lint(model, (IDS,), torch.optim.AdamW(groups, weight_decay=0.1)) == []
