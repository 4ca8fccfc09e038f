// Losses as they come, from the event stream of a race or of a watched run.

import { show } from "./live.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [800, 340];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 24, 10, 44];
const MOST_POINTS = 300;
const plain = (value) => String(Number(value.toPrecision(6)));
const max = (values) => values.reduce((a, b) => Math.max(a, b));
const min = (values) => values.reduce((a, b) => Math.min(a, b));

const box = document.querySelector("[data-events]");
const picture = box.querySelector("svg");
const legend = box.querySelector(".legend");
const table = document.querySelector("[data-runs]");
const card = document.querySelector("[data-live]");
const runs = new Map();
const arms = new Map();
let due = false;

box.hidden = false;
const events = new EventSource(box.dataset.events);
events.addEventListener("points", (event) => take(JSON.parse(event.data)));
events.addEventListener("progress", (event) => told(JSON.parse(event.data)));
events.addEventListener("race", ended);
events.addEventListener("run", ended);
addEventListener("pagehide", () => events.close());
draw();

function ended() {
  events.close();
  draw();
  if (card) location.reload();
}

function take({ arm = "", seed = 0, points }) {
  const key = `${arm}\n${seed}`;
  if (!runs.has(key)) {
    if (!arms.has(arm)) enter(arm);
    runs.set(key, { arm, seed, points: [] });
  }
  const run = runs.get(key);
  for (const { step, loss } of points) if (loss !== null) run.points.push([step, loss]);
  const last = points.at(-1);
  const row = rowOf(arm, seed);
  if (last && row) {
    row.querySelector("[data-step]").textContent = last.step;
    row.querySelector("[data-loss]").textContent = last.loss === null ? "not finite" : last.loss.toPrecision(4);
  }
  if (!due) {
    due = true;
    setTimeout(() => requestAnimationFrame(draw), 150);
  }
}

function told(progress) {
  if (card && card.dataset.live === "queued" && progress.state === "running") return location.reload();
  if (card) show(progress);
  for (const run of progress.runs ?? []) {
    const row = rowOf(run.arm, run.seed);
    if (!row) continue;
    row.querySelector("[data-done]").textContent = `${Math.round(100 * run.share)} %`;
    const badge = row.querySelector(".badge");
    const said = run.outcome ?? run.state;
    if (!badge.classList.contains(said)) {
      badge.className = `badge ${said}`;
      badge.textContent = said;
    }
  }
}

function rowOf(arm, seed) {
  if (!table || table.tagName !== "TBODY") return table;
  return [...table.rows].find((row) => row.dataset.arm === arm && row.dataset.seed === String(seed));
}

function enter(arm) {
  const place = arms.size;
  arms.set(arm, `c${place % 6} d${Math.floor(place / 6) % 3}`);
  if (arm === "") return;
  const item = document.createElement("li");
  const sample = make("svg", { viewBox: "0 0 28 8", "aria-hidden": "true" });
  sample.append(make("line", { x1: 0, x2: 28, y1: 4, y2: 4, class: `line ${arms.get(arm)}`, "stroke-width": 3 }));
  item.append(sample, document.createTextNode(arm));
  legend.append(item);
}

function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function draw() {
  due = false;
  const all = [...runs.values()].filter((run) => run.points.length);
  const losses = all.flatMap((run) => run.points.map((point) => point[1]));
  const firsts = all.map((run) => run.points[0][1]);
  // A run that diverges would leave no room for the others.
  const highest = losses.length ? Math.min(max(losses), 1.3 * max(firsts)) : 1;
  const lowest = losses.length ? Math.min(min(losses), highest) : 0;
  const ticks = rounds(lowest, highest === lowest ? lowest + 1 : highest, 5);
  const [low, high] = [Math.min(lowest, ticks[0]), Math.max(highest, ticks.at(-1))];
  const steps = Math.max(Number(box.dataset.steps), ...all.map((run) => run.points.at(-1)[0]), 2);
  const x = (step) => LEFT + ((WIDTH - LEFT - RIGHT) * (step - 1)) / (steps - 1);
  const y = (loss) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - Math.min(loss, high))) / (high - low || 1);
  const parts = [];
  for (const tick of ticks) {
    parts.push(make("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    parts.push(make("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, plain(tick)));
  }
  for (const tick of rounds(1, steps, 8).map(Math.round).filter((tick) => tick >= 1))
    parts.push(make("text", { x: x(tick), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, tick));
  parts.push(make("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "step"));
  for (const run of all) {
    const line = thinned(run.points).map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`);
    parts.push(make("polyline", { class: `line ${arms.get(run.arm)}`, points: line.join(" ") }));
  }
  if (!all.length) parts.splice(0, parts.length, make("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no step yet"));
  picture.replaceChildren(...parts);
}

function rounds(low, high, about) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + 1e-9; n++) found.push(n * step);
  return found.length ? found : [low];
}

function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  // Of each stretch the lowest and the highest, so that no spike is lost.
  const stretches = MOST_POINTS / 2 - 1;
  const kept = new Set([0, points.length - 1]);
  for (let n = 0; n < stretches; n++) {
    const from = Math.floor((n * points.length) / stretches);
    const to = Math.floor(((n + 1) * points.length) / stretches);
    let [lowest, highest] = [from, from];
    for (let i = from; i < to; i++) {
      if (points[i][1] < points[lowest][1]) lowest = i;
      if (points[i][1] > points[highest][1]) highest = i;
    }
    kept.add(lowest).add(highest);
  }
  return [...kept].sort((a, b) => a - b).map((place) => points[place]);
}
