"""The paper's Table 1 from gradients alone: does the decoder's gradient vanish?

    python -m bench.gradients [d_model]      # a minute on one core at d_model 64

For encoder-decoders on the pydoc text, geometric means over three seeds of

    first/last   |dL/dx_1| / |dL/dx_N| in a stack of N sub-layers: far below 1 is vanishing
    spread       largest / smallest update ratio of the decoder's sub-layers, after one step of SGD
                 and of Adam
"""

import sys

import torch

from admin_core.analysis.gradients import gradients
from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import profile
from admin_core.analysis.training_pass import training_pass
from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.report import GradientsSection
from admin_core.residual import residual_branches
from admin_core.spec import Optimizer, Stack, TextData, TrainingSpec, TransformerSpec

PAIRS = (
    ("post_ln", "post_ln"),
    ("post_ln", "pre_ln"),
    ("pre_ln", "pre_ln"),
    ("admin", "admin"),
)
SEEDS = range(3)


def section(
    *, layers: int, d_model: int, encoder: str, decoder: str, seed: int
) -> GradientsSection:
    """What a diagnosis would report of one model."""
    spec = TransformerSpec.model_validate(
        {
            "architecture": "encoder_decoder",
            "encoder_layers": layers,
            "decoder_layers": layers,
            "d_model": d_model,
            "num_heads": 4,
            "scheme": {"encoder": encoder, "decoder": decoder},
        }
    )
    model = build_transformer(spec, seed=seed)
    branches = residual_branches(model)
    batch = make_batch(TextData(), spec, batch_size=4, sequence_length=32, seed=seed)
    if encoder == "admin":
        apply_omegas(profile(model, branches, batch, admin_stacks=list(Stack), seed=seed))
    with training_pass(model, branches, batch, seed=seed) as passed:
        return gradients(model, branches, passed, TrainingSpec())


def measure(*, layers: int, d_model: int, encoder: str, decoder: str, seed: int) -> list[float]:
    """first/last of the encoder and of the decoder, spread under SGD and under Adam."""
    measured = section(layers=layers, d_model=d_model, encoder=encoder, decoder=decoder, seed=seed)
    row = []
    for stack in Stack:
        norms = [found.gradient_norm for found in measured.branches if found.stack is stack]
        row.append((norms[0] or 0.0) / (norms[-1] or 1.0))
    for optimizer in (Optimizer.SGD, Optimizer.ADAM):
        ratios = [
            found.update_ratios[optimizer] or 0.0
            for found in measured.branches
            if found.stack is Stack.DECODER
        ]
        row.append(max(ratios) / min(ratios))
    return row


def main() -> None:
    d_model = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    print(f"d_model {d_model}")
    print("layers  encoder  decoder  | first/last: encoder  decoder | spread: sgd   adam")
    for layers in (6, 12, 18):
        for encoder, decoder in PAIRS:
            rows = [
                measure(layers=layers, d_model=d_model, encoder=encoder, decoder=decoder, seed=seed)
                for seed in SEEDS
            ]
            mean = torch.tensor(rows).log().mean(0).exp().tolist()
            print(
                f"{layers:6}  {encoder:7}  {decoder:7}  | {mean[0]:19.2f}  {mean[1]:7.3f} "
                f"| {mean[2]:11.1f}  {mean[3]:5.2f}"
            )


if __name__ == "__main__":
    main()
