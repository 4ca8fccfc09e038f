import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from admin_core.errors import ForwardError
from admin_core.report import NormPlacement, Role
from admin_core.residual import DiscoveredBranch, discover
from admin_core.spec import Stack
from tests.admin_core.residual import networks
from tests.admin_core.residual.networks import IDS, SIZES, WIDTH, architecture, tokens

ATTENTION_AND_FEED_FORWARD = [Role.SELF_ATTENTION, Role.FEED_FORWARD] * 2


def branches(model: nn.Module, *inputs: Tensor) -> tuple[DiscoveredBranch, ...]:
    return discover(model, inputs).branches


def roles(model: nn.Module, *inputs: Tensor) -> list[Role]:
    return [branch.role for branch in branches(model, *inputs)]


def placements(model: nn.Module, *inputs: Tensor) -> set[NormPlacement]:
    return {branch.norm_placement for branch in branches(model, *inputs)}


class TestAddition:
    @pytest.mark.parametrize(
        "add",
        [
            lambda x, f: x + f,
            lambda x, f: f + x,
            lambda x, f: f.add_(x),
            lambda x, f: x.add_(f),
            lambda x, f: torch.add(x, f, alpha=0.5),
            lambda x, f: 0.5 * x + f,
            lambda x, f: x * 2 + f / 2,
            lambda x, f: torch.addcmul(x, f, torch.full_like(f, 0.1)),
            lambda x, f: sum([x, f]),
            lambda x, f: (x.double() + f.double()).float(),
            lambda x, f: x + nn.functional.dropout(f, 0.1),
        ],
        ids=[
            *("plain", "other_way_round", "into_the_branch", "into_the_stream", "alpha"),
            *("scaled_shortcut", "both_scaled", "addcmul", "sum", "double", "dropout"),
        ],
    )
    def test_is_found_however_it_is_written(self, add: networks.Add) -> None:
        model = networks.Layers(add)
        assert roles(model, tokens()) == ATTENTION_AND_FEED_FORWARD
        assert placements(model, tokens()) == {NormPlacement.PRE}

    def test_is_found_where_a_product_of_matrices_is_added_at_once(self) -> None:
        class Fused(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(2, WIDTH, WIDTH))

            def forward(self, x: Tensor) -> Tensor:
                return torch.baddbmm(x, x.relu(), self.weight)

        (branch,) = branches(Fused(), tokens())
        assert branch.role is Role.FEED_FORWARD
        assert list(branch.parameters) == ["weight"]

    def test_with_two_branches_is_two_whatever_the_order(self) -> None:
        orders: list[Callable[[Tensor, Tensor, Tensor], Tensor]] = [
            lambda x, a, f: x + a + f,
            lambda x, a, f: a + f + x,
            lambda x, a, f: x + (f + a),
        ]
        for order in orders:
            found = branches(networks.Parallel(order), tokens())
            assert [branch.role for branch in found] == ATTENTION_AND_FEED_FORWARD[:2]
            assert all(branch.parallel for branch in found)
            assert [branch.path for branch in found] == ["attention", "mlp"]

    def test_in_a_rotation_is_none(self) -> None:
        assert roles(networks.RotatedPair(), tokens()) == [Role.SELF_ATTENTION]

    def test_of_experts_is_none(self) -> None:
        (branch,) = branches(networks.Experts(), tokens())
        assert branch.role is Role.FEED_FORWARD
        assert {path.split(".")[0] for path in branch.parameters} == {
            *("norm2", "router", "experts", "mlp")
        }

    def test_in_a_recurrence_is_none(self) -> None:
        assert roles(networks.StateSpace(), tokens()) == [Role.MIXER]

    def test_to_the_scores_of_every_layer_is_none(self) -> None:
        assert roles(networks.RelativeBias(), tokens()) == [Role.SELF_ATTENTION] * 2

    def test_of_learned_queries_to_every_state_is_none(self) -> None:
        found = branches(networks.Queries(), tokens())
        assert [branch.role for branch in found] == [
            *(Role.SELF_ATTENTION, Role.CROSS_ATTENTION, Role.FEED_FORWARD)
        ] * 2
        assert {branch.norm_placement for branch in found} == {NormPlacement.POST}

    def test_to_a_projected_shortcut_is_found(self) -> None:
        found = branches(networks.ResNet(), torch.randn(2, 3, 8, 8))
        assert [branch.addition_path for branch in found] == [f"blocks.{i}" for i in range(4)]
        assert {branch.role for branch in found} == {Role.CONVOLUTION}
        assert {branch.norm_placement for branch in found} == {NormPlacement.OUTPUT}

    def test_of_skips_of_a_u_shaped_network_is_none(self) -> None:
        assert branches(networks.UNet(), torch.randn(1, 3, 8, 8)) == ()

    def test_in_a_module_that_norms_too_is_found(self) -> None:
        found = branches(networks.FusedPreNorm(), tokens())
        assert [branch.role for branch in found] == ATTENTION_AND_FEED_FORWARD[:2]
        assert {branch.norm_placement for branch in found} == {NormPlacement.PRE}

    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
    def test_in_what_is_recomputed_is_found_once(self, reentrant: bool) -> None:
        assert roles(networks.Recomputed(reentrant), tokens()) == ATTENTION_AND_FEED_FORWARD

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_in_a_compiled_network_is_that_of_the_network(self) -> None:
        model = networks.Layers()
        found = branches(torch.compile(model), tokens())  # type: ignore[arg-type]
        assert [branch.path for branch in found] == [
            branch.path for branch in branches(model, tokens())
        ]

    def test_of_a_network_without_any_is_none(self) -> None:
        assert branches(nn.Sequential(nn.Linear(WIDTH, 4), nn.ReLU()), tokens()) == ()


class TestSharedLayers:
    def test_count_once_a_depth(self) -> None:
        found = branches(architecture("albert", **SIZES, embedding_size=16), IDS)
        assert [branch.index for branch in found] == [1, 2, 3, 4]
        assert found[0].path == found[2].path
        assert list(found[0].parameters) == list(found[2].parameters)
        assert found[0].site != found[2].site


class TestScales:
    def test_of_deepnorm_are_named(self) -> None:
        found = branches(networks.Layers(lambda x, f: 1.5 * x + f), tokens())
        assert {branch.shortcut_factors for branch in found} == {(1.5,)}
        assert {branch.branch_factors for branch in found} == {()}

    def test_of_layer_scale_are_named(self) -> None:
        model = architecture("dinov2", **SIZES, image_size=28, patch_size=14)
        found = branches(model, torch.randn(1, 3, 28, 28))
        assert found[0].branch_factors == ("encoder.layer.0.layer_scale1.lambda1",)


class TestDescription:
    def test_of_bert(self) -> None:
        found = branches(architecture("bert", **SIZES), IDS)
        assert [(b.index, b.stack, b.path, b.role) for b in found[:2]] == [
            (1, Stack.ENCODER, "encoder.layer.0.attention", Role.SELF_ATTENTION),
            (2, Stack.ENCODER, "encoder.layer.0.output", Role.FEED_FORWARD),
        ]
        assert found[0].addition_path == "encoder.layer.0.attention.output"
        assert found[0].norm_placement is NormPlacement.POST
        assert found[0].norm_path == "encoder.layer.0.attention.output.LayerNorm"
        assert "encoder.layer.0.intermediate.dense.weight" in found[1].parameters
        assert "encoder.layer.0.intermediate.intermediate_act_fn" in found[1].modules

    def test_of_an_encoder_and_a_decoder(self) -> None:
        model = architecture("t5", num_layers=2, d_model=32, num_heads=4, d_kv=8, d_ff=64)
        found = discover(model, {"input_ids": IDS, "decoder_input_ids": IDS}).stacks
        assert {name: len(own) for name, own in found.items()} == {"encoder": 4, "decoder": 6}
        assert [branch.role for branch in found["decoder"][:3]] == [
            *(Role.SELF_ATTENTION, Role.CROSS_ATTENTION, Role.FEED_FORWARD)
        ]

    def test_of_two_towers_names_their_paths(self) -> None:
        vision = SIZES | {"image_size": 32, "patch_size": 16}
        model = architecture("clip", text_config=SIZES, vision_config=vision)
        inputs = {"input_ids": IDS, "pixel_values": torch.randn(2, 3, 32, 32)}
        found = discover(model, inputs).stacks
        assert {name: len(own) for name, own in found.items()} == {
            "vision_model.encoder": 4,
            "text_model.encoder": 4,
        }

    def test_of_stages_is_one_stack(self) -> None:
        stages = {"depths": [2, 2], "num_heads": [2, 4]}
        model = architecture("swin", embed_dim=16, image_size=32, patch_size=2, **stages)
        found = branches(model, torch.randn(1, 3, 32, 32))
        assert [branch.index for branch in found] == list(range(1, 9))

    @pytest.mark.parametrize(
        ("norm_first", "placement"), [(False, NormPlacement.POST), (True, NormPlacement.PRE)]
    )
    @pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
    def test_of_pytorchs_own_layers(self, norm_first: bool, placement: NormPlacement) -> None:
        model = nn.Transformer(WIDTH, 2, 2, 2, 16, batch_first=True, norm_first=norm_first)
        found = branches(model, tokens(), tokens())
        assert len(found) == 10
        assert {branch.norm_placement for branch in found} == {placement}


class TestPass:
    def test_leaves_nothing_behind(self) -> None:
        model = networks.ResNet()
        model.blocks[1].eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        discover(model, (torch.randn(2, 3, 8, 8),))
        assert model.training
        assert not model.blocks[1].training
        for name, value in model.state_dict().items():
            assert torch.equal(before[name], value)
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks

    def test_of_seventy_billion_parameters_needs_neither_memory_nor_minutes(self) -> None:
        sizes = {"hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 128256}
        heads = {"num_attention_heads": 64, "num_key_value_heads": 8}
        with torch.device("meta"):
            model = architecture("llama", num_hidden_layers=80, **sizes, **heads)
        assert sum(parameter.numel() for parameter in model.parameters()) > 6.9e10
        started = time.perf_counter()
        assert len(branches(model, torch.zeros(4, 128, dtype=torch.long, device="meta"))) == 160
        assert time.perf_counter() - started < 60

    def test_that_raises_is_a_problem_that_names_the_module(self) -> None:
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH + 1, WIDTH))
        with pytest.raises(ForwardError, match=r"in 1 \(Linear\)") as caught:
            discover(model, (tokens(),))
        assert caught.value.path == "1"
