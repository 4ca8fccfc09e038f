"""Everything that a diagnosis needs."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from admin_core.spec.amplification import AmplificationSpec
from admin_core.spec.omega import ClinicOmega, OmegaSpec
from admin_core.spec.parts import Whole, refuse
from admin_core.spec.subject import Subject


class Analysis(StrEnum):
    """A part of a diagnosis. The branches' variances are part of every one."""

    OMEGA = "omega"
    AMPLIFICATION = "amplification"
    DEPENDENCY = "dependency"
    GRADIENTS = "gradients"
    """Also the stability rules and the numeric range, which come from the same pass."""
    VERDICT = "verdict"
    EDGES = "edges"
    """How far learning rate, warm-up and depth may go: some sixty probes, and so only if asked."""


ALL_ANALYSES = tuple(analysis for analysis in Analysis if analysis is not Analysis.EDGES)
"""What a diagnosis holds unless it is told otherwise."""


class DiagnosisSpec(Subject):
    """Everything a diagnosis needs. The same spec, seed and version give the same report."""

    seed: Annotated[Whole, Field(lt=2**63)] = 0
    """Of the weights, the data, dropout and the perturbations."""
    omega: OmegaSpec = ClinicOmega()
    """The convention for omega, and the passes that it is measured in."""
    amplification: AmplificationSpec = AmplificationSpec()
    """How the output change is measured."""
    analyses: Annotated[tuple[Analysis, ...], Field(min_length=1)] = ALL_ANALYSES

    @model_validator(mode="after")
    def _analyses_are_named_once(self) -> Self:
        if len(set(self.analyses)) != len(self.analyses):
            raise refuse(
                ("analyses",), self.analyses, "repeated_analysis", "Name each analysis once"
            )
        return self
