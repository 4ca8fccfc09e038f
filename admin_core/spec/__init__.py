"""What a user asks for: a model, how it would be trained, on what data, and which analyses.

Every field says its unit and bounds. Unknown fields, NaN, infinity, and numbers written as
strings or booleans are refused, each with the path of the field. No torch is loaded here.
"""

from admin_core.spec.amplification import AmplificationSpec, Perturbation, RandomStep
from admin_core.spec.data import (
    BYTES_VOCABULARY,
    ColumnName,
    DataSpec,
    HubData,
    Prose,
    SyntheticData,
    SyntheticName,
    TextData,
    Tokenizer,
    TokenizerName,
    UploadData,
)
from admin_core.spec.diagnosis import ALL_ANALYSES, Analysis, DiagnosisSpec
from admin_core.spec.huggingface import HuggingFaceSpec
from admin_core.spec.model import (
    POST_NORM_SCHEMES,
    Activation,
    Architecture,
    Initialisation,
    Norm,
    Positions,
    Scheme,
    Stack,
    StackSchemes,
    TransformerSpec,
)
from admin_core.spec.omega import (
    ClinicOmega,
    ClosedFormOmega,
    FirstValue,
    OmegaPasses,
    OmegaSpec,
    OutputChangeScale,
    Padding,
    PaperOmega,
)
from admin_core.spec.parts import Count, Part, Probability, Real, Whole
from admin_core.spec.subject import ModelSpec, Subject
from admin_core.spec.training import Autocast, Optimizer, Schedule, TrainingSpec

__all__ = [
    "ALL_ANALYSES",
    "Activation",
    "AmplificationSpec",
    "Analysis",
    "Architecture",
    "Autocast",
    "BYTES_VOCABULARY",
    "ClinicOmega",
    "ClosedFormOmega",
    "ColumnName",
    "Count",
    "DataSpec",
    "DiagnosisSpec",
    "FirstValue",
    "HubData",
    "HuggingFaceSpec",
    "Initialisation",
    "ModelSpec",
    "Norm",
    "OmegaPasses",
    "OmegaSpec",
    "Optimizer",
    "OutputChangeScale",
    "POST_NORM_SCHEMES",
    "Padding",
    "PaperOmega",
    "Part",
    "Perturbation",
    "Positions",
    "Probability",
    "Prose",
    "RandomStep",
    "Real",
    "Schedule",
    "Scheme",
    "Stack",
    "StackSchemes",
    "Subject",
    "SyntheticData",
    "SyntheticName",
    "TextData",
    "Tokenizer",
    "TokenizerName",
    "TrainingSpec",
    "TransformerSpec",
    "UploadData",
    "Whole",
]
