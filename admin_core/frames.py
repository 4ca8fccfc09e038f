"""Which parts of the sub-layer's frame each scheme fills.

post_ln, admin, deepnorm   the norm follows the addition
pre_ln                     the norm opens the branch, and one norm follows the last sub-layer
sub_ln                     Pre-LN with a second norm inside the branch, before its last
                           projection (Wang et al. 2022, Magneto)
sandwich_ln                a norm at either end of the branch (Ding et al. 2021, CogView)
peri_ln                    Sandwich-LN with a norm on the embedding (Kim et al. 2025)
rezero, t_fixup            no norm at all (Bachlechner et al. 2020; Huang et al. 2020)
"""

from dataclasses import dataclass

from admin_core.spec import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a scheme puts its norms."""

    pre_norm: bool = False
    inner_norm: bool = False
    branch_norm: bool = False
    post_norm: bool = False
    final_norm: bool = False
    embedding_norm: bool = False


_POST = Frame(post_norm=True)
_SANDWICH = {"pre_norm": True, "branch_norm": True, "final_norm": True}

FRAMES = {
    Scheme.POST_LN: _POST,
    Scheme.ADMIN: _POST,
    Scheme.DEEPNORM: _POST,
    Scheme.PRE_LN: Frame(pre_norm=True, final_norm=True),
    Scheme.SUB_LN: Frame(pre_norm=True, inner_norm=True, final_norm=True),
    Scheme.SANDWICH_LN: Frame(**_SANDWICH),
    Scheme.PERI_LN: Frame(**_SANDWICH, embedding_norm=True),
    Scheme.REZERO: Frame(),
    Scheme.T_FIXUP: Frame(),
}
