"""What can go wrong in the core.

AdminCoreError
├── InvalidSpecError           a spec asks for something that cannot be built; names the field
│   └── LimitExceededError     it could be built, but not within the limits in force
├── DegenerateBranchError      a residual branch that no omega can be chosen for
├── NonFiniteError             a forward or backward pass left the range of its number format
├── EmptyBatchError            a batch without a single token
├── UnknownTokenError          a token that the vocabulary does not have
├── ForwardError               the model's own forward pass raises; names the module
├── NoLossError                nothing that a gradient could be taken of
├── UnavailableError           a quantity that this network does not give
├── OmegaNotApplicableError    omegas were asked for where there are none
├── OmegaFileError             a file of omegas that does not fit; names the line
├── FoldingError               omegas that cannot move into the neighbouring weights
│   └── TiedEmbeddingError     the first omega would have to change weights with other readers
├── DatasetFileError           a file that holds no data set; names the line
├── HubError                   a data set of the hub that could not be read
├── WeightsError               a file of weights that does not fit the model
├── NoSuchDeviceError          the device that was named is not in this machine
├── CheckpointError            a saved run that cannot be gone on with
└── AnalysisCancelledError     the caller's progress callback asked the work to stop
    └── AnalysisReleasedError  and will have it gone on with
"""


class AdminCoreError(Exception):
    """Base class of every error this package raises on purpose.

    Subclasses pass their facts on to `Exception` by position, so that they survive pickling and
    Celery's JSON, and build the sentence in `__str__`.
    """


class InvalidSpecError(AdminCoreError):
    """A spec breaks a rule that only shows when its parts meet.

    Attributes:
        field: dotted path of the offending field, such as ``model.vocab_size``.
        reason: what is wrong, what was expected and what to do, as one sentence.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class LimitExceededError(InvalidSpecError):
    """A spec needs more of something than the limits in force allow.

    Attributes:
        quantity: what is limited, in the plural: ``parameters``, ``tokens``.
        requested: how many the spec needs.
        limit: how many are allowed.
        setting: the environment variable that raises the limit.
    """

    def __init__(self, field: str, quantity: str, requested: int, limit: int, setting: str) -> None:
        super().__init__(
            field,
            f"needs {requested:,} {quantity}, above the limit of {limit:,}; "
            f"make the request smaller, or raise {setting}.",
        )
        self.args = (field, quantity, requested, limit, setting)
        self.quantity = quantity
        self.requested = requested
        self.limit = limit
        self.setting = setting


class DegenerateBranchError(AdminCoreError):
    """A residual branch's variance is zero or not finite, so that no omega follows from it.

    Attributes:
        path: dotted module path of the sub-layer, such as ``encoder.layers.3.feed_forward``.
        variance: the population variance that was measured.
    """

    def __init__(self, path: str, variance: float) -> None:
        super().__init__(path, variance)
        self.path = path
        self.variance = variance

    def __str__(self) -> str:
        return (
            f"The residual branch of {self.path} has variance {self.variance}, where a positive, "
            "finite number is needed. A dead activation, zero weights, a batch of padding only or "
            "a batch of a single token leave such a branch."
        )


class NonFiniteError(AdminCoreError):
    """A pass through the model produced infinity or NaN.

    Attributes:
        where: the quantity or module path at which it was first seen.
        dtype: the number format of the pass, such as ``float16``.
    """

    def __init__(self, where: str, dtype: str) -> None:
        super().__init__(where, dtype)
        self.where = where
        self.dtype = dtype

    def __str__(self) -> str:
        return (
            f"{self.where} is not finite in {self.dtype}. Use float32, a smaller initialisation "
            "or a lower learning rate to see where it first grows."
        )


class EmptyBatchError(AdminCoreError):
    """A batch holds no token, so that nothing can be measured on it.

    Attributes:
        shapes: the shape of each of the batch's inputs, by name.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        super().__init__(shapes)
        self.shapes = shapes

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in self.shapes.items())
        return (
            f"The batch holds no token: {shapes}. Give at least one sequence of at least one token."
        )


class UnknownTokenError(AdminCoreError):
    """A batch holds a token that the model's vocabulary does not have.

    Attributes:
        name: the input that holds it, such as ``source``.
        token: the first such token.
        vocab_size: how many tokens the model knows, counted from 0.
    """

    def __init__(self, name: str, token: int, vocab_size: int) -> None:
        super().__init__(name, token, vocab_size)
        self.name = name
        self.token = token
        self.vocab_size = vocab_size

    def __str__(self) -> str:
        return (
            f"The batch's {self.name} holds the token {self.token}, but the model's vocabulary is "
            f"0 to {self.vocab_size - 1}. Read the data with the model's own tokenizer, or give "
            "the model a larger vocab_size."
        )


class ForwardError(AdminCoreError):
    """A model's own forward pass raises on the batch that it was given.

    Attributes:
        path: dotted path of the module in which it raised; empty for the model itself.
        module: the class of that module.
        message: what it said.
    """

    def __init__(self, path: str, module: str, message: str) -> None:
        super().__init__(path, module, message)
        self.path = path
        self.module = module
        self.message = message

    def __str__(self) -> str:
        where = f"in {self.path} ({self.module})" if self.path else f"in the {self.module} itself"
        return (
            f"The model's forward raises {where}: {self.message} "
            "Call the model on the same batch to see it, and correct the model or the batch."
        )


class NoLossError(AdminCoreError):
    """A model and a batch give no loss, so that there are no gradients and no steps.

    Attributes:
        reason: what was looked for in vain.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"There is no loss to train with: {self.reason}. Return logits and give targets, or "
            "return an object whose loss is a scalar."
        )


class UnavailableError(AdminCoreError):
    """A quantity means nothing in this network, or cannot be measured there.

    Attributes:
        reason: why not, as one sentence or more.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class OmegaNotApplicableError(AdminCoreError):
    """Omegas were asked for, and the model takes none.

    Attributes:
        reason: why not, as one sentence or more.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"There are no omegas to give. {self.reason}"


class OmegaFileError(AdminCoreError):
    """A file of omegas does not fit its format or the model.

    Attributes:
        where: the place at fault, such as ``line 3`` or ``decoder.layers.0.self_attention``.
        reason: what is wrong there and what was expected.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class DatasetFileError(AdminCoreError):
    """A file that was to be a data set does not hold one.

    Attributes:
        line: the line at fault, counted from 1; none if the whole is.
        reason: what is wrong there, what was expected and what to do.
    """

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return self.reason if self.line is None else f"line {self.line}: {self.reason}"


class HubError(AdminCoreError):
    """A data set of the Hugging Face hub could not be read.

    Attributes:
        name: of the data set.
        reason: what was tried, and what came of it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"The data set {self.name} could not be read: {self.reason}."


class FoldingError(AdminCoreError):
    """A model's omegas cannot be folded into its other weights.

    Attributes:
        path: dotted path of the parameter at fault.
        reason: why not, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class TiedEmbeddingError(FoldingError):
    """A stack's first omega scales its embedding, which has readers that must not see the scale."""


class CheckpointError(AdminCoreError):
    """A file that should hold a run's state does not hold this run's.

    Attributes:
        name: of the file.
        reason: what is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The checkpoint {self.name} is of no use here: {self.reason}. Remove it to start the "
            "run from its beginning."
        )


class WeightsError(AdminCoreError):
    """A file of weights that cannot be read, or does not fit the model; says which tensors."""


class NoSuchDeviceError(AdminCoreError):
    """The device that was named is not in this machine.

    Attributes:
        name: what was asked for, such as ``cuda:1``.
        gpus: how many GPUs torch sees.
    """

    def __init__(self, name: str, gpus: int) -> None:
        super().__init__(name, gpus)
        self.name = name
        self.gpus = gpus

    def __str__(self) -> str:
        return (
            f"There is no device {self.name} here; torch sees {self.gpus} GPUs. "
            "Set TRIMTAB_DEVICE to auto, cpu, or cuda:N with N below that."
        )


class AnalysisCancelledError(AdminCoreError):
    """The caller asked for the work to stop; nothing was left half done."""


class AnalysisReleasedError(AnalysisCancelledError):
    """The caller asked for the work to stop now, and will go on with it later: what can be kept
    should be kept."""
