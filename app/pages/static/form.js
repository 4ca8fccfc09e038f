// The form and the JSON beside it say the same. The rules are those of spec_form.py, which applies
// them again to whatever is posted.

const form = document.querySelector("[data-ask]");
const text = form.elements["json"];
const told = document.getElementById("json-error");
const inputs = [...form.querySelectorAll("[data-kind]")];
const at = (name) => document.getElementById(name);
const own = (path) => inputs.filter((input) => input.name.startsWith(path));

function read() {
  const value = JSON.parse(text.value || "{}");
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("no object");
  return value;
}

function object(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

function typed(input) {
  const value = input.value.trim();
  const number = input.dataset.kind === "whole" ? /^\d{1,19}$/ : /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
  return ["whole", "real"].includes(input.dataset.kind) && number.test(value) ? Number(value) : value;
}

function put(into, input) {
  const name = input.name.split(".").at(-1);
  const value = typed(input);
  // What was not said and is not changed from its default stays unsaid.
  if (value === "" || (!(name in into) && input.value === input.dataset.default)) delete into[name];
  else into[name] = value;
}

function model(before) {
  if (at("kind-huggingface").checked) {
    const scheme = at("huggingface.scheme").value;
    let config = {};
    try {
      config = JSON.parse(at("huggingface.config").value || "{}");
    } catch {
      config = object(before).config ?? {};
    }
    return { kind: "huggingface", config, ...(scheme && { scheme }) };
  }
  const old = object(before);
  const found = (old.kind ?? "transformer") === "transformer" ? old : {};
  for (const input of own("model.")) if (!input.name.startsWith("model.scheme")) put(found, input);
  found.architecture = at("model.architecture").value;
  if (found.architecture === "encoder_only") delete found.decoder_layers;
  if (found.architecture === "decoder_only") delete found.encoder_layers;
  const [encoder, decoder] = [at("model.scheme").value, at("model.scheme.decoder").value];
  const both = found.architecture === "encoder_decoder" && decoder;
  if (both || found.scheme !== undefined || encoder !== "post_ln") found.scheme = both ? { encoder, decoder } : encoder;
  return { kind: "transformer", ...found };
}

function data(before) {
  const kind = at("data.kind").value;
  const old = object(before);
  const found = old.kind === kind ? old : {};
  if (kind === "synthetic") return { ...found, kind, name: at("data.name").value };
  if (kind === "upload") return { ...found, kind, id: at("data.id").value.trim() };
  return { ...found, kind };
}

function toJson() {
  let spec;
  try {
    spec = read();
  } catch {
    return; // Somebody is in the middle of typing it.
  }
  spec.model = model(spec.model);
  const training = object(spec.training);
  for (const input of own("training.")) if (!input.name.includes("betas")) put(training, input);
  const betas = own("training.betas");
  if (training.betas || betas.some((input) => input.value !== input.dataset.default)) training.betas = betas.map(typed);
  if (Object.keys(training).length || spec.training) spec.training = training;
  if (spec.data || at("data.kind").value !== "text") spec.data = data(spec.data);
  put(spec, at("seed"));
  const boxes = [...form.querySelectorAll("[name=analyses]")];
  const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
  const usual = boxes.every((box) => box.checked === (box.value !== "edges"));
  if (!usual || spec.analyses) spec.analyses = chosen;
  text.value = JSON.stringify(spec, null, 2);
  told.textContent = "";
}

function show(input, value) {
  const plain = value === undefined || value === null || typeof value === "object";
  const shown = plain ? input.dataset.default : String(value);
  if (input.tagName === "SELECT" && ![...input.options].some((option) => option.value === shown)) return;
  if (input.value !== shown) input.value = shown;
}

function toForm() {
  let spec;
  try {
    spec = read();
  } catch (error) {
    told.textContent = `This cannot be read as JSON yet: ${error.message}.`;
    return;
  }
  told.textContent = "";
  const given = object(spec.model);
  const huggingface = given.kind === "huggingface";
  at(huggingface ? "kind-huggingface" : "kind-transformer").checked = true;
  if (huggingface) {
    at("huggingface.scheme").value = given.scheme ?? "";
    at("huggingface.config").value = given.config === undefined ? "" : JSON.stringify(given.config, null, 2);
  }
  const flat = { ...spec, model: huggingface ? {} : given };
  for (const input of inputs) {
    if (input.name.startsWith("huggingface")) continue;
    show(input, input.name.split(".").reduce((value, step) => object(value)[step] ?? value?.[step], flat));
  }
  const scheme = flat.model.scheme;
  if (scheme !== null && typeof scheme === "object") {
    show(at("model.scheme"), scheme.encoder);
    show(at("model.scheme.decoder"), scheme.decoder);
  } else at("model.scheme.decoder").value = "";
  const analyses = spec.analyses ?? ["verdict", "omega", "amplification", "dependency", "gradients"];
  if (Array.isArray(analyses))
    for (const box of form.querySelectorAll("[name=analyses]")) box.checked = analyses.includes(box.value);
}

form.addEventListener("input", (event) => {
  if (event.target === text) toForm();
  else if (event.target.name !== "fresh" && !event.target.matches("[data-file]")) toJson();
});

const drop = form.querySelector("[data-drop]");
const file = drop.querySelector("[data-file]");
const config = at("huggingface.config");

async function take(chosen) {
  if (!chosen) return;
  if (chosen.size > 1_000_000) {
    config.value = "";
    told.textContent = `${chosen.name} is larger than 1 MB, and no config.json.`;
    return;
  }
  config.value = await chosen.text();
  at("kind-huggingface").checked = true;
  try {
    config.value = JSON.stringify(JSON.parse(config.value), null, 2);
  } catch (error) {
    told.textContent = `${chosen.name} cannot be read as JSON: ${error.message}.`;
    return;
  }
  toJson();
}

file.hidden = false;
file.addEventListener("change", () => take(file.files[0]));
for (const name of ["dragenter", "dragover"])
  form.addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  });
for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => drop.classList.remove("over"));
form.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

document.getElementById("errors")?.focus();
toForm();
