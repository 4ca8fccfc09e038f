import torch
from torch import Tensor

from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.report import NormPlacement, Role
from admin_core.residual import ResidualBranch, at_additions, at_states, residual_branches
from admin_core.spec import Stack, TextData
from tests.admin_core.specs import small


class TestResidualBranches:
    def test_come_in_forward_order_counted_from_one_in_each_stack(self) -> None:
        branches = residual_branches(build_transformer(small(), seed=0))
        assert [(branch.stack, branch.index) for branch in branches] == [
            *((Stack.ENCODER, i) for i in range(1, 5)),
            *((Stack.DECODER, i) for i in range(1, 7)),
        ]
        assert [branch.role for branch in branches[4:7]] == [
            Role.SELF_ATTENTION,
            Role.CROSS_ATTENTION,
            Role.FEED_FORWARD,
        ]

    def test_are_named_by_their_module(self) -> None:
        model = build_transformer(small(), seed=0)
        branch = residual_branches(model)[-1]
        assert branch.path == "decoder.layers.1.feed_forward"
        assert model.get_submodule(branch.path) is branch.sublayer

    def test_know_where_their_norm_sits(self) -> None:
        def placement(scheme: str) -> NormPlacement:
            model = build_transformer(small(scheme=scheme), seed=0)
            return residual_branches(model)[0].norm_placement

        schemes = ("post_ln", "pre_ln", "sandwich_ln", "rezero")
        assert {scheme: placement(scheme) for scheme in schemes} == {
            "post_ln": NormPlacement.POST,
            "pre_ln": NormPlacement.PRE,
            "sandwich_ln": NormPlacement.SANDWICH,
            "rezero": NormPlacement.NONE,
        }


class TestWatching:
    def test_what_is_seen_adds_up_to_the_state(self) -> None:
        spec = small(scheme="pre_ln")
        model = build_transformer(spec, seed=0).eval()
        branches = residual_branches(model)
        added: list[Tensor] = []
        seen: list[tuple[ResidualBranch, Tensor]] = []

        def at_addition(_: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
            added.append(shortcut + output)

        batch = make_batch(TextData(), spec, batch_size=2, sequence_length=8, seed=0)
        with (
            at_additions(branches, at_addition),
            at_states(branches, lambda *seen_state: seen.append(seen_state)),
        ):
            model(**batch.inputs)
        assert [branch for branch, _ in seen] == branches
        for total, (_, state) in zip(added, seen, strict=True):
            torch.testing.assert_close(total, state)

    def test_a_scale_that_is_returned_scales_the_shortcut(self) -> None:
        spec = small("encoder_only", encoder_layers=1, dropout=0.0)
        model = build_transformer(spec, seed=0).eval()
        batch = make_batch(TextData(), spec, batch_size=2, sequence_length=8, seed=0)
        twice = torch.tensor(2.0)
        with at_additions(residual_branches(model), lambda *_: twice):
            scaled = model.states(**batch.inputs)
        x = model.encoder.embedding(batch.inputs["source"])  # type: ignore[union-attr]
        for branch in residual_branches(model):
            sublayer = branch.sublayer
            x = sublayer.post_norm(2 * x + sublayer.branch(x))
        torch.testing.assert_close(scaled, x)

    def test_nothing_is_left_behind(self) -> None:
        model = build_transformer(small(), seed=0)
        branches = residual_branches(model)
        with at_additions(branches, lambda *_: None), at_states(branches, lambda *_: None):
            pass
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
