"""The code that the page of a diagnosis offers is run as it stands, with the service's files."""

from pathlib import Path
from typing import Any

import admin_torch
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM

from admin_core.diagnosis import diagnose_spec
from admin_core.omega_files import OmegaFormat, omega_file
from admin_core.report import Report
from admin_core.spec import DiagnosisSpec
from app.pages.loading import recipes

ENCODER_DECODER: dict[str, Any] = {
    "architecture": "encoder_decoder",
    "encoder_layers": 3,
    "decoder_layers": 2,
    "d_model": 16,
    "num_heads": 2,
}
SPEC = {
    "model": ENCODER_DECODER,
    "training": {"batch_size": 2, "sequence_length": 8},
    "analyses": ["omega"],
}


@pytest.fixture(scope="module")
def report() -> Report:
    return diagnose_spec(DiagnosisSpec.model_validate(SPEC))


@pytest.fixture
def files(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the downloads, where the code runs."""
    names = {
        OmegaFormat.JSON: "omega.json",
        OmegaFormat.SAFETENSORS: "omega.safetensors",
        OmegaFormat.CLINIC: "profile.ratio.init",
    }
    for file_format, name in names.items():
        (tmp_path / name).write_bytes(omega_file(report, file_format))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code(report: Report, title: str, spec: dict[str, Any] = SPEC) -> str:
    found = {recipe.title: recipe.code for recipe in recipes(report, spec, "http://h/omega")}
    return next(text for name, text in found.items() if name.startswith(title))


def run(text: str, **names: Any) -> dict[str, Any]:
    scope: dict[str, Any] = dict(names)
    exec(compile(text, "recipe", "exec"), scope)
    return scope


def omegas(report: Report, stack: str) -> list[float]:
    return [b.omega for b in report.branches if b.stack == stack and b.omega is not None]


def test_the_block_of_ones_own_is_admin(report: Report, files: Path) -> None:
    scope = run(code(report, "A block"))
    assert list(scope["omegas"].values()) == [b.omega for b in report.branches]
    branch, x = nn.Linear(16, 16), torch.randn(2, 5, 16)
    block = scope["SubLayer"](branch, 16, scope["omegas"]["encoder", 4])
    expected = nn.functional.layer_norm(scope["omegas"]["encoder", 4] * x + branch(x), (16,))
    torch.testing.assert_close(block(x), expected)
    assert block.omega.requires_grad


def test_torchs_own_transformer_takes_them_as_if_they_were_written_in_it(
    report: Report, files: Path
) -> None:
    torch.manual_seed(0)
    model = nn.Transformer(16, 2, 3, 2, 32, dropout=0.0, batch_first=True).eval()
    source, target = torch.randn(2, 7, 16), torch.randn(2, 5, 16)
    with torch.no_grad():
        expected = _by_hand(model, source, target, report)
        run(code(report, "torch.nn.Transformer"), model=model)
        torch.testing.assert_close(model(source, target), expected, atol=1e-4, rtol=1e-4)


def _by_hand(model: nn.Transformer, x: Tensor, y: Tensor, report: Report) -> Tensor:
    """The paper's equation, layer by layer."""
    omega = iter(omegas(report, "encoder"))
    for layer in model.encoder.layers:
        assert isinstance(layer, nn.TransformerEncoderLayer)
        x = layer.norm1(next(omega) * x + layer.self_attn(x, x, x)[0])
        x = layer.norm2(next(omega) * x + layer.linear2(layer.linear1(x).relu()))
    memory = x if model.encoder.norm is None else model.encoder.norm(x)
    omega = iter(omegas(report, "decoder"))
    for each in model.decoder.layers:
        assert isinstance(each, nn.TransformerDecoderLayer)
        y = each.norm1(next(omega) * y + each.self_attn(y, y, y)[0])
        y = each.norm2(next(omega) * y + each.multihead_attn(y, memory, memory)[0])
        y = each.norm3(next(omega) * y + each.linear2(each.linear1(y).relu()))
    return y if model.decoder.norm is None else model.decoder.norm(y)


def test_admin_torchs_modules_load_the_file(report: Report, files: Path) -> None:
    text = code(report, "admin-torch")
    block = text[: text.index("# `model`")]
    model = nn.Module()
    made = run(block)
    for branch in report.branches:
        here = model
        *parents, name = branch.path.split(".")
        for parent in parents:
            if not hasattr(here, parent):
                here.add_module(parent, nn.Module())
            here = here.get_submodule(parent)
        here.add_module(name, made["SubLayer"](nn.Linear(16, 16), 16, 9))
    run(text, model=model)
    for branch in report.branches:
        add = model.get_submodule(f"{branch.path}.add")
        assert isinstance(add, type(admin_torch.as_module(9)))
        assert float(add.omega) == pytest.approx(branch.omega, rel=1e-6)


def test_a_model_of_transformers_takes_them(tmp_path: Path, monkeypatch: Any) -> None:
    config: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2}
    config |= {"intermediate_size": 64}
    spec = SPEC | {"model": {"kind": "huggingface", "config": {"model_type": "bert", **config}}}
    spec["model"]["config"]["architectures"] = ["BertForMaskedLM"]  # type: ignore[index]
    found = diagnose_spec(DiagnosisSpec.model_validate(spec))
    (tmp_path / "omega.json").write_bytes(omega_file(found, OmegaFormat.JSON))
    monkeypatch.chdir(tmp_path)
    model = BertForMaskedLM(BertConfig(**config))
    run(code(found, "Transformers", spec), model=model)
    assert model.get_parameter("bert.encoder.layer.0.output.LayerNorm.omega").requires_grad
    taken = [
        p.flatten()[0].item() for n, p in model.named_parameters() if n.endswith("LayerNorm.omega")
    ]
    expected = [branch.omega for branch in found.branches if branch.omega is not None]
    # The first one's shortcut begins in the embedding; all stand at the norms that follow them.
    assert sorted(taken) == pytest.approx(sorted(expected), rel=1e-6)


def test_the_authors_reader_would_take_the_file(report: Report, files: Path) -> None:
    # In the order in which it builds its modules: index 2 l + {1, 2}, then 3 l + {1, 2, 3}.
    lines = (files / "profile.ratio.init").read_text().splitlines()
    wanted = [*range(1, 2 * 3 + 1), *range(1, 3 * 2 + 1)]
    assert [int(line.split(" ")[0]) for line in lines] == wanted
    assert all(float(line.split(" ")[1]) > 0 for line in lines)
    flags = code(report, "fairseq with Transformer-Clinic")
    assert "--encoder-layers 3 --decoder-layers 2" in " ".join(flags.replace("\\", "").split())


def test_no_code_is_offered_where_there_are_no_omegas(report: Report) -> None:
    without = [branch.model_copy(update={"omega": None}) for branch in report.branches]
    assert recipes(report.model_copy(update={"branches": without}), SPEC, "x") == []
