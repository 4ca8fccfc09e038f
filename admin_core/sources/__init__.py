"""Where the models and the batches of one request come from.

The built-in Transformer, an architecture of the Transformers library, or a network that somebody
wrote: what is measured and trained afterwards asks a `Source`, and does not know which one.
"""

from admin_core.sources.choice import source_of
from admin_core.sources.given import Given
from admin_core.sources.source import Source

__all__ = ["Given", "Source", "source_of"]
