"""What can go wrong in the core.

AdminCoreError
├── InvalidSpecError           a spec asks for something that cannot be built; names the field
│   └── LimitExceededError     it could be built, but not within the limits in force
├── DegenerateBranchError      a residual branch that no omega can be chosen for
├── NonFiniteError             a forward or backward pass left the range of its number format
└── AnalysisCancelledError     the caller's progress callback asked the work to stop
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


class AnalysisCancelledError(AdminCoreError):
    """The caller asked for the work to stop; nothing was left half done."""
