"""What each part costs, as a ratio against its anchor measured in the same run.

    make bench                                   # python -m bench.performance
    python -m bench.performance --rows profile race

The ways of a row take turns; a turn gives one ratio, and the median of them is shown with the
smallest and largest. What runs in this process is timed by the CPU time of one thread, so that
other work on the machine favours neither side; what starts or asks other processes, by the clock.
Each group of rows adds a line to bench/results/performance.jsonl; the newest of each make the table
in docs/performance.md.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from admin_core.analysis.amplification import (
    add_random_step,
    branch_matrices,
    compared,
    output_change,
    random_output_change,
    states,
)
from admin_core.analysis.profiling import profile
from admin_core.data.batch import Batch
from admin_core.diagnosis import diagnose_spec
from admin_core.models.transformer import Transformer, build_transformer
from admin_core.race_spec import RaceSpec
from admin_core.residual import ResidualBranch, at_states, discover, residual_branches
from admin_core.sources import source_of
from admin_core.spec import ClinicOmega, DiagnosisSpec, RandomStep, Stack, TransformerSpec
from admin_core.training.loss import batch_loss
from bench.race_throughput import arm, minimal_loop
from bench.submit_to_verdict import serving

CPU = torch.device("cpu")
RESULTS = Path("bench/results/performance.jsonl")
PAGE = Path("docs/performance.md")
MARKS = "<!-- table of make bench -->", "<!-- end of the table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    target: str
    values: list[float]
    """One a turn."""
    unit: str = ""

    @property
    def shown(self) -> str:
        low, high = min(self.values), max(self.values)
        spread = f"{low:.3g} to {high:.3g}" if len(self.values) > 1 else ""
        middle = f"{statistics.median(self.values):.3g} {self.unit}".strip()
        return f"| {self.name} | {self.target} | {middle} | {spread} |"


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def wall_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(
    work: Callable[[], object],
    anchor: Callable[[], object],
    *,
    turns: int,
    seconds: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> list[float]:
    """work over anchor, in turns anchor, work, work, anchor, after one turn that warms up."""
    found = []
    for _ in range(turns + 1):
        first, ours, again, last = (seconds(way) for way in (anchor, work, work, anchor))
        found.append((ours + again) / (first + last))
    return found[1:]


def diagnosis(**changes: Any) -> DiagnosisSpec:
    model = {
        "architecture": "encoder_decoder",
        "encoder_layers": 6,
        "decoder_layers": 6,
        "d_model": 512,
        "num_heads": 8,
    }
    return DiagnosisSpec.model_validate(
        {"model": model, "training": {"batch_size": 16, "sequence_length": 64}} | changes
    )


def forward_and_backward(model: Transformer, batch: Batch) -> None:
    model.train()
    batch_loss(model, batch).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()


def passes(model: Transformer, batch: Batch) -> tuple[Callable[[], None], Callable[[], None]]:
    """A forward pass and a profiling pass."""
    branches = residual_branches(model)

    @torch.no_grad()
    def plain() -> None:
        model.train()
        model.states(**batch.inputs)

    def profiled() -> None:
        profile(model, branches, batch, admin_stacks=tuple(Stack), seed=0)

    return plain, profiled


def profiling_rows() -> Iterator[Row]:
    spec = diagnosis()
    source = source_of(spec, CPU)
    model, batch = source.build(0), source.batch(0)
    assert isinstance(model, Transformer)
    plain, profiled = passes(model, batch)
    yield Row(
        name="profiling pass / forward pass, built-in 6-6, width 512",
        target="at most 1.10",
        values=ratios(profiled, plain, turns=5),
    )
    from transformers import BertConfig, BertModel

    bert: nn.Module = BertModel(BertConfig(num_hidden_layers=6))
    bert.eval()
    inputs = {"input_ids": torch.randint(0, 30_000, (8, 128))}
    found = discover(bert, inputs)

    @torch.no_grad()
    def plain_bert() -> None:
        bert(**inputs)

    def profiled_bert() -> None:
        profile(
            bert,
            found.branches,
            Batch(inputs=inputs),
            admin_stacks=found.stacks,
            seed=0,
            omega=ClinicOmega(dropout=False),
        )

    yield Row(
        name="the same of a discovered BERT of 6 layers, width 768",
        target="at most 1.15",
        values=ratios(profiled_bert, plain_bert, turns=5),
    )


SMALLER = {
    "architecture": "encoder_decoder",
    "encoder_layers": 6,
    "decoder_layers": 6,
    "d_model": 256,
    "num_heads": 4,
    "vocab_size": 300,
}
SHORT = {"batch_size": 8, "sequence_length": 64, "steps": 300, "warmup_steps": 30}
"""A run that the verdict has a probe for, of twelve steps."""


def diagnosis_rows() -> Iterator[Row]:
    spec = diagnosis(model=SMALLER, training=SHORT)
    source = source_of(spec, CPU)
    model, batch = source.build(0), source.batch(0)
    assert isinstance(model, Transformer)

    def diagnosed(analyses: list[str]) -> Callable[[], object]:
        asked = diagnosis(model=SMALLER, training=SHORT, analyses=analyses)
        return lambda: diagnose_spec(asked)

    measured = ["omega", "amplification", "dependency", "gradients"]
    for name, analyses, target, turns in (
        ("omega alone", ["omega"], "", 2),
        ("omega and output change", ["omega", "amplification"], "", 2),
        ("everything measured", measured, "at most 8", 2),
        ("with verdict and search for prescriptions", [*measured, "verdict"], "", 1),
    ):
        yield Row(
            name=f"diagnosis, {name} / forward and backward pass",
            target=target,
            values=ratios(
                diagnosed(analyses), lambda: forward_and_backward(model, batch), turns=turns
            ),
        )


def output_change_row(layers: int = 12) -> Iterator[Row]:
    def spec_of(depth: int) -> DiagnosisSpec:
        return DiagnosisSpec.model_validate(
            {
                "model": {
                    "architecture": "encoder_only",
                    "encoder_layers": depth,
                    "d_model": 256,
                    "num_heads": 4,
                    "vocab_size": 300,
                },
                "training": {"batch_size": 8, "sequence_length": 64},
            }
        )

    whole = source_of(spec_of(layers), CPU)
    model, batch = whole.build(0), whole.batch(0)
    branches = list(whole.branches(model))

    def all_at_once() -> None:
        before = states(model, branches, batch)
        random_output_change(model, branches, batch, before, draws=1, seed=0)

    @torch.no_grad()
    def one_model_per_depth() -> None:
        for depth in range(1, layers + 1):
            own_spec = spec_of(depth).model
            assert isinstance(own_spec, TransformerSpec)
            own = build_transformer(own_spec, seed=0).eval()
            last = residual_branches(own)[-1]
            seen: list[torch.Tensor] = []

            def see(
                branch: ResidualBranch, x: torch.Tensor, seen: list[torch.Tensor] = seen
            ) -> None:
                seen.append(compared(branch, x, batch))

            with at_states([last], see):
                own.states(**batch.inputs)
                matrices = branch_matrices(residual_branches(own))
                add_random_step(matrices, RandomStep.SIGN, seed=0, draw=0)
                own.states(**batch.inputs)
            output_change(*seen)

    yield Row(
        name=f"one model per depth / output change at all depths, {layers} layers",
        target=f"at least {layers / 3:.3g}",
        values=[1 / ratio for ratio in ratios(all_at_once, one_model_per_depth, turns=3)],
    )


BARE = """
import json, sys
from admin_core.spec import DiagnosisSpec
from admin_core.diagnosis import diagnose_spec
diagnose_spec(DiagnosisSpec.model_validate(json.loads(sys.argv[1])))
"""


def submission_row() -> Iterator[Row]:
    seeds = iter(range(10**6))
    with serving() as http:

        def body() -> dict[str, Any]:
            # A seed of its own, so that no answer is one that was given before.
            spec = diagnosis(
                training={"batch_size": 8, "sequence_length": 32},
                analyses=["omega"],
                seed=next(seeds),
            )
            return spec.model_dump(mode="json")

        def post() -> None:
            answer = http.post("/v1/diagnoses", params={"wait": 300}, json=body())
            assert answer.json()["state"] == "succeeded", answer.text

        def bare() -> None:
            subprocess.run([sys.executable, "-c", BARE, json.dumps(body())], check=True)

        found = ratios(bare, post, turns=2, seconds=wall_seconds)
    yield Row(
        name="Python process from nothing / POST to omega, warm worker, 6-6, width 512",
        target="at least 10",
        values=found,
    )


def race_rows() -> Iterator[Row]:
    run = RaceSpec.model_validate(
        {
            "model": {
                "architecture": "decoder_only",
                "decoder_layers": 12,
                "d_model": 64,
                "num_heads": 2,
            },
            "training": {
                "steps": 30,
                "warmup_steps": 20,
                "schedule": "constant",
                "batch_size": 16,
                "sequence_length": 32,
            },
            "arms": ["pre_ln"],
            "validation": {"every": 30, "batches": 1},
        }
    ).run(0)
    found = []
    for _ in range(3):
        ours, theirs, again, last = (
            way(run, CPU) for way in (arm, minimal_loop, minimal_loop, arm)
        )
        found.append((ours + last) / (theirs + again))
    yield Row(
        name="race arm / hand-written loop, tokens a second", target="at least 0.95", values=found
    )
    yield seeds_together_row()


def seeds_together_row(num_seeds: int = 4) -> Row:
    """K models' forward and backward stacked by torch.func, against one after another."""
    spec = TransformerSpec.model_validate(
        {
            "architecture": "decoder_only",
            "decoder_layers": 4,
            "d_model": 32,
            "num_heads": 2,
            "vocab_size": 256,
            "dropout": 0.0,
        }
    )
    models = [build_transformer(spec, seed=seed) for seed in range(num_seeds)]
    tokens = torch.randint(1, 256, (num_seeds, 4, 32))
    stacked, buffers = torch.func.stack_module_state(models)
    skeleton = models[0]

    def loss(parameters: Any, own_buffers: Any, own_tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(
            skeleton, (parameters, own_buffers), (), {"target": own_tokens}
        )
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), own_tokens.flatten())

    def together() -> None:
        losses = torch.func.vmap(loss)(stacked, buffers, tokens)
        torch.autograd.grad(losses.sum(), list(stacked.values()))

    def one_after_another() -> None:
        for model, own in zip(models, tokens, strict=True):
            logits = model(target=own)
            cross_entropy = torch.nn.functional.cross_entropy(logits.flatten(0, 1), own.flatten())
            cross_entropy.backward()  # type: ignore[no-untyped-call]
            model.zero_grad()

    return Row(
        name=f"{num_seeds} seeds one after another / stacked, 4 layers, width 32",
        target="reported",
        values=[1 / ratio for ratio in ratios(together, one_after_another, turns=5)],
    )


def start_rows() -> Iterator[Row]:
    trimtab = str(Path(sys.executable).with_name("trimtab"))
    no_torch = "import sys, app.main; assert 'torch' not in sys.modules"
    for name, command in (
        ("import app.main, which loads no torch", [sys.executable, "-c", no_torch]),
        ("trimtab --help", [trimtab, "--help"]),
    ):

        def start(command: list[str] = command) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        start()
        yield Row(
            name=f"{name}, CPU time",
            target="under 1 s",
            values=[start() for _ in range(3)],
            unit="s",
        )


def convergence_row() -> Iterator[Row]:
    """Tokens for a standard error of 1 %: those of a pass times the square of its error, as the
    error falls with the root of the tokens."""
    needed = []
    for seed in range(3):
        spec = diagnosis(analyses=["omega"], seed=seed, omega={"batches": 4})
        report = diagnose_spec(spec)
        errors = [b.omega_sem / b.omega for b in report.branches if b.omega and b.omega_sem]
        tokens = report.environment.num_tokens * spec.omega.batches
        needed.append(tokens * (max(errors) / 0.01) ** 2)
    yield Row(
        name="tokens for a standard error of 1 % of the worst omega, one model",
        target="reported",
        values=needed,
        unit="tokens",
    )


DEPTH = """
import json, re, sys, time
from pathlib import Path
from admin_core.diagnosis import diagnose_spec
from admin_core.size import Limits
from admin_core.spec import DiagnosisSpec
spec, parameters = DiagnosisSpec.model_validate(json.loads(sys.argv[1])), int(sys.argv[2])
start = time.process_time()
diagnose_spec(spec, limits=Limits(
    max_parameters=parameters, max_tokens=10**6, max_streamed_bytes=2**31))
# Of this program alone; what getrusage tells begins with its parent's.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**20
print(json.dumps([time.process_time() - start, peak]))
"""


def seconds_and_peak(spec: DiagnosisSpec, *, whole_up_to: int) -> tuple[float, float]:
    """Of a diagnosis in a process of its own with one thread: processor seconds and GiB."""
    command = [sys.executable, "-c", DEPTH, spec.model_dump_json(), str(whole_up_to)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def depth_rows() -> Iterator[Row]:
    """Omegas of a decoder of width 512, held whole and a sub-layer at a time; and all that is
    measured, of 10,000 sub-layers."""
    for layers in (12, 96, 1_000):
        spec = DiagnosisSpec.model_validate(
            {
                "model": {
                    "architecture": "decoder_only",
                    "decoder_layers": layers,
                    "d_model": 512,
                    "num_heads": 8,
                },
                "training": {"batch_size": 4, "sequence_length": 32},
                "analyses": ["omega"],
            }
        )
        for way, parameters in (("whole", 10**12), ("streamed", 1)):
            if way == "whole" and layers > 96:
                continue
            seconds, peak = seconds_and_peak(spec, whole_up_to=parameters)
            name = f"omegas of {layers} layers of width 512, {way}"
            yield Row(name=f"{name}, CPU time", target="", values=[seconds], unit="s")
            target = "under 2 GiB" if layers == 1_000 else ""
            yield Row(name=f"{name}, peak memory", target=target, values=[peak], unit="GiB")
    for layers in (500, 5_000):
        spec = DiagnosisSpec.model_validate(
            {
                "model": {
                    "architecture": "decoder_only",
                    "decoder_layers": layers,
                    "d_model": 32,
                    "num_heads": 2,
                },
                "training": {"batch_size": 2, "sequence_length": 16},
                "analyses": ["omega", "amplification", "dependency", "gradients"],
            }
        )
        seconds, peak = seconds_and_peak(spec, whole_up_to=10**12)
        name = f"all that is measured, of {2 * layers:,} sub-layers of width 32"
        yield Row(name=f"{name}, CPU time", target="", values=[seconds], unit="s")
        yield Row(name=f"{name}, peak memory", target="", values=[peak], unit="GiB")


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "profile": profiling_rows,
    "diagnosis": diagnosis_rows,
    "output_change": output_change_row,
    "submission": submission_row,
    "race": race_rows,
    "start": start_rows,
    "convergence": convergence_row,
    "depth": depth_rows,
}


def machine() -> dict[str, Any]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_before": round(os.getloadavg()[0], 1),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def write_table() -> None:
    """The newest figures of every row into docs/performance.md, in the order of `ROWS`."""
    newest: dict[str, dict[str, tuple[Row, dict[str, Any]]]] = {group: {} for group in ROWS}
    for line in RESULTS.read_text().splitlines():
        run = json.loads(line)
        newest[run["group"]] = {row["name"]: (Row(**row), run["machine"]) for row in run["rows"]}
    shown = [row for of_group in newest.values() for row in of_group.values()]
    about = shown[-1][1]
    loads = [own["load_before"] for _, own in shown]
    table = "\n".join(
        [
            MARKS[0],
            f"{about['cores']} cores of {about['cpu']}, {about['gpu'] or 'no GPU'}; torch "
            f"{about['torch']}, Python {about['python']}; one thread; {about['time'][:10]}; load "
            f"of the machine {min(loads)} to {max(loads)} when rows were begun.",
            "",
            "| what | target | median | turns from, to |",
            "| --- | --- | --- | --- |",
            *(row.shown for row, _ in shown),
            MARKS[1],
        ]
    )
    page = PAGE.read_text()
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(before + table + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for group in given.rows:
        about = machine()
        rows = []
        for row in ROWS[group]():
            print(row.shown, flush=True)
            rows.append(asdict(row))
        with RESULTS.open("a") as history:
            history.write(json.dumps({"group": group, "machine": about, "rows": rows}) + "\n")
    write_table()


if __name__ == "__main__":
    main()
