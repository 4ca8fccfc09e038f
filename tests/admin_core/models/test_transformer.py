from typing import Any

import pytest
import torch

from admin_core.data.batches import make_batch
from admin_core.models.sublayer import ScaledShortcutAddition
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.residual import residual_branches
from admin_core.size import num_parameters, num_sublayers
from admin_core.spec import TextData, TransformerSpec
from admin_core.training.loss import batch_loss
from tests.admin_core.specs import EVERY_PART, small

ARCHITECTURES = ["encoder_decoder", "encoder_only", "decoder_only"]


def logits_of(model: Transformer, spec: TransformerSpec, seq: int = 12) -> torch.Tensor:
    batch = make_batch(TextData(), spec, batch_size=2, sequence_length=seq, seed=0)
    with torch.no_grad():
        return model.eval()(**batch.inputs)  # type: ignore[no-any-return]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("part", EVERY_PART, ids=str)
class TestEveryPartInEveryArchitecture:
    def test_has_the_parameters_and_sublayers_that_its_size_says(
        self, architecture: str, part: dict[str, Any]
    ) -> None:
        spec = small(architecture, **part)
        model = build_transformer(spec, seed=0)
        assert sum(p.numel() for p in model.parameters()) == num_parameters(spec)
        assert len(residual_branches(model)) == sum(num_sublayers(spec).values())

    def test_learns_from_a_batch(self, architecture: str, part: dict[str, Any]) -> None:
        spec = small(architecture, **part)
        model = build_transformer(spec, seed=0)
        batch = make_batch(TextData(), spec, batch_size=4, sequence_length=12, seed=0)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        losses = []
        model.eval()
        for _ in range(8):
            optimizer.zero_grad()
            loss = batch_loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] - 0.1
        unused = [name for name, p in model.named_parameters() if p.grad is None]
        assert unused == []


class TestInitialisation:
    def test_a_seed_decides_every_weight(self) -> None:
        one, same, other = (build_transformer(small(), seed=s) for s in (1, 1, 2))
        for (name, a), b, c in zip(
            one.named_parameters(), same.parameters(), other.parameters(), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
            if a.ndim >= 2:
                assert not torch.equal(a, c), name

    def test_schemes_of_one_seed_share_their_weights(self) -> None:
        post, pre = (build_transformer(small(scheme=s), seed=0) for s in ("post_ln", "pre_ln"))
        ours = dict(pre.named_parameters())
        for name, weight in post.named_parameters():
            if weight.ndim >= 2:
                torch.testing.assert_close(weight, ours[name], rtol=0, atol=0)

    def test_the_papers_projections_have_the_variance_of_their_fused_matrix(self) -> None:
        spec = small("encoder_only", d_model=256, num_heads=4, d_ff=512)
        layer = build_transformer(spec, seed=0).get_submodule("encoder.layers.0")
        attention = layer.get_submodule("self_attention.branch")
        for name in ("query", "key", "value"):
            weight = attention.get_parameter(f"{name}.weight")
            assert weight.std().item() == pytest.approx((2 / (256 + 3 * 256)) ** 0.5, rel=0.01)
        output = attention.get_parameter("output.weight")
        assert output.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
        feed_forward = layer.get_parameter("feed_forward.branch.input.weight")
        assert feed_forward.std().item() == pytest.approx((2 / (256 + 512)) ** 0.5, rel=0.01)

    @pytest.mark.parametrize(("d_model", "d_ff"), [(64, 256), (256, 512), (256, 1024)])
    def test_xavier_tells_the_output_projection_by_its_place_and_not_by_its_shape(
        self, d_model: int, d_ff: int
    ) -> None:
        sizes = {"d_model": d_model, "d_ff": d_ff, "vocab_size": 256, "tied_embeddings": False}
        model = build_transformer(small("decoder_only", **sizes), seed=0)
        found = {name: p.std().item() for name, p in model.named_parameters() if p.ndim == 2}
        fans = (2 / (d_model + d_ff)) ** 0.5
        branch = "decoder.layers.0.feed_forward.branch"
        assert found[f"{branch}.input.weight"] == pytest.approx(fans, rel=0.02)
        assert found[f"{branch}.output.weight"] == pytest.approx(fans, rel=0.02)
        assert found["output.weight"] == pytest.approx(d_model**-0.5, rel=0.02)

    @pytest.mark.parametrize("initialisation", ["xavier", "gpt2", "t5"])
    def test_first_logits_are_near_a_uniform_guess(self, initialisation: str) -> None:
        spec = small("decoder_only", d_model=64, initialisation=initialisation, dropout=0.0)
        batch = make_batch(TextData(), spec, batch_size=8, sequence_length=32, seed=0)
        loss = batch_loss(build_transformer(spec, seed=0), batch).item()
        assert 5.0 < loss < 7.0  # ln 256 = 5.55


class TestSchemes:
    def test_omega_of_one_is_post_ln_bit_for_bit(self) -> None:
        post, admin = (small(scheme=s) for s in ("post_ln", "admin"))
        expected = logits_of(build_transformer(post, seed=0), post)
        found = logits_of(build_transformer(admin, seed=0), admin)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)

    def test_an_omega_scales_the_shortcut_and_not_the_branch(self) -> None:
        spec = small("encoder_only", encoder_layers=1, scheme="admin", dropout=0.0)
        model = build_transformer(spec, seed=0)
        sublayer = residual_branches(model)[0].sublayer
        assert isinstance(sublayer.add, ScaledShortcutAddition)
        x, branch = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
        torch.nn.init.constant_(sublayer.add.omega, 3.0)
        torch.testing.assert_close(sublayer.add(x, branch), 3 * x + branch)

    def test_rezero_passes_the_embedding_through_at_first(self) -> None:
        spec = small("encoder_only", scheme="rezero")
        model = build_transformer(spec, seed=0).eval()
        batch = make_batch(TextData(), spec, batch_size=2, sequence_length=8, seed=0)
        assert model.encoder is not None
        embedded = model.encoder.embedding(batch.inputs["source"])
        torch.testing.assert_close(model.states(**batch.inputs), embedded, rtol=0, atol=0)

    def test_parallel_branches_read_the_same_input(self) -> None:
        spec = small("decoder_only", decoder_layers=1, parallel=True, scheme="pre_ln", dropout=0.0)
        model = build_transformer(spec, seed=0).eval()
        batch = make_batch(TextData(), spec, batch_size=2, sequence_length=8, seed=0)
        assert model.decoder is not None
        x = model.decoder.embedding(batch.inputs["target"])
        attention, feed_forward = (b.sublayer for b in residual_branches(model))
        expected = (
            x
            + attention.branch(attention.pre_norm(x))
            + feed_forward.branch(feed_forward.pre_norm(x))
        )
        found = model.decoder.layers[0](x, padding=None, memory=None, memory_padding=None)
        torch.testing.assert_close(found, expected)


class TestCausality:
    @pytest.mark.parametrize("part", EVERY_PART, ids=str)
    def test_a_later_token_changes_no_earlier_logit(self, part: dict[str, Any]) -> None:
        spec = small("decoder_only", **part)
        model = build_transformer(spec, seed=0).eval()
        tokens = torch.randint(1, 256, (2, 10), generator=torch.Generator().manual_seed(0))
        changed = tokens.clone()
        changed[:, 6:] = 7
        with torch.no_grad():
            before, after = model(target=tokens), model(target=changed)
        torch.testing.assert_close(before[:, :6], after[:, :6])


class TestPadding:
    @pytest.mark.parametrize("part", EVERY_PART, ids=str)
    def test_what_stands_in_the_padding_changes_nothing_else(self, part: dict[str, Any]) -> None:
        spec = small(**part)
        model = build_transformer(spec, seed=0).eval()
        batch = make_batch(TextData(), spec, batch_size=2, sequence_length=8, seed=0)
        padding = torch.zeros(2, 8, dtype=torch.bool)
        padding[0, 5:] = True
        source = batch.inputs["source"]
        other = source.masked_fill(padding, 9)
        with torch.no_grad():
            target = batch.inputs["target"]
            before = model(source=source, target=target, source_padding=padding)
            after = model(source=other, target=target, source_padding=padding)
            without = model(source=source[:1, :5], target=target[:1])
        torch.testing.assert_close(before, after)
        torch.testing.assert_close(before[:1], without)


def test_rotary_attention_depends_on_relative_positions_alone() -> None:
    spec = small("encoder_only", encoder_layers=1, positions="rotary")
    model = build_transformer(spec, seed=0)
    attention = residual_branches(model)[0].sublayer.branch
    x = torch.randn(1, 1, 16).expand(1, 9, 16)  # one token, nine times
    queries, keys = attention.queries_and_keys(x)  # type: ignore[operator]
    products = (queries @ keys.transpose(-1, -2))[0, 0]
    for offset in range(-4, 5):
        diagonal = products.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert not torch.allclose(products[0], products[0, 0])


def test_grouped_queries_equal_full_attention_with_repeated_keys_and_values() -> None:
    grouped = small("decoder_only", num_kv_heads=2)
    model, full = (
        build_transformer(grouped, seed=0),
        build_transformer(small("decoder_only"), seed=0),
    )
    with torch.no_grad():
        for ours, theirs in zip(residual_branches(model), residual_branches(full), strict=True):
            for name, weight in ours.sublayer.named_parameters():
                target = theirs.sublayer.get_parameter(name)
                if ".key." in name or ".value." in name:
                    by_head = weight.reshape(2, 4, -1)
                    target.copy_(by_head.repeat_interleave(2, dim=0).reshape(target.shape))
                else:
                    target.copy_(weight)
    torch.testing.assert_close(logits_of(model, grouped), logits_of(full, grouped))
