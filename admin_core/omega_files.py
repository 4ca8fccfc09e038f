"""Omegas as files, in the formats that are in use. No torch is loaded here, and numpy by
safetensors files alone.

    clinic        Transformer-Clinic's `profile.ratio.init`: a line ``INDEX OMEGA`` per sub-layer,
                  the encoder's lines, then the decoder's with the index starting again at 1
    deepnmt       microsoft/deepnmt's `profile.init`: a line ``OMEGA`` per sub-layer in the same
                  order; nothing marks where the decoder begins
    json          the convention, and each sub-layer with its stack, index, path and omega
    safetensors   a tensor ``PATH.add.omega`` per sub-layer: the state dict of a model whose
                  additions are `admin_torch.as_module` at the attribute `add`

The sub-layers that a file is about are given in forward order, the encoder's first. A report's
branches and a model's residual branches both serve. Writing and reading back gives the same
omegas to the last bit, but for safetensors, which holds float32.
"""

import json
import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from safetensors import SafetensorError

from admin_core.errors import OmegaFileError, OmegaNotApplicableError
from admin_core.report import Branch, Report, StackName

if TYPE_CHECKING:
    import numpy.typing as npt


class Place(Protocol):
    """Where a sub-layer is."""

    @property
    def index(self) -> int:
        """i, from 1, restarting in each stack."""

    @property
    def stack(self) -> StackName: ...

    @property
    def path(self) -> str: ...


class OmegaFormat(StrEnum):
    JSON = "json"
    CLINIC = "clinic"
    DEEPNMT = "deepnmt"
    SAFETENSORS = "safetensors"


def omega_file(report: Report, file_format: OmegaFormat) -> bytes:
    """The omegas of a diagnosis as a file. Stacks that take none are left out.

    Raises:
        OmegaNotApplicableError: the report holds no omegas.
    """
    if report.omega is None:
        raise OmegaNotApplicableError("The analysis `omega` was not asked for.")
    branches = [branch for branch in report.branches if branch.omega is not None]
    if not branches:
        raise OmegaNotApplicableError(report.omega.reason or "No branch was profiled.")
    omegas = [_omega_of(branch) for branch in branches]
    match file_format:
        case OmegaFormat.CLINIC:
            return write_clinic(branches, omegas).encode()
        case OmegaFormat.DEEPNMT:
            return write_deepnmt(omegas).encode()
        case OmegaFormat.SAFETENSORS:
            return write_safetensors(branches, omegas)
        case OmegaFormat.JSON:
            return write_json(branches, omegas, convention=report.omega.convention).encode()


def _omega_of(branch: Branch) -> float:
    assert branch.omega is not None, "branches without an omega were left out"
    return branch.omega


def write_clinic(places: Sequence[Place], omegas: Sequence[float]) -> str:
    """Transformer-Clinic's two columns."""
    return "".join(
        f"{place.index} {float(omega)!r}\n" for place, omega in zip(places, omegas, strict=True)
    )


def read_clinic(text: str, places: Sequence[Place]) -> list[float]:
    """One omega per place.

    Raises:
        OmegaFileError: a line is not an index and a positive number, an index is not the expected
            one, or there are too few or too many lines.
    """

    def parse(line: str, place: Place) -> float:
        fields = line.split()
        if len(fields) != 2:
            raise ValueError(f"holds {len(fields)} fields, where an index and an omega belong")
        if fields[0] != str(place.index):
            raise ValueError(
                f"has the index {_shown(fields[0])}, where {place.index} belongs, "
                f"{_name(place)}; each stack counts from 1"
            )
        return _number(fields[1])

    return _read_lines(text, places, parse)


def write_deepnmt(omegas: Sequence[float]) -> str:
    """deepnmt's one column."""
    return "".join(f"{float(omega)!r}\n" for omega in omegas)


def read_deepnmt(text: str, places: Sequence[Place]) -> list[float]:
    """One omega per place.

    Raises:
        OmegaFileError: a line is not a positive number, or there are too few or too many.
    """

    def parse(line: str, place: Place) -> float:
        fields = line.split()
        if len(fields) != 1:
            raise ValueError(f"holds {len(fields)} fields, where one omega belongs")
        return _number(fields[0])

    return _read_lines(text, places, parse)


def write_json(places: Sequence[Place], omegas: Sequence[float], *, convention: str) -> str:
    """``{"convention": ..., "omegas": [{"stack", "index", "path", "omega"}, ...]}``"""
    rows = [
        {"stack": place.stack, "index": place.index, "path": place.path, "omega": float(omega)}
        for place, omega in zip(places, omegas, strict=True)
    ]
    return json.dumps({"convention": convention, "omegas": rows}, indent=1, allow_nan=False) + "\n"


def read_json(text: str, places: Sequence[Place]) -> list[float]:
    """One omega per place; paths are not compared, since they differ between code bases.

    Raises:
        OmegaFileError: not such a document, a stack or index is not the expected one, an omega is
            not a positive number, or there are too few or too many.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise OmegaFileError(f"line {error.lineno}", f"is not JSON: {error.msg}.") from error
    rows = document.get("omegas") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise OmegaFileError("omegas", "is missing, or is not a list; one entry per sub-layer.")
    _check_count("omegas", len(rows), places, "entries")
    return [
        _omega_of_row(f"omegas[{k}]", row, place)
        for k, (row, place) in enumerate(zip(rows, places, strict=True))
    ]


def _omega_of_row(where: str, row: Any, place: Place) -> float:
    if not isinstance(row, dict):
        raise OmegaFileError(where, "is not an object with stack, index and omega.")
    if (row.get("stack"), row.get("index")) != (str(place.stack), place.index):
        raise OmegaFileError(
            where,
            f"is {_shown(row.get('stack'))} {_shown(row.get('index'))}, where {_name(place)} "
            "belongs.",
        )
    omega = row.get("omega")
    if isinstance(omega, bool) or not isinstance(omega, int | float):
        raise OmegaFileError(where, f"has the omega {_shown(omega)}, which is not a number.")
    try:
        return _positive(float(omega))
    except (ValueError, OverflowError) as error:
        raise OmegaFileError(where, f"{error}.") from error


def write_safetensors(
    places: Sequence[Place], omegas: Sequence[float], *, num_features: int = 1
) -> bytes:
    """A float32 tensor per sub-layer, of one element as in admin-torch's buffers, or of
    `num_features` equal ones as in its trainable vectors."""
    import numpy as np
    from safetensors.numpy import save

    return save(
        {
            tensor_name(place): np.full(num_features, omega, dtype=np.float32)
            for place, omega in zip(places, omegas, strict=True)
        }
    )


def read_safetensors(data: bytes, places: Sequence[Place]) -> list[float]:
    """One omega per place.

    Raises:
        OmegaFileError: not a safetensors file, a tensor is missing or superfluous, or is not
            filled with one positive number, as trained omegas are not.
    """
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except (SafetensorError, KeyError, TypeError) as error:
        raise OmegaFileError("file", f"is not safetensors of common number types: {error}.") from (
            error
        )
    check_names(list(tensors), places)
    return [_one_value(tensor_name(p), tensors[tensor_name(p)]) for p in places]


def _one_value(name: str, tensor: "npt.NDArray[Any]") -> float:
    values = set(tensor.flat)
    if len(values) != 1:
        raise OmegaFileError(
            name, f"holds {len(values)} different values, where one omega for all features belongs."
        )
    try:
        return _positive(float(values.pop()))
    except ValueError as error:
        raise OmegaFileError(name, f"{error}.") from error


def tensor_name(place: Place) -> str:
    """The name of a sub-layer's omega in a state dict."""
    return f"{place.path}.add.omega"


def check_names(names: Sequence[str], places: Sequence[Place]) -> None:
    """Return if `names` are the places' omegas, in any order.

    Raises:
        OmegaFileError: names the first that is missing, or else superfluous.
    """
    expected = [tensor_name(place) for place in places]
    for name in expected:
        if name not in names:
            raise OmegaFileError(name, f"is missing; {len(expected)} omegas belong in the file.")
    for name in names:
        if name not in expected:
            raise OmegaFileError(_shown(name), "is the omega of no sub-layer of this model.")


def _read_lines(
    text: str, places: Sequence[Place], parse: Callable[[str, Place], float]
) -> list[float]:
    lines = text.splitlines()
    omegas = []
    for number, (line, place) in enumerate(zip(lines, places, strict=False), start=1):
        try:
            omegas.append(parse(line, place))
        except ValueError as error:
            raise OmegaFileError(f"line {number}", f"{error}.") from error
    _check_count(f"line {min(len(lines), len(places)) + 1}", len(lines), places, "lines")
    return omegas


def _check_count(where: str, count: int, places: Sequence[Place], unit: str) -> None:
    if count == len(places):
        return
    per_stack = " and ".join(
        f"{sum(place.stack == stack for place in places)} of the {stack}"
        for stack in dict.fromkeys(place.stack for place in places)
    )
    raise OmegaFileError(
        where,
        f"the file has {count} {unit}, where {len(places)} belong: {per_stack}.",
    )


def _number(text: str) -> float:
    try:
        omega = float(text.replace("_", "?"))  # Python alone reads 1_0 as 10
    except ValueError:
        raise ValueError(f"has the omega {_shown(text)}, which is not a number") from None
    return _positive(omega)


def _positive(omega: float) -> float:
    if not 0 < omega < math.inf:
        raise ValueError(f"has the omega {omega}, where a positive, finite number belongs")
    return omega


def _shown(value: object) -> str:
    """What was found, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _name(place: Place) -> str:
    return f"sub-layer {place.index} of the {place.stack}"
