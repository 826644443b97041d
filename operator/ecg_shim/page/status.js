// The status page: asks every two seconds, and changes only what changed, so that focus and a playing video stay.

import { follow } from "/page/live.js";

const SECONDS = 2;
const TOKEN = "ecg-render-token";
const BUSY = ["queued", "processing"];
const WORDS = { queued: "Waiting", processing: "Rendering", completed: "Completed", failed: "Failed", cancelled: "Cancelled" };
const EXAMPLE = `curl ${location.origin}/render -H 'Content-Type: application/json' -d '{
  "jobId": "first",
  "videoUrl": "https://example.com/talk.mp4",
  "scenario": {"cues": [{"text": "Hello", "start": 0.5, "end": 2.5}]},
  "callbackUrl": "http://localhost:8000/api/render/callback"
}'`;

const find = (selector, inside = document) => inside.querySelector(selector);
const seen = new Map();
let asking = null;
let following = null;

class Refused extends Error {}

async function ask(path, method = "GET") {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { method, headers, cache: "no-store" });
  if (answer.status === 401) throw new Refused("The token is missing or wrong.");
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `status ${answer.status}`);
  return answer.json();
}

async function refresh() {
  clearTimeout(asking);
  try {
    const [health, queue, { jobs }] = await Promise.all([
      ask("/health"), ask("/queue/status"), ask("/api/render/jobs"),
    ]);
    showHealth(health, queue);
    showJobs(jobs);
    find("#token-form").hidden = true;
  } catch (error) {
    if (error instanceof Refused) askForToken();
    else showTrouble(error);
  }
  if (!document.hidden) asking = setTimeout(refresh, SECONDS * 1000);
}

function showHealth(health, queue) {
  setBadge(find("#health"), health.status, `${health.status === "healthy" ? "Healthy" : "Unhealthy"} · ${health.mode}`);
  notice(health.problems.join("\n"));
  setText("#waiting", queue.pending_jobs);
  setText("#rendering", `${queue.processing_jobs} of ${queue.detailed_status.max_concurrent}`);
  setText("#wait", queue.estimated_wait_time ? duration(queue.estimated_wait_time) : "not at all");
  setText("#drops", `${(health.streaming.average_drop_rate * 100).toFixed(1)} %`);
  setText("#memory", health.available_memory.replace("GB", " GB"));
}

function showTrouble(error) {
  setBadge(find("#health"), "unhealthy", "No answer");
  notice(`The service does not answer (${error.message}). This page keeps asking.`);
}

function askForToken() {
  setBadge(find("#health"), "unknown", "Token needed");
  find("#token-form").hidden = false;
}

function showJobs(jobs) {
  find("#empty").hidden = jobs.length > 0;
  const list = find("#list");
  const there = new Map([...list.children].map((entry) => [entry.dataset.job, entry]));
  jobs.forEach((job, place) => {
    const entry = there.get(job.job_id) ?? makeEntry(job);
    there.delete(job.job_id);
    showJob(entry, job);
    if (list.children[place] !== entry) list.insertBefore(entry, list.children[place] ?? null);
  });
  there.forEach((entry) => entry.remove());
}

function makeEntry(job) {
  const entry = find("#job").content.firstElementChild.cloneNode(true);
  entry.dataset.job = job.job_id;
  find(".id", entry).textContent = job.job_id;
  find("progress", entry).setAttribute("aria-label", `Progress of ${job.job_id}`);
  find(".play", entry).setAttribute("aria-label", `Play ${job.job_id}`);
  find(".cancel", entry).setAttribute("aria-label", `Cancel ${job.job_id}`);
  find(".download", entry).setAttribute("aria-label", `Download ${job.job_id}`);
  find(".watch", entry).setAttribute("aria-label", `Watch ${job.job_id} while it renders`);
  find(".playlist", entry).setAttribute("aria-label", `Playlist of ${job.job_id}`);
  find(".play", entry).addEventListener("click", () => play(job.job_id));
  find(".watch", entry).addEventListener("click", () => watch(job.job_id));
  find(".cancel", entry).addEventListener("click", () => cancel(job.job_id));
  return entry;
}

function showJob(entry, job) {
  announce(job);
  entry.dataset.state = job.status;
  setBadge(find(".badge", entry), job.status, WORDS[job.status]);
  const when = find(".when", entry);
  when.dateTime = job.created_at;
  setText(when, ago(job.created_at));
  when.title = new Date(job.created_at).toLocaleString();

  const busy = BUSY.includes(job.status);
  const done = job.status === "completed";
  find(".bar", entry).hidden = job.status !== "processing";
  find("progress", entry).value = job.progress;
  setText(find(".percent", entry), `${job.progress} %`);
  const detail = job.error_message ? `${job.error_code}: ${job.error_message}` : busy ? job.detail : "";
  setText(find(".detail", entry), detail);
  find(".detail", entry).hidden = !detail;

  const live = job.live_url !== undefined && job.status === "processing";
  find(".watch", entry).hidden = !live;
  find(".playlist", entry).hidden = !live;
  find(".playlist", entry).href = job.live_url ?? "";
  find(".play", entry).hidden = !done;
  find(".download", entry).hidden = !done;
  find(".download", entry).href = address(job.job_id);
  find(".cancel", entry).hidden = !busy;
  setText(find(".facts", entry), facts(job));
  find(".actions", entry).hidden = !busy && !done;
  showOutputs(find(".outputs", entry), job);
}

// What a job made besides its video, the failed ones too.
function showOutputs(list, job) {
  const outputs = (job.outputs ?? []).filter((output) => output.name !== "main");
  list.hidden = !outputs.length;
  const told = JSON.stringify(outputs);
  if (list.dataset.told === told) return;
  list.dataset.told = told;
  list.replaceChildren(
    ...outputs.map((output) => {
      const item = document.createElement("li");
      const name = document.createElement(output.failure ? "span" : "a");
      name.textContent = output.name;
      if (output.failure) {
        item.append(name, `: ${output.failure.message}`);
      } else {
        name.href = `${address(job.job_id)}/${encodeURIComponent(output.name)}`;
        name.download = "";
        name.className = "download";
        item.append(name, ` ${size(output.size)}`);
      }
      return item;
    }),
  );
}

function facts(job) {
  if (BUSY.includes(job.status)) {
    return job.estimated_time_remaining === null ? "" : `${duration(job.estimated_time_remaining)} to go`;
  }
  if (job.status !== "completed") return "";
  const took = job.started_at ? (new Date(job.finished_at) - new Date(job.started_at)) / 1000 : null;
  const parts = [`${duration(job.duration)} of video`, size(job.file_size)];
  if (took !== null) parts.push(`rendered in ${duration(took)}`);
  if (job.frames_dropped) parts.push(`${job.frames_dropped} frames repeated`);
  return parts.join(" · ");
}

function announce(job) {
  const before = seen.get(job.job_id);
  seen.set(job.job_id, job.status);
  if (before && before !== job.status) setText("#said", `Job ${job.job_id}: ${WORDS[job.status]}`);
}

async function cancel(jobId) {
  try {
    const { message } = await ask(`/api/render/${encodeURIComponent(jobId)}/cancel`, "POST");
    setText("#said", message);
  } catch (error) {
    notice(`The job could not be cancelled: ${error.message}`);
  }
  refresh();
}

function play(jobId) {
  find("#player video").src = address(jobId);
  openPlayer(jobId);
}

function watch(jobId) {
  following = follow(`/api/render/${encodeURIComponent(jobId)}/live.m3u8?here`, openPlayer(jobId), {
    said: (text) => {
      setText("#player-live", text);
      find("#player-live").hidden = !text;
    },
    failed: () => { find("#player-problem").hidden = false; },
  });
}

function openPlayer(jobId) {
  const player = find("#player");
  setText("#player-title", jobId);
  find("#player-problem").hidden = true;
  find("#player-live").hidden = true;
  player.showModal();
  const video = find("video", player);
  video.play().catch(() => {}); // a browser may want a click first; the controls are there
  return video;
}

function stop() {
  const video = find("#player video");
  following?.stop();
  following = null;
  video.pause();
  video.removeAttribute("src");
  video.load();
}

const address = (jobId) => `/api/render/${encodeURIComponent(jobId)}/download`;

function setText(target, text) {
  const element = typeof target === "string" ? find(target) : target;
  if (element.textContent !== String(text)) element.textContent = text;
}

function setBadge(badge, state, text) {
  badge.dataset.state = state;
  setText(badge, text);
}

function notice(text) {
  setText("#notice", text);
  find("#notice").hidden = !text;
}

function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${seconds < 10 && seconds % 1 ? seconds.toFixed(1) : whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

function ago(moment) {
  const seconds = Math.max(0, (Date.now() - new Date(moment)) / 1000);
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds / 10) * 10} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleDateString();
}

setText("#example", EXAMPLE);
find("#close").addEventListener("click", () => find("#player").close());
find("#player").addEventListener("close", stop);
find("#player video").addEventListener("error", (event) => {
  if (event.target.hasAttribute("src") && !following) find("#player-problem").hidden = false;
});
find("#token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, find("#token").value);
  refresh();
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
refresh();
