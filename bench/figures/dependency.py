"""How much of each state comes from its own branch, and from all earlier ones."""

from math import log
from statistics import linear_regression, mean

from admin_core.analysis.dependency import Dependency, dependency
from admin_core.analysis.omega import apply_omegas
from admin_core.analysis.profiling import profile
from admin_core.data.batches import make_batch
from admin_core.models.transformer import build_transformer
from admin_core.residual import residual_branches
from admin_core.spec import Stack, SyntheticData, SyntheticName, TransformerSpec
from bench.figures.look import SCHEME_COLOURS, SCHEME_NAMES, Chart, Rows, colour, rounded

SEEDS = range(3)
LAYERS_OF_LINES, LAYERS_OF_MAPS = 50, 18
UNIFORM = SyntheticData(kind="synthetic", name=SyntheticName.UNIFORM)


def beta_of(scheme: str, *, layers: int, seed: int) -> Dependency:
    """Of a fresh encoder of width 64."""
    spec = TransformerSpec.model_validate(
        {
            "architecture": "encoder_only",
            "encoder_layers": layers,
            "d_model": 64,
            "num_heads": 4,
            "vocab_size": 512,
            "scheme": scheme,
        }
    )
    model = build_transformer(spec, seed=seed)
    branches = residual_branches(model)
    batch = make_batch(UNIFORM, spec, batch_size=4, sequence_length=16, seed=seed)
    if scheme == "admin":
        apply_omegas(profile(model, branches, batch, admin_stacks=[Stack.ENCODER], seed=seed))
    return dependency(model, branches, batch)[Stack.ENCODER]


def measure_lines() -> Rows:
    """beta_ii per layer: the root mean square of attention and feed-forward, over three seeds."""
    rows: Rows = []
    for scheme, name in SCHEME_NAMES.items():
        found = [beta_of(scheme, layers=LAYERS_OF_LINES, seed=seed) for seed in SEEDS]
        squares = [of_seed.beta.diagonal(1).square().tolist() for of_seed in found]
        of_scheme: Rows = []
        for layer in range(LAYERS_OF_LINES):
            pair = [of_seed[2 * layer + k] for of_seed in squares for k in (0, 1)]
            beta = rounded(mean(pair) ** 0.5)
            of_scheme.append({"series": name, "i": 2 * layer + 1.5, "beta": beta})
        deep = of_scheme[5:]
        fitted = linear_regression(
            [log(row["i"]) for row in deep], [log(row["beta"]) for row in deep]
        )
        print(f"{name}: log-log slope of beta_ii from the tenth sub-layer on {fitted.slope:.2f}")
        rows += of_scheme
    return rows


def measure_maps() -> Rows:
    """beta_ij of 18 layers, Post-LN and Admin."""
    return [
        {"panel": SCHEME_NAMES[scheme], "i": i + 1, "j": j, "beta": rounded(beta)}
        for scheme in ("post_ln", "admin")
        for i, row in enumerate(beta_of(scheme, layers=LAYERS_OF_MAPS, seed=0).beta.tolist())
        for j, beta in enumerate(row[: i + 2])
    ]


def lines_chart(rows: Rows) -> Chart:
    """Log-log, with a line of slope -1/2 to hold Pre-LN and Admin against."""
    guide = [{"i": i, "beta": rounded(i**-0.5)} for i in (1.5, 2 * LAYERS_OF_LINES - 0.5)]
    x = {
        "field": "i",
        "type": "quantitative",
        "title": "depth i (sub-layers)",
        "scale": {"type": "log", "domain": [1, 2 * LAYERS_OF_LINES]},
    }
    y = {
        "field": "beta",
        "type": "quantitative",
        "title": "beta_ii (share of the state's deviation)",
        "scale": {"type": "log", "domain": [0.05, 1]},
    }
    return {
        "width": 420,
        "height": 280,
        "encoding": {"x": x, "y": y},
        "layer": [
            {
                "data": {"values": rows},
                "mark": {"type": "line", "point": {"size": 12}},
                "encoding": {"color": colour(SCHEME_COLOURS)},
            },
            {
                "data": {"values": guide},
                "mark": {"type": "line", "strokeDash": [5, 4], "color": "black"},
            },
            {
                "data": {"values": guide[:1]},
                "mark": {"type": "text", "align": "left", "dx": 10, "text": "1/sqrt(i)"},
            },
        ],
    }


def maps_chart(rows: Rows) -> Chart:
    """One square per beta_ij, both maps on one colour scale."""
    ticks = [0, *range(6, 2 * LAYERS_OF_MAPS + 1, 6)]
    return {
        "hconcat": [
            {
                "title": panel,
                "width": {"step": 8},
                "height": {"step": 8},
                "data": {"values": [row for row in rows if row["panel"] == panel]},
                "mark": "rect",
                "encoding": {
                    "x": {
                        "field": "j",
                        "type": "ordinal",
                        "title": "branch j (0: embedding)",
                        "axis": {"values": ticks, "labelAngle": 0, "grid": False},
                    },
                    "y": {
                        "field": "i",
                        "type": "ordinal",
                        "title": "depth i (sub-layers)",
                        "axis": {"values": ticks, "grid": False},
                    },
                    "color": {
                        "field": "beta",
                        "type": "quantitative",
                        "title": "beta_ij",
                        "scale": {"scheme": "viridis", "domain": [0, 0.8], "clamp": True},
                    },
                },
            }
            for panel in ("Post-LN", "Admin")
        ]
    }
