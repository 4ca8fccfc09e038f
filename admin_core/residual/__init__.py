"""Where the shortcuts and residual branches of a network are, and how to watch them.

Everything that measures a branch asks this package, and nothing else knows how a network is built.
`residual_branches` lists those of the built-in Transformer, which says where they are; `discover`
finds those of any other network from one pass of shapes. Both kinds are watched alike.
"""

from admin_core.residual.branch import ResidualBranch, SubLayerBranch, residual_branches
from admin_core.residual.discovered import DiscoveredBranch
from admin_core.residual.discovery import ResidualMap, discover
from admin_core.residual.watching import at_additions, at_states, at_sums

__all__ = [
    "DiscoveredBranch",
    "ResidualBranch",
    "ResidualMap",
    "SubLayerBranch",
    "at_additions",
    "at_states",
    "at_sums",
    "discover",
    "residual_branches",
]
