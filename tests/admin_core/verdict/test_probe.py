import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from admin_core.race_spec import RunSpec
from admin_core.sources import source_of
from admin_core.spec import Stack
from admin_core.training.run_batches import RunBatches
from admin_core.verdict.look import token_similarity
from admin_core.verdict.probe import Probe, probe, probe_steps

CPU = torch.device("cpu")


def run_spec(scheme: str = "post_ln", layers: int = 2, **training: object) -> RunSpec:
    return RunSpec.model_validate(
        {
            "name": "probe",
            "model": {
                "architecture": "decoder_only",
                "decoder_layers": layers,
                "d_model": 32,
                "num_heads": 2,
                "scheme": scheme,
            },
            "training": {
                "learning_rate": 1e-3,
                "warmup_steps": 10,
                "steps": 200,
                "batch_size": 8,
                "sequence_length": 16,
                **training,
            },
        }
    )


def probed(run: RunSpec, seed: int = 0) -> Probe:
    source = source_of(run, CPU)
    model = source.build(seed)
    batches = RunBatches(run, seed, source)
    return probe(model, source.branches(model), batches.training, run.training, seed=seed)


class TestTokenSimilarity:
    def test_is_the_mean_cosine_over_all_pairs_of_places(self) -> None:
        state = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
        flat = state.flatten(0, 1)
        pairs = [
            float(F.cosine_similarity(flat[s], flat[t], dim=0))
            for s in range(len(flat))
            for t in range(len(flat))
            if s != t
        ]
        assert token_similarity(state) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)

    def test_is_one_when_all_states_point_the_same_way(self) -> None:
        direction: Tensor = torch.randn(7)
        scale = torch.rand(2, 3, 1) + 0.1
        assert token_similarity(scale * direction) == pytest.approx(1, abs=1e-6)


class TestProbe:
    def test_looks_before_the_first_and_after_the_last_step(self) -> None:
        run = run_spec()
        found = probed(run)
        assert found.finite
        assert len(found.losses) == len(found.predictions) == probe_steps(run.training) + 1
        assert set(found.before) == set(found.after) == {Stack.DECODER}

    def test_is_the_same_for_the_same_seed(self) -> None:
        assert probed(run_spec(), seed=3) == probed(run_spec(), seed=3)

    def test_lowers_the_loss_where_the_learning_rate_is_sound(self) -> None:
        found = probed(run_spec("pre_ln", learning_rate=3e-3, warmup_steps=0))
        assert found.losses[-1] < found.losses[0] - 0.5

    def test_sees_the_states_of_a_deep_post_ln_model_collapse_where_pre_ln_keeps_its_gradient(
        self,
    ) -> None:
        def decay(scheme: str) -> float:
            found = probed(run_spec(scheme, layers=12, learning_rate=1e-2, warmup_steps=0))
            return found.after[Stack.DECODER].gradient_decay or 0.0

        assert decay("post_ln") > decay("pre_ln") + 1

    def test_says_that_a_loss_was_not_finite(self) -> None:
        run = run_spec(optimizer="sgd", learning_rate=1e6, warmup_steps=0)
        found = probed(run)
        assert not found.finite
        assert all(math.isfinite(loss) for loss in found.losses)
        assert len(found.losses) < probe_steps(run.training) + 1

    def test_sees_that_a_short_step_does_what_the_gradient_promises(self) -> None:
        found = probed(run_spec(optimizer="sgd", learning_rate=1e-3, warmup_steps=0))
        assert found.descent == pytest.approx(1, abs=0.05)

    def test_sees_it_of_a_clipped_step_too(self) -> None:
        clipped = run_spec(optimizer="sgd", learning_rate=1e-2, clip_norm=0.1, warmup_steps=0)
        assert probed(clipped).descent == pytest.approx(1, abs=0.05)

    def test_sees_that_a_long_step_does_not(self) -> None:
        found = probed(run_spec(learning_rate=0.3, warmup_steps=0))
        assert found.descent is not None
        assert found.descent < 0.5

    def test_takes_the_steps_that_radam_comes_to_in_the_end(self) -> None:
        steps: dict[str, Any] = {"learning_rate": 3e-3, "betas": [0.9, 0.9], "schedule": "constant"}
        radam = probed(run_spec(optimizer="radam", **steps))
        adam = probed(run_spec(optimizer="adam", **steps))
        assert radam.update_ratio == pytest.approx(adam.update_ratio, rel=0.1)

    def test_looks_at_a_network_of_the_transformers_library_too(self) -> None:
        config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 320}
        run = RunSpec.model_validate(
            {
                "name": "probe",
                "model": {"kind": "huggingface", "config": config},
                "training": {"batch_size": 4, "sequence_length": 16, "steps": 200},
            }
        )
        found = probed(run)
        assert found.finite
        assert 0 <= found.after[Stack.DECODER].token_similarity <= 1
