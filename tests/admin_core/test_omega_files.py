import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from admin_core.diagnosis import diagnose_spec
from admin_core.errors import OmegaFileError, OmegaNotApplicableError
from admin_core.omega_files import (
    OmegaFormat,
    omega_file,
    read_clinic,
    read_deepnmt,
    read_json,
    read_safetensors,
    write_clinic,
    write_deepnmt,
    write_json,
    write_safetensors,
)
from admin_core.spec import DiagnosisSpec, Stack
from tests.admin_core.specs import small


@dataclass(frozen=True)
class Somewhere:
    stack: Stack
    index: int
    path: str


PLACES = [
    *(Somewhere(Stack.ENCODER, i, f"encoder.{i}") for i in (1, 2)),
    *(Somewhere(Stack.DECODER, i, f"decoder.{i}") for i in (1, 2, 3)),
]

some_omegas = st.lists(
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    min_size=len(PLACES),
    max_size=len(PLACES),
)


@given(some_omegas)
def test_text_formats_give_back_every_bit(omegas: list[float]) -> None:
    assert read_clinic(write_clinic(PLACES, omegas), PLACES) == omegas
    assert read_deepnmt(write_deepnmt(omegas), PLACES) == omegas
    assert read_json(write_json(PLACES, omegas, convention="clinic"), PLACES) == omegas


@given(
    st.lists(
        st.floats(min_value=2.0**-100, max_value=2.0**100, width=32),
        min_size=len(PLACES),
        max_size=len(PLACES),
    ),
    st.sampled_from([1, 8]),
)
def test_safetensors_gives_back_every_bit_of_float32(
    omegas: list[float], num_features: int
) -> None:
    data = write_safetensors(PLACES, omegas, num_features=num_features)
    assert read_safetensors(data, PLACES) == omegas


def test_the_clinic_index_restarts_in_the_decoder() -> None:
    text = write_clinic(PLACES, [1, 1.5, 1, 2, 2.5])
    assert text == "1 1.0\n2 1.5\n1 1.0\n2 2.0\n3 2.5\n"


GOOD = ["1 1.0", "2 1.5", "1 1.0", "2 2.0", "3 2.5"]


@pytest.mark.parametrize(
    ("line", "text", "complaint"),
    [
        (2, "2", r"holds 1 fields, where an index and an omega belong"),
        (2, "2 1.5 1", r"holds 3 fields"),
        (2, "", r"holds 0 fields"),
        (2, "3 1.5", r"has the index '3', where 2 belongs, sub-layer 2 of the encoder"),
        (3, "3 1.0", r"has the index '3', where 1 belongs, sub-layer 1 of the decoder"),
        (4, "two 2.0", r"has the index 'two', where 2 belongs"),
        (4, "2 two", r"has the omega 'two', which is not a number"),
        (4, "2 1_0", r"has the omega '1_0', which is not a number"),
        (4, "2 0.0", r"has the omega 0.0, where a positive, finite number belongs"),
        (4, "2 -1", r"has the omega -1.0, where a positive"),
        (4, "2 nan", r"has the omega nan, where a positive"),
        (4, "2 inf", r"has the omega inf, where a positive"),
        (4, "2 " + "x" * 1000, r"has the omega 'x{30,40}\.\.\., which"),
    ],
)
def test_a_wrong_clinic_line_is_named(line: int, text: str, complaint: str) -> None:
    lines = [*GOOD]
    lines[line - 1] = text
    with pytest.raises(OmegaFileError, match=f"^line {line}: .*{complaint}"):
        read_clinic("\n".join(lines), PLACES)


@pytest.mark.parametrize(
    ("lines", "where", "count"),
    [(GOOD[:4], "line 5", 4), ([*GOOD, "4 3.0"], "line 6", 6), ([], "line 1", 0)],
)
def test_a_wrong_count_says_how_many_belong(lines: list[str], where: str, count: int) -> None:
    with pytest.raises(OmegaFileError) as refused:
        read_clinic("\n".join(lines), PLACES)
    assert str(refused.value) == (
        f"{where}: the file has {count} lines, where 5 belong: 2 of the encoder and 3 of the "
        "decoder."
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1\n2\nx\n4\n5\n", "line 3: has the omega 'x'"),
        ("1\n2\n3 3\n4\n5\n", "line 3: holds 2 fields, where one omega belongs"),
        ("1\n2\n3\n", "line 4: the file has 3 lines, where 5 belong"),
    ],
)
def test_a_wrong_deepnmt_line_is_named(text: str, complaint: str) -> None:
    with pytest.raises(OmegaFileError, match=complaint):
        read_deepnmt(text, PLACES)


def _with(entry: int, **changes: object) -> str:
    document = json.loads(write_json(PLACES, [1, 1.5, 1, 2, 2.5], convention="clinic"))
    document["omegas"][entry] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"omegas": [\n1,,]}', "line 2: is not JSON"),
        ("[]", "omegas: is missing"),
        ('{"omegas": [1]}', "the file has 1 entries, where 5 belong"),
        ('{"omegas": [1, 2, 3, 4, 5]}', r"omegas\[0\]: is not an object"),
        (_with(2, index=3), r"omegas\[2\]: is 'decoder' 3, where sub-layer 1 of the decoder"),
        (_with(1, stack="decoder"), r"omegas\[1\]: is 'decoder' 2, where sub-layer 2 of the enc"),
        (_with(3, omega="2"), r"omegas\[3\]: has the omega '2', which is not a number"),
        (_with(3, omega=True), r"omegas\[3\]: has the omega True"),
        (_with(3, omega=-2), r"omegas\[3\]: has the omega -2.0, where a positive"),
        (_with(3, omega=float("nan")), r"omegas\[3\]: has the omega nan"),
        (_with(3, omega=10**400), r"omegas\[3\]: int too large"),
    ],
)
def test_a_wrong_json_entry_is_named(text: str, complaint: str) -> None:
    with pytest.raises(OmegaFileError, match=complaint):
        read_json(text, PLACES)


def _tensors(**changes: object) -> bytes:
    tensors = {f"{place.path}.add.omega": np.ones(4, dtype=np.float32) for place in PLACES}
    for name, value in changes.items():
        path = name.replace("_", ".")
        if value is None:
            del tensors[path]
        else:
            tensors[path] = np.array(value, dtype=np.float32)
    return safetensors.numpy.save(tensors)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"not safetensors", "file: is not safetensors"),
        (_tensors(encoder_2_add_omega=None), "encoder.2.add.omega: is missing; 5 omegas belong"),
        (_tensors(encoder_3_add_omega=[1]), "'encoder.3.add.omega': is the omega of no sub-layer"),
        (_tensors(decoder_1_add_omega=[1, 2]), "decoder.1.add.omega: holds 2 different values"),
        (_tensors(decoder_1_add_omega=[]), "decoder.1.add.omega: holds 0 different values"),
        (_tensors(decoder_1_add_omega=[-1]), "decoder.1.add.omega: has the omega -1.0"),
    ],
)
def test_a_wrong_tensor_is_named(data: bytes, complaint: str) -> None:
    with pytest.raises(OmegaFileError, match=complaint):
        read_safetensors(data, PLACES)


READERS: dict[OmegaFormat, Callable[[bytes, list[Somewhere]], list[float]]] = {
    OmegaFormat.CLINIC: lambda data, places: read_clinic(data.decode(), places),
    OmegaFormat.DEEPNMT: lambda data, places: read_deepnmt(data.decode(), places),
    OmegaFormat.JSON: lambda data, places: read_json(data.decode(), places),
    OmegaFormat.SAFETENSORS: read_safetensors,
}


@pytest.mark.parametrize("file_format", list(OmegaFormat))
def test_a_report_can_be_had_in_every_format(file_format: OmegaFormat) -> None:
    spec = DiagnosisSpec.model_validate(
        {
            "model": small(scheme={"encoder": "admin", "decoder": "pre_ln"}).model_dump(),
            "training": {"batch_size": 2, "sequence_length": 8},
            "analyses": ["omega"],
        }
    )
    report = diagnose_spec(spec)
    encoder = [branch for branch in report.branches if branch.stack is Stack.ENCODER]
    places = [Somewhere(Stack(branch.stack), branch.index, branch.path) for branch in encoder]
    omegas = READERS[file_format](omega_file(report, file_format), places)
    assert omegas == pytest.approx([branch.omega for branch in encoder], rel=1e-7)


@pytest.mark.parametrize(
    ("scheme", "analyses", "reason"),
    [("pre_ln", ["omega"], "The encoder is pre_ln"), ("admin", ["amplification"], "not asked for")],
)
def test_a_report_without_omegas_gives_no_file(
    scheme: str, analyses: list[str], reason: str
) -> None:
    spec = DiagnosisSpec.model_validate(
        {
            "model": small("encoder_only", scheme=scheme).model_dump(),
            "training": {"batch_size": 2, "sequence_length": 8},
            "analyses": analyses,
        }
    )
    with pytest.raises(OmegaNotApplicableError, match=reason):
        omega_file(diagnose_spec(spec), OmegaFormat.JSON)


def test_files_are_read_and_written_without_torch() -> None:
    program = "import sys, admin_core.omega_files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
