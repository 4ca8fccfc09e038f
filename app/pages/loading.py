"""Code that loads the omegas of a diagnosis, to be copied. Each piece is run by the tests with a
real file, but for the flags of fairseq, of which its reader's rules are.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from admin_core.omega_files import OmegaFormat
from admin_core.report import Report

BLOCK = '''\
import json
import torch


class SubLayer(torch.nn.Module):
    """x -> LN(omega * x + f(x)), with a trainable omega for each feature."""

    def __init__(self, branch, d_model, omega):
        super().__init__()
        self.branch = branch
        self.norm = torch.nn.LayerNorm(d_model)
        self.omega = torch.nn.Parameter(torch.full((d_model,), omega))

    def forward(self, x, *rest):
        return self.norm(self.omega * x + self.branch(x, *rest))


with open("omega.json") as file:
    rows = json.load(file)["omegas"]  # in forward order, the encoder's first
omegas = {(row["stack"], row["index"]): row["omega"] for row in rows}
'''

TORCH = '''\
import json
import torch


def scale_shortcuts(stack, omegas):
    """Make LN(x + f) of each sub-layer LN(omega * x + f), as LN(x + f / omega) is the same."""
    dropouts = [
        getattr(layer, name)
        for layer in stack.layers
        for name in ("dropout1", "dropout2", "dropout3")
        if hasattr(layer, name)
    ]
    for dropout, omega in zip(dropouts, omegas, strict=True):
        dropout.register_forward_hook(lambda _, __, branch, omega=omega: branch / omega)


with open("omega.json") as file:
    rows = json.load(file)["omegas"]
{calls}'''

CLINIC = """\
# In the folder that training starts in, where the authors' code looks for this name.
curl -o profile.ratio.init '{address}?format=clinic'
fairseq-train DATA --arch transformer_wmt_en_de --init-type adaptive \\
    {sizes}
"""

DEEPNMT = """\
curl -o profile.init '{address}?format=deepnmt'
fairseq-train DATA --admin-init-type adaptive --admin-init-path profile.init \\
    {sizes}
"""

ADMIN_TORCH = '''\
import admin_torch
import torch
from safetensors.torch import load_file


class SubLayer(torch.nn.Module):
    """x -> LN(omega * x + f(x)). The attribute is called `add`, as in the file."""

    def __init__(self, branch, d_model, num_sublayers):
        super().__init__()
        self.branch = branch
        self.norm = torch.nn.LayerNorm(d_model)
        self.add = admin_torch.as_module(num_sublayers)

    def forward(self, x, *rest):
        return self.norm(self.add(x, self.branch(x, *rest)))


# `model` holds its sub-layers at these paths: {paths}
known = model.load_state_dict(load_file("omega.safetensors"), strict=False)
assert not known.unexpected_keys, known.unexpected_keys
'''

TRANSFORMERS = """\
import json
import torch
from admin_core.residual import discover
from admin_core.residual.omega import apply_omega

# `model` is any Post-LN model with as many sub-layers, such as a fresh BertForMaskedLM.
tokens = torch.ones(1, 8, dtype=torch.long)
with open("omega.json") as file:
    rows = json.load(file)["omegas"]
omegas = {(row["stack"], row["index"]): row["omega"] for row in rows}
branches = [b for b in discover(model, {inputs}).branches if (b.stack, b.index) in omegas]
assert len(branches) == len(omegas), (len(branches), len(omegas))
apply_omega(branches, [omegas[b.stack, b.index] for b in branches])
# The omegas are parameters now, `NORM.omega`, and train with the others.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one code base loads the omegas."""

    title: str
    note: str
    file_format: OmegaFormat
    code: str


def recipes(report: Report, spec: Mapping[str, Any], address: str) -> list[Recipe]:
    """Of the code bases that can take them; none where there are no omegas.

    Args:
        spec: what was diagnosed, for the sizes.
        address: where the omega files are.
    """
    stacks = {str(b.stack): b for b in report.branches if b.omega is not None}
    return list(_recipes(report, spec, address, list(stacks))) if stacks else []


def _recipes(
    report: Report, spec: Mapping[str, Any], address: str, stacks: list[str]
) -> Iterator[Recipe]:
    yield Recipe(
        title="A block of your own, in plain PyTorch",
        note="One line of a Post-LN block changes. The omegas train, as the authors' do.",
        file_format=OmegaFormat.JSON,
        code=BLOCK,
    )
    yield Recipe(
        title="torch.nn.Transformer as it is",
        note="Nothing is subclassed. The omegas stay fixed, and norm_first must be False.",
        file_format=OmegaFormat.JSON,
        code=TORCH.format(calls="\n".join(_torch_calls(stacks))),
    )
    yield Recipe(
        title="Transformers",
        note="With Trimtab installed beside it: the shortcuts are found, and nothing is edited.",
        file_format=OmegaFormat.JSON,
        code=TRANSFORMERS.replace("{inputs}", _inputs(stacks)),
    )
    yield Recipe(
        title="admin-torch",
        note="The authors' package. Build with its default scale, not with O(n), which ignores "
        "what is loaded.",
        file_format=OmegaFormat.SAFETENSORS,
        code=ADMIN_TORCH.format(paths=", ".join(_first_paths(report))),
    )
    if stacks == ["encoder", "decoder"]:
        yield Recipe(
            title="fairseq with Transformer-Clinic",
            note="The authors' code for the paper. Both stacks must be Post-LN.",
            file_format=OmegaFormat.CLINIC,
            code=CLINIC.format(address=address, sizes=_flags(spec)),
        )
        yield Recipe(
            title="fairseq with deepnmt",
            note="The same omegas, one a line, encoder first.",
            file_format=OmegaFormat.DEEPNMT,
            code=DEEPNMT.format(address=address, sizes=_flags(spec)),
        )


def _torch_calls(stacks: list[str]) -> Iterator[str]:
    for stack in stacks:
        attribute = f"model.{stack}" if stack in ("encoder", "decoder") else "stack"
        omegas = f'[row["omega"] for row in rows if row["stack"] == {json.dumps(stack)}]'
        yield f"scale_shortcuts({attribute}, {omegas})"


def _inputs(stacks: list[str]) -> str:
    if "decoder" in stacks and len(stacks) > 1:
        return '{"input_ids": tokens, "decoder_input_ids": tokens}'
    return '{"input_ids": tokens}'


def _first_paths(report: Report) -> list[str]:
    paths = [branch.path for branch in report.branches if branch.omega is not None]
    return [*paths[:2], "..."] if len(paths) > 2 else paths


FLAGS = {
    "encoder_layers": "encoder-layers",
    "decoder_layers": "decoder-layers",
    "d_model": ("encoder-embed-dim", "decoder-embed-dim"),
    "d_ff": ("encoder-ffn-embed-dim", "decoder-ffn-embed-dim"),
    "num_heads": ("encoder-attention-heads", "decoder-attention-heads"),
}


def _flags(spec: Mapping[str, Any]) -> str:
    """The sizes as fairseq's flags, where the spec has them."""
    model = spec.get("model")
    model = model if isinstance(model, Mapping) else {}
    known = {**model, "d_ff": model.get("d_ff") or 4 * int(model.get("d_model") or 0)}
    parts = []
    for field, names in FLAGS.items():
        for name in (names,) if isinstance(names, str) else names:
            if known.get(field):
                parts.append(f"--{name} {known[field]}")
    return " \\\n    ".join(parts) or "..."
