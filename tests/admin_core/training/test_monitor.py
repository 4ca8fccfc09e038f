import math
from typing import Any

import pytest
import torch
from torch import nn

from admin_core.data.batch import Batch
from admin_core.data.batches import make_batch
from admin_core.models.attention import Attention
from admin_core.models.feed_forward import FeedForward
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.race_report import MonitorSection, WatchPoint
from admin_core.residual import at_additions, residual_branches
from admin_core.spec import TextData, TrainingSpec
from admin_core.training.loss import batch_loss
from admin_core.training.loss_rules import LossPreset
from admin_core.training.monitor import Monitor
from admin_core.training.optimizers import make_optimizer
from admin_core.training.step import training_step
from tests.admin_core.specs import small

SPEC = small(dropout=0.0, vocab_size=300)


def batch(step: int, **spec: Any) -> Batch:
    return make_batch(TextData(**spec), SPEC, batch_size=3, sequence_length=8, seed=0, step=step)


def run(steps: int, *, every: int | None, **data: Any) -> tuple[list[float], Transformer, Any]:
    """Losses and weights after a loop that a user might write, watched unless `every` is None."""
    model = build_transformer(SPEC, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    monitor = None if every is None else Monitor(model, optimizer, every=every)
    if monitor is not None:
        monitor.__enter__()
    for step in range(steps):
        loss = batch_loss(model, batch(step, **data))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if monitor is not None:
            monitor.step(loss)
    if monitor is not None:
        monitor.__exit__(None, None, None)
    return losses, model, monitor


def first_point() -> WatchPoint:
    point: WatchPoint = run(1, every=1)[2].points[0]
    return point


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


class TestALoop:
    def test_is_not_changed_by_being_watched(self) -> None:
        losses, model, _ = run(5, every=None)
        watched_losses, watched, _ = run(5, every=2)
        assert watched_losses == losses
        for one, other in zip(model.parameters(), watched.parameters(), strict=True):
            assert torch.equal(one, other)

    def test_is_looked_at_in_its_first_step_and_every_so_often(self) -> None:
        assert [point.step for point in run(7, every=3)[2].points] == [1, 3, 6]

    def test_carries_no_hook_between_looks_nor_afterwards(self) -> None:
        model = build_transformer(SPEC, seed=0)
        optimizer = make_optimizer(model, TrainingSpec())
        with Monitor(model, optimizer, every=3) as monitor:
            assert hooks(model) > 0
            for step, hooked in enumerate((False, True, False), start=1):
                loss = training_step(
                    model, optimizer, [batch(step)], TrainingSpec(), learning_rate=1e-3
                )
                monitor.step(loss)
                assert (hooks(model) > 0) is hooked
        assert hooks(model) == 0
        assert not optimizer._optimizer_step_pre_hooks

    def test_keeps_its_hooks_off_an_exception(self) -> None:
        model = build_transformer(SPEC, seed=0)
        with (
            pytest.raises(ZeroDivisionError),
            Monitor(model, make_optimizer(model, TrainingSpec())),
        ):
            1 / 0  # noqa: B018
        assert hooks(model) == 0

    def test_of_padded_sequences_is_watched_too(self) -> None:
        point = run(1, every=1, lengths="varied")[2].points[0]
        assert all(value is not None for value in point.largest_attention_logit.values())

    def test_over_anybodys_network_is_watched(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU())
        model[2].requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with Monitor(model, optimizer, every=1) as monitor:
            loss = model(1e4 * torch.ones(5, 4)).square().mean()
            loss.backward()
            optimizer.step()
            point = monitor.step(loss)
        assert point is not None
        assert set(point.gradient_norm) == {"0"}  # layer 2 is frozen
        assert point.saturated_units["1"] == 1.0
        assert "3" in point.dead_units
        assert "saturated_units" in {found.rule for found in monitor.section().findings}


class TestALook:
    def test_has_each_sublayers_gradient_norm_and_update_ratio(self) -> None:
        point = first_point()
        model = build_transformer(SPEC, seed=0)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        before = {name: p.detach().double().clone() for name, p in model.named_parameters()}
        batch_loss(model, batch(0)).backward()  # type: ignore[no-untyped-call]
        gradients = {n: p.grad.double() for n, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        after = {name: p.detach().double() for name, p in model.named_parameters()}
        paths = [branch.path for branch in residual_branches(model)]
        assert set(point.gradient_norm) == {*paths, "encoder.embedding.tokens"}
        for path in point.gradient_norm:
            own = [name for name in before if name.startswith(f"{path}.")]
            norm = math.sqrt(sum(float(gradients[name].square().sum()) for name in own))
            assert point.gradient_norm[path] == pytest.approx(norm, rel=1e-5)
            change = math.sqrt(sum(float((after[n] - before[n]).square().sum()) for n in own))
            size = math.sqrt(sum(float(before[n].square().sum()) for n in own))
            assert point.update_ratio[path] == pytest.approx(change / size, rel=1e-4)

    def test_has_each_branchs_share_of_the_sum_it_enters(self) -> None:
        model = build_transformer(SPEC, seed=0)
        branches = residual_branches(model)
        shares = {}

        def see(branch: Any, x: torch.Tensor, f: torch.Tensor) -> None:
            f, x = f.detach().double(), x.detach().double()
            shares[branch.path] = float(f.var(correction=0) / (x + f).var(correction=0))

        with at_additions(branches, see):
            model(**batch(0).inputs)
        assert first_point().dependency == pytest.approx(shares, rel=1e-5)

    def test_has_the_largest_logits(self) -> None:
        model = build_transformer(SPEC, seed=0)
        logits: dict[str, float] = {}

        def watch(path: str) -> Any:
            def see(module: Attention, arguments: Any) -> None:
                x, memory, _ = arguments
                queries, keys = module.queries_and_keys(x, memory)
                products = queries.double() @ keys.double().mT / math.sqrt(module.d_head)
                if module.causal:
                    products = products.tril()
                logits[path] = float(products.detach().abs().max())

            return see

        for path, module in model.named_modules():
            if isinstance(module, Attention):
                module.register_forward_pre_hook(watch(path))
        output = model(**batch(0).inputs)
        point = first_point()
        assert point.largest_attention_logit == pytest.approx(logits, rel=1e-5)
        assert point.largest_output_logit == pytest.approx(float(output.detach().abs().max()))

    def test_counts_units_that_never_act(self) -> None:
        model = build_transformer(SPEC, seed=0)
        feed_forward = residual_branches(model)[1].sublayer.branch
        assert isinstance(feed_forward, FeedForward)
        with torch.no_grad():
            feed_forward.input.bias[:40] = -100.0
        optimizer = make_optimizer(model, TrainingSpec())
        with Monitor(model, optimizer, every=1) as monitor:
            loss = training_step(model, optimizer, [batch(0)], TrainingSpec(), learning_rate=0.0)
            point = monitor.step(loss)
        assert point is not None
        path = "encoder.layers.0.feed_forward.branch.activation"
        assert point.dead_units[path] == pytest.approx(40 / 64, abs=0.05)
        assert (path, "dead_units") in {(f.path, f.rule) for f in monitor.section().findings}


class TestFindings:
    def follow(self, losses: list[float], preset: str = "lightning") -> MonitorSection:
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with Monitor(model, optimizer, every=0, loss_rule=LossPreset(preset)) as monitor:
            for loss in losses:
                monitor.step(loss)
        return monitor.section()

    def test_a_spike_is_found_with_its_step_and_threshold(self) -> None:
        (found,) = self.follow([1.0] * 20 + [4.0] + [1.0] * 20).findings
        assert (found.rule, found.path, found.first_step, found.measured) == (
            "lightning",
            "loss",
            21,
            4.0,
        )
        assert found.threshold == pytest.approx(3.0)

    def test_a_loss_that_is_not_finite_is_found_and_does_not_hide_the_spike_behind_it(self) -> None:
        section = self.follow([1.0] * 20 + [math.nan, math.inf] + [4.0])
        assert [(f.rule, f.first_step, f.count) for f in section.findings] == [
            ("non_finite", 21, 2),
            ("lightning", 23, 1),
        ]
        assert section.model_dump_json()

    def test_a_loss_may_be_a_tensor(self) -> None:
        model = nn.Linear(1, 1)
        with Monitor(model, torch.optim.SGD(model.parameters()), every=0) as monitor:
            monitor.step(torch.tensor(math.nan))
        assert monitor.section().findings[0].rule == "non_finite"

    def test_gradients_that_are_not_finite_are_found_where_they_are(self) -> None:
        first, second = nn.Linear(2, 2), nn.Linear(2, 2)
        model = nn.Sequential(first, second)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with Monitor(model, optimizer, every=1) as monitor:
            loss = model(torch.ones(1, 2)).sum()
            loss.backward()
            assert second.weight.grad is not None
            second.weight.grad[0, 0] = math.nan
            optimizer.step()
            monitor.step(loss)
        found = {(finding.rule, finding.path) for finding in monitor.section().findings}
        assert ("non_finite", "1") in found
        assert ("non_finite", "0") not in found


def test_a_restored_monitor_ends_as_one_that_was_never_stopped() -> None:
    _, _, whole = run(6, every=2)
    _, _, half = run(3, every=2)
    model = build_transformer(SPEC, seed=0)
    other = Monitor(model, make_optimizer(model, TrainingSpec()), every=2)
    other.restore(half.state())
    assert other.state() == half.state()
    assert other.section() == half.section()
    assert whole.section() != half.section()


def test_looks_are_thinned_when_there_are_many() -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Monitor(model, optimizer, every=1) as monitor:
        for _ in range(500):
            monitor.step(1.0)
    steps = [point.step for point in monitor.section().points]
    assert steps[0] == 1
    assert 100 <= len(steps) <= 200
