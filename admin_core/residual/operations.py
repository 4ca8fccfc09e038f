"""What the operations of a forward pass mean to a residual branch, by PyTorch's names for them.

Names are those of the Python functions, without the underscores of the in-place and operator forms:
``add`` stands for ``torch.add``, ``Tensor.add_``, ``+`` and ``+=``.
"""

ADDITIONS = frozenset({"add", "addcmul", "addmm", "baddbmm"})
"""out = a + b, where b may be a product: of tensors (addcmul) or of matrices (addmm, baddbmm)."""

TRANSPARENT = frozenset(
    {
        *("to", "type", "type_as", "float", "half", "bfloat16", "double", "cpu", "cuda"),
        *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze"),
        *("unsqueeze", "transpose", "permute", "movedim", "moveaxis", "swapaxes", "swapdims", "t"),
        *("contiguous", "clone", "detach", "alias", "requires_grad", "get", "rearrange"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
        *("clamp", "nan_to_num", "positive", "roll"),
        "add_omega",
    }
)
"""Operations after which a tensor is still the same stream: its format, layout or device, noise on
it, a guard against overflow, the omega that `admin_core.residual.omega` puts in."""

VIEWS = frozenset(
    {
        *("view", "view_as", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "get"),
        *("transpose", "permute", "movedim", "swapaxes", "t", "getitem", "narrow", "select"),
        *("slice", "expand", "chunk", "split", "unbind", "tensor_split", "detach", "contiguous"),
    }
)
"""Operations whose result may share its memory with their first operand."""

FRESH = frozenset(
    {
        *("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"),
        *("new_zeros", "new_ones", "new_empty", "new_full", "new_tensor", "size", "bernoulli"),
        *("randint_like", "is_floating_point", "numel", "dim", "bernoulli_", "uniform", "normal"),
    }
)
"""Operations that look at a tensor's shape alone: what they give does not descend from it."""

LIKE_ANOTHER = frozenset({"expand_as", "view_as", "reshape_as", "type_as", "to"})
"""Operations that look at the shape or the format of their second operand alone."""

REDUCTIONS = frozenset({"max", "amax", "mean"})
"""Operations that pool where they are written out."""

POOLING = frozenset(
    f"{kind}_pool{n}d"
    for kind in ("avg", "max", "adaptive_avg", "adaptive_max", "lp")
    for n in (1, 2, 3)
)

CONVOLUTIONS = frozenset(f"conv{side}{n}d" for side in ("", "_transpose") for n in (1, 2, 3))

ATTENTION = frozenset(
    {
        "scaled_dot_product_attention",
        "multi_head_attention_forward",
        "flex_attention",
    }
)
"""Attention in one call; the first operand holds the queries and the second the keys."""

SAMPLING = "grid_sample"
"""How deformable attention reads its first operand where the queries point."""

PRODUCTS = frozenset(
    {
        *("matmul", "bmm", "mm", "einsum", "addmm", "baddbmm", "addbmm", "tensordot", "rmatmul"),
        *("mv", "dot", "chain_matmul", "bilinear", "grouped_mm", "scaled_mm"),
    }
)

RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})

SCANS = frozenset({"cumsum", "cumprod", "logcumsumexp", "associative_scan", "scan"})

FOURIER = frozenset({f"fft_{kind}" for kind in ("fft", "fft2", "fftn", "rfft", "irfft", "ifft")})

MIXING = frozenset(
    {
        "linear",
        "opaque",
        *PRODUCTS,
        *CONVOLUTIONS,
        *ATTENTION,
        *POOLING,
        *RECURRENT,
        *SCANS,
        *FOURIER,
    }
)
"""Operations that make something new of several features or tokens. A branch holds at least one; an
activation, a rotation and a shift do not."""

LEARNED = MIXING - POOLING - SCANS - FOURIER - ATTENTION
"""Operations that may hold weights."""

NONLINEAR = frozenset(
    {
        *("relu", "relu6", "gelu", "silu", "tanh", "sigmoid", "softmax", "elu", "leaky_relu"),
        *("hardswish", "hardsigmoid", "mish", "prelu", "selu", "celu", "softplus", "glu", "exp"),
        *("hardtanh", "threshold", "logsigmoid", "rrelu", "log_softmax", "sin", "cos", "square"),
        *("pow", "erf", "max_pool1d", "max_pool2d", "max_pool3d"),
        *ATTENTION,
        *RECURRENT,
        "opaque",
    }
)

NORMS = frozenset(
    {
        *("layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm"),
        *("native_layer_norm", "normalize", "fused_rms_norm"),
    }
)
"""Norms in one call, of their first operand."""

STATISTICS = frozenset(
    {
        *("mean", "var", "std", "norm", "var_mean", "std_mean", "sum", "vector_norm"),
        "linalg_vector_norm",
    }
)
"""Reductions that a norm divides by."""
