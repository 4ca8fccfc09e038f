// A job that is not finished: its progress, and the page anew once it is something else.

const card = document.querySelector("[data-live]");

export function show(progress) {
  const bar = card.querySelector("progress");
  if (!bar) return;
  bar.value = progress.share;
  say("[data-share]", `${Math.round(100 * progress.share)} %`);
  if (progress.stage) say("[data-stage]", progress.stage);
  const left = progress.seconds_left;
  say("[data-left]", left == null ? "" : ` · about ${inWords(left)} left`);
}

function say(where, text) {
  const element = card.querySelector(where);
  if (element && element.textContent !== text) element.textContent = text;
}

function inWords(seconds) {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

async function look(address) {
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const job = await answer.json();
  if (job.state !== card.dataset.live) location.reload();
  else show(job.progress);
}

// Where there is an event stream, it tells what is to be told.
if (card && !document.querySelector("[data-events]")) {
  const address = document.querySelector(".about a[href^='/v1/']").getAttribute("href");
  setInterval(() => look(address).catch(() => {}), 1000);
}
