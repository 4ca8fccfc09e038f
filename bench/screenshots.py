"""Pictures of every page, for the docs and to be looked at: desktop and telephone, light and dark.

    python -m bench.screenshots [FOLDER [HOME]]         docs/screenshots unless given

A service is started, a few small models are diagnosed and raced, and a browser (Chromium, from the
system) looks at what came of it. In a HOME that is kept, what was diagnosed once is not diagnosed
again. Also told: how long the server takes for the page of a finished diagnosis, and what the page
weighs with all that it loads.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, Response, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
LOOKS: list[tuple[str, dict[str, Any]]] = [
    (f"{size}-{scheme}", {"viewport": viewport, "color_scheme": scheme})
    for size, viewport in (
        ("desktop", {"width": 1100, "height": 760}),
        ("phone", {"width": 390, "height": 760}),
    )
    for scheme in ("light", "dark")
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
TALLEST = 1_900
"""Pixels of a page that are shown; what is below is in the page itself."""
LOOKS_AT = 20

TRAINING = {"steps": 300, "warmup_steps": 60, "batch_size": 16, "sequence_length": 32}
DEEP: dict[str, Any] = {
    "model": {
        "architecture": "encoder_decoder",
        "encoder_layers": 9,
        "decoder_layers": 6,
        "d_model": 64,
        "num_heads": 2,
        "scheme": "post_ln",
    },
    "training": TRAINING,
}
"""36 sub-layers: 2 in each encoder layer and 3 in each decoder layer."""
ADMIN = DEEP | {"model": DEEP["model"] | {"scheme": "admin"}}
RACE: dict[str, Any] = {
    "model": {"architecture": "decoder_only", "decoder_layers": 6, "d_model": 32, "num_heads": 2},
    "training": {"steps": 150, "warmup_steps": 20, "batch_size": 8, "sequence_length": 32},
    "arms": ["post_ln", "pre_ln", "admin"],
    "seeds": 2,
}
BROKEN = {
    "model": {
        "kind": "huggingface",
        "config": {"model_type": "bert", "hidden_size": 30, "num_attention_heads": 4},
    }
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("TRIMTAB_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no Chromium; install it, or name one in TRIMTAB_CHROMIUM.")
    with tempfile.TemporaryDirectory(prefix="tt-") as new, sync_playwright() as playwright:
        home = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(new) / "kept"
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, headless=True)
        with service(Path(new) / "walled") as http:
            photograph(browser, http, folder, {"start-empty": "/"})
        key = create_key(Path(new) / "walled")
        with service(Path(new) / "walled") as http:
            photograph(browser, http, folder, {"sign-in": "/sign-in"})
            photograph(browser, http, folder, {"keys": "/keys"}, key=key)
        with service(home) as http:
            ids = prepare(http)
            photograph(browser, http, folder, addresses(ids))
            live(browser, http, folder)
            measure(browser, http, ids["deep"])
        browser.close()


def create_key(home: Path) -> str:
    command = [TRIMTAB, "keys", "create", "the lab", "--scope", "admin"]
    environment = os.environ | {"TRIMTAB_HOME": str(home)}
    return subprocess.check_output(command, env=environment, text=True).split()[-1]


TRIMTAB = str(Path(sys.executable).with_name("trimtab"))


@contextmanager
def service(home: Path) -> Iterator[httpx.Client]:
    """A running service, and who asks it."""
    process = subprocess.Popen(
        [TRIMTAB, "serve", "--port", "0"],
        env=os.environ | {"TRIMTAB_HOME": str(home), "TRIMTAB_DEVICE": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3].rstrip(";")
        with httpx.Client(base_url=url, timeout=600) as http:
            yield http
    finally:
        process.terminate()
        process.wait(60)


def prepare(http: httpx.Client) -> dict[str, str]:
    """Ids of a few jobs, all finished."""
    ids = {
        name: http.post("/v1/diagnoses", json=spec).json()["id"]
        for name, spec in (("deep", DEEP), ("admin", ADMIN), ("broken", BROKEN))
    }
    ids["race"] = http.post("/v1/races", json=RACE).json()["id"]
    for name, job_id in ids.items():
        kind = "races" if name == "race" else "diagnoses"
        while http.get(f"/v1/{kind}/{job_id}?wait=300").json()["state"] in ("queued", "running"):
            pass
    # Last, as a loop that is silent for long counts as abandoned.
    run = {"name": "18 layers, second try", "steps": 4_000}
    ids["run"] = http.post("/v1/runs", json=run).json()["id"]
    points = [{"step": n, "loss": 2.4 + 3.2 / n**0.4} for n in range(1, 1_001)]
    http.post(f"/v1/runs/{ids['run']}/points", json={"points": points}).raise_for_status()
    return ids


def addresses(ids: dict[str, str]) -> dict[str, str]:
    """Of every page but those that are to be caught in time."""
    return {
        "start": "/",
        "new": "/new",
        "new-huggingface": "/new?preset=huggingface-bert-small",
        "diagnosis": f"/diagnoses/{ids['deep']}",
        "diagnosis-failed": f"/diagnoses/{ids['broken']}",
        "race": f"/races/{ids['race']}",
        "run": f"/runs/{ids['run']}",
        "compare": f"/compare?job={ids['deep']}&job={ids['admin']}",
        "compare-choose": "/compare",
        "not-found": "/diagnoses/none",
    }


def photograph(
    browser: Browser,
    http: httpx.Client,
    folder: Path,
    pages: dict[str, str],
    key: str | None = None,
) -> None:
    """Each page in each look."""
    for look, context in LOOKS:
        tab = browser.new_page(base_url=str(http.base_url), **context)
        tab.set_default_timeout(180_000)
        if key is not None:
            tab.goto("/sign-in")
            tab.get_by_label("Key").fill(key)
            tab.keyboard.press("Enter")
            tab.wait_for_selector("text=Sign out")
        for name, path in pages.items():
            tab.goto(path)
            if name == "run":
                # Its curve comes by the event stream.
                tab.locator(".live polyline").first.wait_for(state="attached")
            settle(tab)
            save(tab, folder / f"{name}-{look}.png")
        if "new" in pages:
            tab.goto("/new")
            tab.get_by_label("attention heads").fill("5")
            tab.get_by_role("button", name="Diagnose", exact=True).click()
            tab.wait_for_selector("#errors")
            save(tab, folder / f"new-refused-{look}.png")
        tab.context.close()


def live(browser: Browser, http: httpx.Client, folder: Path) -> None:
    """A race and a diagnosis while they run."""
    long = RACE | {"training": RACE["training"] | {"steps": 600}}
    race = http.post("/v1/races", json=long).json()["id"]
    large = DEEP | {"seed": 1, "analyses": [*ALL, "edges"]}
    diagnosis = http.post("/v1/diagnoses", json=large).json()["id"]
    for look, context in LOOKS:
        tab = browser.new_page(base_url=str(http.base_url), **context)
        tab.goto(f"/races/{race}")
        # Not by a function in the page, which its Content-Security-Policy refuses.
        tab.locator(".live polyline").nth(1).wait_for(state="attached", timeout=180_000)
        tab.wait_for_timeout(1_500)
        save(tab, folder / f"race-live-{look}.png")
        tab.goto(f"/diagnoses/{diagnosis}")
        save(tab, folder / f"diagnosis-live-{look}.png")
        tab.context.close()
    http.delete(f"/v1/races/{race}")
    http.delete(f"/v1/diagnoses/{diagnosis}")


ALL = ("omega", "amplification", "dependency", "gradients", "verdict")


def settle(tab: Page) -> None:
    """Wait until every picture that the page has is drawn."""
    tab.evaluate(
        "Promise.all([...document.images].map(img => { img.loading = 'eager'; "
        "return img.decode().catch(() => {}) }))"
    )


def save(tab: Page, path: Path) -> None:
    height = min(TALLEST, int(tab.evaluate("document.documentElement.scrollHeight")))
    width = tab.evaluate("document.documentElement.clientWidth")
    tab.screenshot(
        path=path, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height}
    )
    print(path.name)


def measure(browser: Browser, http: httpx.Client, job_id: str) -> None:
    """Server time of a finished report's page, and its weight with all that it loads."""
    path = f"/diagnoses/{job_id}"
    seconds = []
    for _ in range(LOOKS_AT):
        begun = time.perf_counter()
        http.get(path).raise_for_status()
        seconds.append(time.perf_counter() - begun)
    told = ", ".join(f"{1000 * f(seconds):.0f} ms" for f in (statistics.median, max))
    print(f"page of 36 sub-layers: median and slowest of {LOOKS_AT}: {told}")
    tab = browser.new_page(base_url=str(http.base_url), **LOOKS[0][1])
    tab.set_default_timeout(180_000)
    loaded: list[Response] = []
    tab.on("response", lambda answer: loaded.append(answer))
    tab.goto(path)
    settle(tab)
    weight = sum(len(response.body()) for response in loaded)
    print(f"its weight with {len(loaded)} files: {weight / 1e6:.2f} MB")
    tab.context.close()


if __name__ == "__main__":
    main()
