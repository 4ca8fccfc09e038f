import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from admin_core.errors import OmegaNotApplicableError
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.residual import at_additions, at_sums, discover, residual_branches
from admin_core.residual.discovered import DiscoveredBranch
from admin_core.residual.omega import apply_omega, obstacle_to_omega, remove_omega
from tests.admin_core.residual import networks
from tests.admin_core.residual.networks import IDS, SIZES, WIDTH, architecture, tokens
from tests.admin_core.specs import small

SEQ2SEQ = {
    "encoder_layers": 1,
    "decoder_layers": 1,
    "d_model": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}
POST_LN_OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32, "do_layer_norm_before": False}
"""Its feed-forward works on tokens in a row, its norm on sequences again."""

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Any, ...]]] = {
    "bert": (lambda: architecture("bert", **SIZES), (IDS,)),
    "albert": (lambda: architecture("albert", **SIZES, embedding_size=16), (IDS,)),
    "opt": (lambda: architecture("opt", **SIZES, **POST_LN_OPT), (IDS,)),
    "bart": (lambda: architecture("bart", **SEQ2SEQ), (IDS, None, IDS)),
    "pytorch": (
        lambda: nn.Transformer(WIDTH, 2, 1, 1, 16, batch_first=True),
        (tokens(), tokens()),
    ),
}


def built(name: str) -> tuple[nn.Module, tuple[Tensor, ...], tuple[DiscoveredBranch, ...]]:
    make, inputs = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval()
    return model, inputs, discover(model, inputs).branches


def output(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    found = model(*inputs)
    return found if isinstance(found, Tensor) else found.last_hidden_state


def vectors(branches: tuple[DiscoveredBranch, ...]) -> list[Tensor]:
    """An omega per feature for each branch, 1.0 to 2.0."""
    generator = torch.Generator().manual_seed(1)
    return [
        1 + torch.rand(branch.route.width, generator=generator)  # type: ignore[union-attr]
        for branch in branches
    ]


@pytest.mark.parametrize("name", NETWORKS)
class TestApplyOmega:
    def test_scales_every_shortcut_as_if_it_were_written_so(self, name: str) -> None:
        model, inputs, branches = built(name)
        omegas = vectors(branches)
        scales = dict(zip(branches, omegas, strict=True))
        with at_additions(branches, lambda branch, *_: scales[branch]):
            slow = output(model, inputs)
        apply_omega(branches, omegas)
        torch.testing.assert_close(output(model, inputs), slow, atol=1e-5, rtol=0)

    def test_of_one_is_the_network_bit_for_bit(self, name: str) -> None:
        model, inputs, branches = built(name)
        before = output(model, inputs)
        apply_omega(branches, [1.0] * len(branches))
        assert torch.equal(output(model, inputs), before)

    def test_is_undone_bit_for_bit(self, name: str) -> None:
        model, inputs, branches = built(name)
        before, keys = output(model, inputs), list(model.state_dict())
        apply_omega(branches, vectors(branches))
        assert not torch.equal(output(model, inputs), before)
        remove_omega(model)
        assert torch.equal(output(model, inputs), before)
        assert list(model.state_dict()) == keys
        assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())

    def test_stands_in_the_state_dict(self, name: str) -> None:
        model, inputs, branches = built(name)
        apply_omega(branches, vectors(branches))
        other, _, own = built(name)
        apply_omega(own, [1.0] * len(own))
        other.load_state_dict(model.state_dict())
        assert torch.equal(output(other, inputs), output(model, inputs))

    def test_goes_into_copies_that_live_on_their_own(self, name: str) -> None:
        model, inputs, branches = built(name)
        apply_omega(branches, vectors(branches))
        scaled, twin = output(model, inputs), copy.deepcopy(model)
        remove_omega(model)
        assert torch.equal(output(twin, inputs), scaled)
        remove_omega(twin)
        assert torch.equal(output(twin, inputs), output(model, inputs))

    def test_takes_gradients_where_it_is_trainable(self, name: str) -> None:
        model, inputs, branches = built(name)
        for trainable in (True, False):
            apply_omega(branches, vectors(branches), trainable=trainable)
            model.zero_grad()
            torch.autograd.backward(output(model, inputs).square().sum())
            omegas = [p for n, p in model.named_parameters() if n.endswith(".omega")]
            assert all((p.grad is not None) is trainable for p in omegas)
            if trainable:
                assert all(p.grad.abs().max() > 0 for p in omegas if p.grad is not None)

    def test_is_seen_by_who_watches(self, name: str) -> None:
        model, inputs, branches = built(name)
        apply_omega(branches, vectors(branches))
        added: list[Tensor] = []
        sums: list[Tensor] = []
        with (
            at_additions(branches, lambda b, x, f: added.append(sum(b.operands(x, f)))),  # type: ignore[arg-type]
            at_sums(branches, lambda _, total: sums.append(total)),
        ):
            output(model, inputs)
        torch.testing.assert_close(added, sums)

    def test_does_not_hide_the_branches(self, name: str) -> None:
        model, inputs, branches = built(name)
        apply_omega(branches, vectors(branches))
        assert [b.site for b in discover(model, inputs).branches] == [b.site for b in branches]


class TestInTheUsersLoop:
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_goes_through_the_compiler_in_one_graph(self) -> None:
        model, inputs, branches = built("bert")
        apply_omega(branches, vectors(branches))
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(output(compiled, inputs), output(model, inputs))  # type: ignore[arg-type]

    def test_goes_through_autocast(self) -> None:
        model, inputs, branches = built("bert")
        apply_omega(branches, vectors(branches))
        exact = output(model, inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(output(model, inputs).float(), exact, atol=0.05, rtol=0)

    def test_goes_through_half_precision(self) -> None:
        model, inputs, branches = built("pytorch")
        apply_omega(branches, vectors(branches))
        exact = output(model, inputs)
        model.bfloat16()
        halved = output(model, tuple(x.bfloat16() for x in inputs))
        torch.testing.assert_close(halved.float(), exact, atol=0.1, rtol=0)

    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
    def test_goes_through_recomputation(self, reentrant: bool) -> None:
        model = networks.Recomputed(reentrant)
        with pytest.MonkeyPatch.context() as patch:
            branches = discover(model.eval(), (tokens(),)).branches
            apply_omega(branches, vectors(branches))
            found = []
            for recomputed in (True, False):
                if not recomputed:
                    patch.setattr(networks, "checkpoint", lambda layer, x, **_: layer(x))
                model.zero_grad()
                x = tokens().requires_grad_()
                model(x).square().sum().backward()
                found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        torch.testing.assert_close(found[0], found[1])

    def test_learns(self) -> None:
        model, inputs, branches = built("bert")
        apply_omega(branches, [2.0] * len(branches))
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        torch.autograd.backward(output(model, inputs).square().mean())
        optimizer.step()
        assert all(
            (p != 2).all() for name, p in model.named_parameters() if name.endswith(".omega")
        )


class TestRefusal:
    def test_of_a_network_without_a_norm_after_the_addition(self) -> None:
        branches = discover(networks.Layers(), (tokens(),)).branches
        assert all(obstacle_to_omega(branch) for branch in branches)
        with pytest.raises(OmegaNotApplicableError, match="Post-LN"):
            apply_omega(branches, [1.0] * len(branches))

    def test_of_a_second_scheme(self) -> None:
        class Scaled(networks.Block):
            def forward(self, x: Tensor) -> Tensor:
                x = self.norm1(3 * x + self.attention(x))
                return self.norm2(3 * x + self.mlp(x))  # type: ignore[no-any-return]

        branches = discover(Scaled(), (tokens(),)).branches
        with pytest.raises(OmegaNotApplicableError, match="already"):
            apply_omega(branches, [1.0, 1.0])


class TestAgainstTheBuiltInTransformer:
    def test_pytorchs_encoder_with_omegas_is_ours_with_the_same_weights(self) -> None:
        ours = build_transformer(small("encoder_only", scheme="admin"), seed=0).eval()
        theirs = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 4, 64, batch_first=True),
            num_layers=2,
            enable_nested_tensor=False,
        ).eval()
        _copy_weights(ours, theirs)
        source = torch.arange(14).view(2, 7)
        assert ours.encoder is not None
        x = ours.encoder.embedding(source)
        branches = discover(theirs, (x,)).branches
        omegas = []
        for branch in residual_branches(ours):
            assert isinstance(branch.sublayer.add, ScaledShortcutAddition)
            nn.init.uniform_(branch.sublayer.add.omega, 1.0, 3.0)
            omegas.append(branch.sublayer.add.omega.detach())
        apply_omega(branches, omegas)
        torch.testing.assert_close(theirs(x), ours.states(source=source), atol=1e-5, rtol=0)


@torch.no_grad()
def _copy_weights(ours: Transformer, theirs: nn.TransformerEncoder) -> None:
    sublayers = [branch.sublayer for branch in residual_branches(ours)]
    for layer, attention, feed_forward in zip(
        theirs.layers, sublayers[::2], sublayers[1::2], strict=True
    ):
        assert isinstance(layer, nn.TransformerEncoderLayer)
        own = attention.branch
        layer.self_attn.in_proj_weight.copy_(
            torch.cat([own.query.weight, own.key.weight, own.value.weight])  # type: ignore[union-attr, list-item]
        )
        layer.self_attn.in_proj_bias.copy_(
            torch.cat([own.query.bias, own.key.bias, own.value.bias])  # type: ignore[union-attr, list-item]
        )
        pairs = (
            (layer.self_attn.out_proj, own.output),
            (layer.norm1, attention.post_norm),
            (layer.linear1, feed_forward.branch.input),
            (layer.linear2, feed_forward.branch.output),
            (layer.norm2, feed_forward.post_norm),
        )
        for target, source in pairs:
            target.load_state_dict(source.state_dict())  # type: ignore[union-attr]
