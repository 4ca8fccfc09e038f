from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from admin_core.residual import ResidualBranch, at_additions, at_states, at_sums, discover
from tests.admin_core.residual import networks
from tests.admin_core.residual.networks import IDS, SIZES, WIDTH, architecture, tokens


def seen(
    model: nn.Module, inputs: tuple[Tensor, ...]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """What the additions of one pass add up to by their operands, their sums, and the states."""
    branches = discover(model, inputs).branches
    added: list[Tensor] = []
    sums: list[Tensor] = []
    states: list[Tensor] = []

    def see(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
        scaled, entering = branch.operands(shortcut, output)
        added.append(scaled + entering)

    with (
        at_additions(branches, see),
        at_sums(branches, lambda _, total: sums.append(total.clone())),
        at_states(branches, lambda _, state: states.append(state.clone())),
    ):
        model(*inputs)
    assert len(added) == len(sums) == len(states) == len(branches)
    return added, sums, states


class TestAdditions:
    @pytest.mark.parametrize(
        "add",
        [
            lambda x, f: x + f,
            lambda x, f: f.add_(x),
            lambda x, f: x.add_(f),
            lambda x, f: torch.add(x, f, alpha=0.5),
            lambda x, f: 1.5 * x + 0.1 * f,
            lambda x, f: torch.addcmul(x, f, torch.full_like(f, 0.1), value=2.0),
        ],
        ids=["plain", "into_the_branch", "into_the_stream", "alpha", "scaled", "addcmul"],
    )
    def test_are_shown_with_operands_that_add_up(self, add: networks.Add) -> None:
        added, sums, states = seen(networks.Layers(add).eval(), (tokens(),))
        torch.testing.assert_close(added, sums)
        assert all(torch.equal(total, state) for total, state in zip(sums, states, strict=True))

    def test_are_shown_before_the_network_scales_them(self) -> None:
        model = networks.Layers(lambda x, f: 1.5 * x + 0.25 * f).eval()
        plain = networks.Layers().eval()
        plain.load_state_dict(model.state_dict())
        shown: dict[str, tuple[Tensor, Tensor]] = {}
        for name, network in (("scaled", model), ("plain", plain)):
            first = discover(network, (tokens(),)).branches[:1]

            def see(_: ResidualBranch, x: Tensor, f: Tensor, name: str = name) -> None:
                shown[name] = x, f

            with at_additions(first, see):
                network(tokens())
        torch.testing.assert_close(shown["scaled"], shown["plain"])

    def test_of_two_branches_are_shown_one_after_the_other(self) -> None:
        orders: list[Callable[[Tensor, Tensor, Tensor], Tensor]] = [
            lambda x, a, f: x + a + f,
            lambda x, a, f: a + f + x,
            lambda x, a, f: f.add_(a) + x,
        ]
        for order in orders:
            model = networks.Parallel(order).eval()
            added, sums, _ = seen(model, (tokens(),))
            torch.testing.assert_close(added, sums)
            torch.testing.assert_close(sums[0], tokens() + model.attention(model.norm1(tokens())))
            torch.testing.assert_close(sums[1], model(tokens()))

    def test_of_shared_layers_are_told_apart_by_depth(self) -> None:
        model = architecture("albert", **SIZES, embedding_size=16).eval()
        added, sums, states = seen(model, (IDS,))
        torch.testing.assert_close(added, sums)
        torch.testing.assert_close(states[-1], model(IDS).last_hidden_state)
        assert not torch.equal(states[1], states[3])

    def test_are_found_again_in_training_with_layers_dropped(self) -> None:
        model = architecture("wav2vec2", **SIZES, layerdrop=1.0)
        branches = discover(model, (torch.randn(1, 4000),)).branches
        paths: list[str] = []
        with at_additions(branches, lambda branch, *_: paths.append(branch.path)):
            model.train()(torch.randn(1, 4000))
        assert paths == []
        model.config.layerdrop = 0.0  # type: ignore[union-attr]
        with at_additions(branches, lambda branch, *_: paths.append(branch.path)):
            model(torch.randn(1, 4000))
        assert paths == [branch.path for branch in branches]

    @pytest.mark.parametrize(
        "add",
        [
            lambda x, f: x + f,
            lambda x, f: f + x,
            lambda x, f: x.add_(f),
            lambda x, f: torch.addcmul(x, f, torch.ones_like(f)),
        ],
    )
    def test_take_a_scale_for_the_shortcut(self, add: networks.Add) -> None:
        model = networks.Layers(add, depth=1).eval()
        branches = discover(model, (tokens(),)).branches
        twice = torch.tensor(2.0)
        with torch.no_grad(), at_additions(branches, lambda *_: twice):
            scaled = model(tokens())
        slow = networks.Layers(lambda x, f: 2 * x + f, depth=1).eval()
        slow.load_state_dict(model.state_dict())
        torch.testing.assert_close(scaled, slow(tokens()))

    def test_take_scales_for_two_branches(self) -> None:
        for order in (lambda x, a, f: x + a + f, lambda x, a, f: a + f + x):
            model = networks.Parallel(order).eval()
            branches = discover(model, (tokens(),)).branches
            scales = iter((torch.tensor(2.0), torch.tensor(3.0)))
            with at_additions(branches, lambda *_, scales=scales: next(scales)):
                scaled = model(tokens())
            y = model.norm1(tokens())
            slow = 3 * (2 * tokens() + model.attention(y)) + model.mlp(y)
            torch.testing.assert_close(scaled, slow)

    def test_let_gradients_through_the_scale(self) -> None:
        model = networks.Layers(depth=1).eval()
        branches = discover(model, (tokens(),)).branches
        scale = torch.tensor(2.0, requires_grad=True)
        with at_additions(branches, lambda *_: scale):
            loss = model(tokens()).square().sum()
        (found,) = torch.autograd.grad(loss, scale)
        assert found.abs() > 0


class TestStates:
    def test_of_post_ln_are_what_the_norm_gives(self) -> None:
        model = architecture("bert", **SIZES).eval()
        added, sums, states = seen(model, (IDS,))
        torch.testing.assert_close(added, sums)
        hidden = model(IDS, output_hidden_states=True).hidden_states
        torch.testing.assert_close(states[1::2], list(hidden[1:]))

    def test_of_a_norm_written_out_are_what_it_gives(self) -> None:
        class Norm(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(WIDTH))
                self.bias = nn.Parameter(torch.randn(WIDTH))

            def forward(self, x: Tensor) -> Tensor:
                x = x - x.mean(-1, keepdim=True)
                x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
                return self.weight * x + self.bias

        class PostNorm(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.ModuleList(networks.FeedForward() for _ in range(2))
                self.norms = nn.ModuleList(Norm() for _ in range(2))

            def forward(self, x: Tensor) -> Tensor:
                for layer, norm in zip(self.layers, self.norms, strict=True):
                    x = norm(x + layer(x))
                return x

        model = PostNorm()
        _, _, states = seen(model, (tokens(),))
        torch.testing.assert_close(states[1], model(tokens()))


class TestBlock:
    def test_leaves_nothing_behind(self) -> None:
        model = networks.Layers()
        branches = discover(model, (tokens(),)).branches
        before = model(tokens())
        with at_additions(branches, lambda *_: torch.tensor(3.0)):
            pass
        assert torch.equal(model(tokens()), before)
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_sees_a_compiled_network_uncompiled(self) -> None:
        model = networks.Layers().eval()
        compiled = torch.compile(model, backend="eager")
        compiled(tokens())
        branches = discover(compiled, (tokens(),)).branches  # type: ignore[arg-type]
        shown: list[Tensor] = []
        with at_sums(branches, lambda _, total: shown.append(total)):
            compiled(tokens())
        assert len(shown) == 4

    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
    def test_is_not_entered_by_what_is_recomputed(self, reentrant: bool) -> None:
        model = networks.Recomputed(reentrant)
        x = tokens().requires_grad_()
        branches = discover(model, (tokens(),)).branches
        shown: list[Tensor] = []
        with at_sums(branches, lambda _, total: shown.append(total)):
            model(x).sum().backward()
        assert len(shown) == 4
