"""The built-in Transformer with the weights of one sub-layer at a time.

The model is one of shapes alone. A sub-layer's weights are drawn when they are asked for and let
go afterwards, and as each parameter has streams of its own, they are those of the model that is
built whole, bit for bit. So is a stack's embedding, of which only the rows are drawn that a batch
reads.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from admin_core.freed_memory import give_back
from admin_core.models.initialisation import initialise
from admin_core.models.scaling import embedding_factor, rescale_sublayer
from admin_core.models.sublayer import SubLayer
from admin_core.models.transformer import LayerStack, Transformer
from admin_core.spec import Stack, TransformerSpec


class StreamedTransformer:
    """A Transformer by its spec and seed, of which no more is held than what is in use."""

    def __init__(self, spec: TransformerSpec, *, seed: int, device: torch.device) -> None:
        self.spec, self.seed, self.device = spec, seed, device
        self.ahead = device.type == "cuda"
        """Whether the next sub-layer is drawn, by the CPU, while one is used. On the CPU itself the
        two would take each other's time, and the memory of both."""
        with torch.device("meta"):
            self.shapes = Transformer(spec)

    def stack(self, name: Stack) -> LayerStack:
        """One stack, without numbers."""
        stack = self.shapes.get_submodule(name.value)
        assert isinstance(stack, LayerStack), "a stack has the name of its module"
        return stack

    def sublayers(self, paths: Sequence[str]) -> Generator[SubLayer, None, None]:
        """The sub-layers at `paths` in turn. Each has its weights until the next is asked for."""
        with ThreadPoolExecutor(1) as maker:
            coming: Future[SubLayer] | None = None
            for path, then in zip_longest(paths, paths[1:]):
                sublayer = coming.result() if coming is not None else self._drawn(path)
                ahead = self.ahead and then is not None
                coming = maker.submit(self._drawn, then) if ahead else None
                try:
                    yield sublayer
                finally:
                    sublayer.to("meta")
                    give_back()

    def _drawn(self, path: str) -> SubLayer:
        sublayer = self.shapes.get_submodule(path)
        assert isinstance(sublayer, SubLayer), f"{path} is a sub-layer's path"
        sublayer.to_empty(device=self.device)
        initialise(sublayer, self.spec, seed=self.seed, path=path)
        rescale_sublayer(sublayer, self.spec, Stack(path.split(".", 1)[0]))
        return sublayer

    @contextmanager
    def embedding_of(self, name: Stack, tokens: Int[Tensor, "batch seq"]) -> Iterator[nn.Module]:
        """Within the block, what the stack begins with can be called with `tokens`."""
        embedding = self.stack(name).embedding
        # Tied, the matrix is drawn under the name that it has in the first stack.
        owner = next(iter(self.spec.layers)) if self.spec.tied_embeddings else name
        at = f"{name.value}.embedding"
        rows = set(tokens.flatten().tolist())
        try:
            # Pages of an empty tensor take memory when they are first written to.
            embedding.to_empty(device=self.device)
            for part, module in embedding.named_children():
                if module is not embedding.tokens:
                    initialise(module, self.spec, seed=self.seed, path=f"{at}.{part}")
            path = f"{owner.value}.embedding.tokens"
            initialise(embedding.tokens, self.spec, seed=self.seed, path=path, rows=rows)
            factor = embedding_factor(self.spec, name)
            if factor != 1.0:
                read = torch.tensor(sorted(rows), device=self.device)
                weight = embedding.tokens.weight.detach()
                weight[read] = weight[read] * factor
            yield embedding
        finally:
            embedding.to("meta")
            give_back()

    @torch.no_grad()
    def after_last(
        self, name: Stack, x: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_model"]:
        """What the stack hands on of the state after its last sub-layer."""
        norm = self.stack(name).final_norm
        norm.to_empty(device=self.device)
        initialise(norm, self.spec, seed=self.seed, path=f"{name.value}.final_norm")
        handed_on: Tensor = norm(x)
        return handed_on
