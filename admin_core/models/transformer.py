"""The built-in Transformer: from a spec to stacks of sub-layers."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from admin_core.models.attention import Attention
from admin_core.models.embedding import Embedding
from admin_core.models.feed_forward import FeedForward
from admin_core.models.initialisation import initialise
from admin_core.models.sublayer import ScaledShortcutAddition, ShortcutAddition, SubLayer
from admin_core.report import Role
from admin_core.spec import Architecture, Scheme, Stack, TransformerSpec


class Layer(nn.Module):
    """Self-attention, then cross-attention where there is a memory to attend to, then
    feed-forward."""

    def __init__(self, spec: TransformerSpec, stack: Stack) -> None:
        super().__init__()
        scheme = spec.scheme_of(stack)
        causal = stack is Stack.DECODER

        def attention(*, causal: bool) -> Attention:
            return Attention(
                d_model=spec.d_model,
                num_heads=spec.num_heads,
                dropout=spec.attention_dropout,
                causal=causal,
            )

        def sublayer(role: Role, branch: nn.Module) -> SubLayer:
            admin, pre = scheme is Scheme.ADMIN, scheme is Scheme.PRE_LN
            norm = nn.LayerNorm(spec.d_model)
            return SubLayer(
                branch,
                role=role,
                add=ScaledShortcutAddition(spec.d_model) if admin else ShortcutAddition(),
                dropout=spec.dropout,
                pre_norm=norm if pre else None,
                post_norm=None if pre else norm,
            )

        self.self_attention = sublayer(Role.SELF_ATTENTION, attention(causal=causal))
        self.cross_attention = None
        if spec.sublayers_per_layer(stack) == 3:
            self.cross_attention = sublayer(Role.CROSS_ATTENTION, attention(causal=False))
        self.feed_forward = sublayer(
            Role.FEED_FORWARD,
            FeedForward(
                d_model=spec.d_model,
                d_ff=spec.feed_forward_width,
                activation_dropout=spec.activation_dropout,
            ),
        )

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        memory: Float[Tensor, "batch source d_model"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        x = self.self_attention(x)
        if self.cross_attention is not None:
            x = self.cross_attention(x, memory)
        return self.feed_forward(x)  # type: ignore[no-any-return]


class LayerStack(nn.Module):
    """An embedding, layers one after another, and Pre-LN's last norm."""

    def __init__(self, spec: TransformerSpec, stack: Stack, tokens: nn.Embedding) -> None:
        super().__init__()
        self.embedding = Embedding(tokens, dropout=spec.dropout)
        self.layers = nn.ModuleList(Layer(spec, stack) for _ in range(spec.layers[stack]))
        pre = spec.scheme_of(stack) is Scheme.PRE_LN
        self.final_norm = nn.LayerNorm(spec.d_model) if pre else nn.Identity()

    def forward(
        self,
        tokens: Int[Tensor, "batch seq"],
        memory: Float[Tensor, "batch source d_model"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, memory)
        return self.final_norm(x)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """An encoder, a decoder, or both, under one tied token embedding."""

    def __init__(self, spec: TransformerSpec) -> None:
        super().__init__()
        self.tokens = nn.Embedding(spec.vocab_size, spec.d_model)
        self.encoder = self.decoder = None
        if spec.architecture is not Architecture.DECODER_ONLY:
            self.encoder = LayerStack(spec, Stack.ENCODER, self.tokens)
        if spec.architecture is not Architecture.ENCODER_ONLY:
            self.decoder = LayerStack(spec, Stack.DECODER, self.tokens)

    def encode(
        self, source: Int[Tensor, "batch source"] | None
    ) -> Float[Tensor, "batch source d_model"] | None:
        """The encoder's output; nothing in a decoder-only model."""
        return None if self.encoder is None else self.encoder(source)

    def decode(
        self,
        target: Int[Tensor, "batch target"] | None,
        memory: Float[Tensor, "batch source d_model"] | None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The decoder's output, attending to `memory` where the model cross-attends; in an
        encoder-only model, `memory` itself."""
        states = memory if self.decoder is None else self.decoder(target, memory)
        assert states is not None, "a model has an encoder, a decoder, or both"
        return states

    def states(
        self,
        *,
        source: Int[Tensor, "batch source"] | None = None,
        target: Int[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The last stack's output, before the projection to logits."""
        return self.decode(target, self.encode(source))

    def forward(
        self,
        *,
        source: Int[Tensor, "batch source"] | None = None,
        target: Int[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch seq vocabulary"]:
        """Logits of the last stack's positions."""
        return self.states(source=source, target=target) @ self.tokens.weight.T


def build_transformer(
    spec: TransformerSpec, *, seed: int, device: torch.device | None = None
) -> Transformer:
    """A Transformer with fresh weights; the seed decides them, whatever the device."""
    with torch.device("meta"):
        model = Transformer(spec)
    model.to_empty(device=device or torch.device("cpu"))
    initialise(model, seed=seed)
    return model
