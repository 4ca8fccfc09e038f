"""Names of functions in somebody's own code."""

from pathlib import Path

import pytest
import torch
from torch import nn

from app.own_code import OwnCodeError, own_batch, own_model

THEIRS = """
import torch

made = torch.nn.Linear(2, 2)
number = 7
batch = {"input": torch.ones(3, 2)}

class Makers:
    build = staticmethod(lambda: torch.nn.Linear(4, 4))

def broken():
    raise ValueError("out of coffee")
"""


@pytest.fixture(autouse=True)
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_code.py").write_text(THEIRS)
    (tmp_path / "cracked.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_is_called_and_what_is_there_already_is_taken() -> None:
    assert isinstance(own_model("their_code:Makers.build"), nn.Linear)
    assert own_model("their_code:made") is own_model("their_code:made")
    assert torch.equal(own_batch("their_code:batch").inputs["input"], torch.ones(3, 2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("their_code", "expected package.module:function"),
        (":build", "expected package.module:function"),
        ("nobody:build", "No module named 'nobody'"),
        ("their_code:nothing", "nothing"),
        ("cracked:build", "importing it raises ZeroDivisionError"),
        ("their_code:broken", "calling it raises ValueError: out of coffee"),
        ("their_code:number", "where a torch.nn.Module was expected"),
    ],
)
def test_what_cannot_be_had_is_told_with_its_name(name: str, message: str) -> None:
    with pytest.raises(OwnCodeError, match=message) as caught:
        own_model(name)
    assert str(caught.value).startswith(f"--module {name}")


def test_what_is_no_batch_is_told_with_what_would_be_one() -> None:
    with pytest.raises(OwnCodeError, match="a tuple of positional ones"):
        own_batch("their_code:number")
