import shutil
from pathlib import Path

import pytest

from worker.settings import Settings


@pytest.mark.parametrize(
    ("device", "has_gpu", "kind"),
    [
        ("cpu", True, "cpu"),
        ("cuda:1", False, "cuda"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
    ],
)
def test_the_kind_of_device_follows_the_setting_and_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, has_gpu: bool, kind: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/nvidia-smi" if has_gpu else None)
    assert Settings(home=tmp_path, device=device).device_kind == kind
