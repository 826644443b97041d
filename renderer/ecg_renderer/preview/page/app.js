/* The preview: the source with the captions' stage over it, cues, findings, and frames as they are rendered. */

const REPLAYED = 60;
const byId = (id) => document.getElementById(id);
const [video, frameOfStage, strip, still] = ['video', 'stage', 'strip', 'still'].map(byId);

let job = null;
let revision = -1;
let stageReady = false;
let loads = 0;
let loadedStage = '';
let sent = null;
let failedSource = false;
/** Where there is no video to follow: {at: seconds, since: ms} while it plays by this clock. */
let clock = { at: 0, since: null };

// --- time -----------------------------------------------------------------------------------------

const rate = () => job.rate[0] / job.rate[1];
const seconds = () => job.frames / rate();
const hasVideo = () => video.readyState >= 1 && !failedSource;
const isPlaying = () => (hasVideo() ? !video.paused : clock.since !== null);
const speed = () => Number(byId('speed').value);

function now() {
  if (hasVideo()) return video.currentTime;
  const passed = clock.since === null ? 0 : ((performance.now() - clock.since) / 1000) * speed();
  return Math.min(seconds(), clock.at + passed);
}

const frameNow = () => Math.min(job.frames - 1, Math.max(0, Math.floor(now() * rate() + 1e-4)));

/** Go to the middle of a frame: at its very beginning, rounding may show the one before. */
function goToFrame(frame) {
  const wanted = Math.min(job.frames - 1, Math.max(0, frame));
  const at = (wanted + 0.5) / rate();
  if (hasVideo()) video.currentTime = Math.min(at, video.duration || at);
  clock = { at, since: clock.since === null ? null : performance.now() };
}

function play() {
  if (hasVideo()) return video.play().catch(() => {});
  clock = { at: now() >= seconds() ? 0 : now(), since: performance.now() };
}

function pause() {
  if (hasVideo()) video.pause();
  clock = { at: now(), since: null };
}

function clockText(at) {
  const minutes = Math.floor(at / 60);
  return `${minutes}:${(at - minutes * 60).toFixed(3).padStart(6, '0')}`;
}

// --- stage ----------------------------------------------------------------------------------------

const tell = (message) => frameOfStage.contentWindow.postMessage(message, '*');

/** What has to be gone through before `frame` so that the stage looks as if it had played up to it. */
function replayTo(frame) {
  const alive = job.cues.filter(({ start, end }) => start * rate() <= frame && frame <= end * rate());
  if (!alive.length) return [];
  const starts = alive.map(({ start }) => Math.max(0, Math.ceil(start * rate() - 0.02)));
  const from = Math.max(Math.min(...starts), frame - REPLAYED);
  const before = [...new Set(starts)].filter((start) => start < from).sort((a, b) => a - b);
  return [...before.map((start) => [start, start + 1]), ...(from < frame ? [[from, frame]] : [])];
}

function loadStage() {
  const text = JSON.stringify(job.stage);
  if (!stageReady || text === loadedStage) return;
  loadedStage = text;
  sent = null;
  byId('note').textContent = '';
  tell({ load: job.stage, id: ++loads });
}

addEventListener('message', ({ data, source }) => {
  if (source !== frameOfStage.contentWindow) return;
  if (data.ready) {
    stageReady = true;
    if (job) loadStage();
  }
  if (data.failed === loads) byId('note').textContent = `· the captions cannot be shown: ${data.message}`;
  if (data.loaded === loads) document.body.dataset.loaded = String(revision);
  if (data.problem) byId('note').textContent = `· ${data.problem}`;
});

function fit() {
  if (!job) return;
  for (const box of document.querySelectorAll('.box')) {
    const scale = Math.min(box.clientWidth / job.width, box.clientHeight / job.height);
    const [width, height] = [job.width * scale, job.height * scale];
    const [left, top] = [(box.clientWidth - width) / 2, (box.clientHeight - height) / 2];
    for (const part of box.children) {
      const isStage = part === frameOfStage;
      Object.assign(part.style, {
        left: `${left}px`, top: `${top}px`,
        width: `${isStage ? job.width : width}px`, height: `${isStage ? job.height : height}px`,
      });
      if (isStage) part.style.transform = `scale(${scale})`;
      if (part === video) part.style.objectFit = job.fit;
    }
  }
  drawStrip();
}

// --- each picture ---------------------------------------------------------------------------------

function tick() {
  requestAnimationFrame(tick);
  if (!job) return;
  const frame = frameNow();
  if (isPlaying() && now() >= seconds()) pause();
  byId('play').textContent = isPlaying() ? 'Pause' : 'Play';
  if (frame === sent || document.body.dataset.loaded === undefined) return;
  tell({ show: frame, replay: sent !== null && frame > sent && frame - sent <= 15 ? [] : replayTo(frame) });
  sent = frame;
  document.body.dataset.frame = String(frame);
  byId('time').textContent = `${clockText(frame / rate())} / ${clockText(seconds())} · frame ${frame}`;
  byId('rendered').classList.toggle('stale', still.dataset.frame !== `${frame}/${revision}`);
  drawStrip();
  markCues(frame);
}

function markCues(frame) {
  const at = frame / rate() + 0.0005;
  let first = null;
  for (const item of byId('cues').children) {
    const isNow = item.dataset.start <= at && at < item.dataset.end;
    item.classList.toggle('now', isNow);
    if (isNow && !first) first = item;
  }
  if (first && isPlaying()) first.scrollIntoView({ block: 'nearest' });
}

// --- strip ----------------------------------------------------------------------------------------

function drawStrip() {
  const { clientWidth: width, clientHeight: height } = strip;
  if (!job || !width) return;
  const dots = devicePixelRatio;
  Object.assign(strip, { width: width * dots, height: height * dots });
  const pen = strip.getContext('2d');
  pen.scale(dots, dots);
  const lanes = [];
  const found = new Set(job.findings.map(cueOf));
  for (const [place, { start, end, index }] of job.cues.entries()) {
    let lane = lanes.findIndex((until) => until <= start + 1e-6);
    if (lane < 0) lane = lanes.length < 3 ? lanes.length : place % 3;
    lanes[lane] = end;
    const x = (start / seconds()) * width;
    pen.fillStyle = found.has(index) ? '#b87a24' : '#3a6ea5';
    pen.fillRect(x, 6 + lane * 12, Math.max(2, ((end - start) / seconds()) * width - 1), 10);
  }
  const at = (frameNow() / job.frames) * width;
  pen.fillStyle = '#fff';
  pen.fillRect(Math.round(at) - 1, 0, 2, height);
  Object.assign(strip, { ariaValueMax: seconds().toFixed(2), ariaValueNow: now().toFixed(2) });
}

function scrub(event) {
  const { left, width } = strip.getBoundingClientRect();
  goToFrame(Math.floor(((event.clientX - left) / width) * job.frames));
}

// --- cues and findings ----------------------------------------------------------------------------

/** The place in the scenario's list of cues that a finding is about, or -1. */
function cueOf({ path }) {
  const match = /^cues\[(\d+)\]/.exec(path);
  return match ? Number(match[1]) : -1;
}

function told(finding) {
  const item = document.createElement('div');
  item.className = 'found';
  item.textContent = finding.word ? `“${finding.word}” ${finding.problem}` : finding.problem;
  item.title = finding.path;
  if (finding.hint) item.append(Object.assign(document.createElement('small'), { textContent: finding.hint }));
  return item;
}

function listCues() {
  const byCue = Map.groupBy(job.findings, cueOf);
  const shownCues = new Set(job.cues.map(({ index }) => index));
  const others = job.findings.filter((finding) => !shownCues.has(cueOf(finding)));
  byId('general').replaceChildren(...others.map((finding) => {
    const item = document.createElement('li');
    item.append(told(finding));
    return item;
  }));
  const only = byId('only').checked;
  const cues = job.cues.filter(({ index }) => !only || byCue.has(index));
  byId('cues').replaceChildren(...cues.map(({ id, index, start, end, text }) => {
    const item = document.createElement('li');
    item.className = 'cue';
    Object.assign(item.dataset, { start, end });
    item.title = id;
    const time = Object.assign(document.createElement('time'), { textContent: clockText(start).slice(0, -1) });
    const said = Object.assign(document.createElement('span'), { className: 'text', textContent: text || '(no text)' });
    item.append(time, said, ...(byCue.get(index) ?? []).map(told));
    item.addEventListener('click', () => goToFrame(Math.ceil(start * rate() - 0.02)));
    return item;
  }));
  const count = job.findings.length;
  byId('count').textContent = `${job.cues.length} cues, ${count} finding${count === 1 ? '' : 's'}`;
}

function toCue(step) {
  const starts = [...new Set(job.cues.map(({ start }) => Math.ceil(start * rate() - 0.02)))].sort((a, b) => a - b);
  const frame = frameNow();
  const wanted = step > 0 ? starts.find((start) => start > frame) : starts.findLast((start) => start < frame);
  if (wanted !== undefined) goToFrame(wanted);
}

// --- the frame as rendered ------------------------------------------------------------------------

async function render() {
  const frame = frameNow();
  const of = revision;
  const pane = byId('rendered');
  pane.hidden = false;
  pane.classList.add('busy');
  byId('render').disabled = true;
  fit();
  const began = performance.now();
  try {
    const answer = await fetch(`still?frame=${frame}`);
    if (!answer.ok) {
      const { message = `status ${answer.status}`, hint = '' } = await answer.json().catch(() => ({}));
      byId('still-note').textContent = `Not rendered: ${message} ${hint}`;
      return;
    }
    URL.revokeObjectURL(still.src);
    still.src = URL.createObjectURL(await answer.blob());
    await still.decode();
    still.dataset.frame = `${frame}/${of}`;
    const took = ((performance.now() - began) / 1000).toFixed(1);
    byId('still-note').textContent = `As rendered · frame ${frame} · ${took} s`;
    pane.classList.toggle('stale', frame !== frameNow());
  } catch {
    byId('still-note').textContent = 'Not rendered: the preview has ended.';
  } finally {
    pane.classList.remove('busy');
    byId('render').disabled = false;
  }
}

// --- the source -----------------------------------------------------------------------------------

let copying = false;

async function openSource() {
  if (job.plays) {
    video.src = `source?${encodeURIComponent(job.identity)}`;
    return;
  }
  await makeCopy();
}

async function makeCopy() {
  if (copying) return;
  copying = true;
  const at = job ? now() : 0;
  for (;;) {
    const { done, failure, there } = await (await fetch('copy', { method: 'POST' })).json();
    if (failure) return noSource(`The source cannot be shown: ${failure}`);
    if (there) break;
    byId('note').textContent = `· making a copy that browsers play: ${Math.floor(done * 100)} %`;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  byId('note').textContent = '· a small copy of the source';
  video.src = 'source?copy';
  video.addEventListener('loadedmetadata', () => (video.currentTime = at), { once: true });
}

function noSource(words) {
  failedSource = true;
  byId('note').textContent = `· ${words} Captions play without it; frames as rendered have it.`;
}

video.addEventListener('error', () => {
  if (!video.src) return;
  if (copying) noSource('This browser plays no H.264.');
  else makeCopy();
});

// --- the job --------------------------------------------------------------------------------------

async function refresh() {
  const answer = await (await fetch('job')).json();
  revision = answer.revision;
  const failure = byId('failure');
  failure.hidden = !answer.failure;
  if (answer.failure) failure.textContent = [answer.failure.message, answer.failure.hint].filter(Boolean).join('\n');
  const busy = !answer.failure && !answer.looked;
  byId('state').classList.toggle('busy', busy);
  byId('state').textContent = busy ? 'Looking at fonts and layout' : answer.failure ? 'Cannot be rendered as it is' : 'Up to date';
  if (!answer.job) return;
  const before = job;
  job = answer.job;
  document.title = `${job.name} – preview`;
  byId('name').textContent = job.name;
  const fps = Math.round(rate() * 1000) / 1000;
  byId('facts').textContent = `${job.source} · ${job.width} × ${job.height} · ${fps} frames/s · ${clockText(seconds())}`;
  byId('facts').title = job.warnings.join('\n');
  listCues();
  loadStage();
  fit();
  if (!before || before.identity !== job.identity) openSource();
  document.body.dataset.looked = String(answer.looked);
  sent = null;
}

const events = new EventSource('events');
let refreshing = Promise.resolve();
events.addEventListener('message', () => (refreshing = refreshing.then(refresh).catch(() => {})));
events.addEventListener('error', () => {
  byId('state').classList.remove('busy');
  byId('state').textContent = 'The preview has ended';
});

// --- controls -------------------------------------------------------------------------------------

const toggle = () => (isPlaying() ? pause() : play());
const step = (by) => {
  pause();
  goToFrame(frameNow() + by);
};
const actions = {
  play: toggle,
  less: () => step(-1),
  more: () => step(1),
  back: () => toCue(-1),
  next: () => toCue(1),
  render,
  close: () => {
    byId('rendered').hidden = true;
    fit();
  },
};
for (const [id, action] of Object.entries(actions)) byId(id).addEventListener('click', () => job && action());
byId('only').addEventListener('change', () => job && listCues());
byId('speed').addEventListener('change', () => {
  if (clock.since !== null) clock = { at: now(), since: performance.now() };
  video.playbackRate = speed();
});
const keys = { ' ': toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), '[': () => toCue(-1), ']': () => toCue(1), r: render, R: render };
addEventListener('keydown', (event) => {
  if (!job || event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select, input')) return;
  if (event.key === ' ' && event.target.matches('button')) return;
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
strip.addEventListener('pointerdown', (event) => {
  if (!job) return;
  strip.setPointerCapture(event.pointerId);
  scrub(event);
});
strip.addEventListener('pointermove', (event) => event.buttons && job && scrub(event));
new ResizeObserver(fit).observe(byId('panes'));
frameOfStage.src = '/index.html';
tick();
