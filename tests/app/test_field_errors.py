import pytest

from app.field_errors import LONGEST_PATH, error_path


@pytest.mark.parametrize(
    ("location", "body", "path"),
    [
        (("model", "d_model"), {"model": {"d_model": 0}}, "model.d_model"),
        (("data", "text", "name"), {"data": {"kind": "text", "name": 3}}, "data.name"),
        (("data", "synthetic", "name"), {"data": {"kind": "synthetic"}}, "data.name"),
        (("model", "scheme", "StackSchemes"), {"model": {"scheme": "x"}}, "model.scheme"),
        (("training", "betas", 1), {"training": {"betas": [0.5]}}, "training.betas.1"),
        (("model",), {}, "model"),
        ((), [], ""),
    ],
)
def test_a_path_is_the_one_that_the_sender_wrote(
    location: tuple[str | int, ...], body: object, path: str
) -> None:
    assert error_path(location, body) == path


def test_a_long_name_is_cut() -> None:
    name = "x" * 10_000
    assert len(error_path((name,), {name: 1})) == LONGEST_PATH
