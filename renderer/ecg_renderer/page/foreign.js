/* Plugins that an origin gave: code of strangers, on one text at a time.
 *
 * Each runs on a text under a clock, a chance and a gsap of its own, so that its picture is a function of the video's
 * time, however the frames are shared out. What it throws, and what it changes outside of its text, ends it there: the
 * change is taken back, the text is shown without it, and who did it is told by `takeFailures`.
 */
import { rootOf } from '/look.js';
import { RandomStream } from '/random.js';

const clock = window.ecgClock;

/** Longer than any video, in s: a timeline of this length is never at its end. */
const FOREVER = 1e7;

const runsOf = new Map();
const failures = new Map();
const sheets = new Map();
/** Pictures by their addresses: as long as they are held, an <img> with that address shows them at once. */
const preloaded = new Map();
const ticks = new WeakMap();
/** The run of each plugin on a text's root, by its name. */
const runsAt = new WeakMap();
/** Whose code runs now, on which text, and since when by a real clock: {key, node, since}, or null. */
let running = null;
/** Hands a text to the renderer at once: it is there although the page hangs from then on. */
let report = () => {};
let reported = '';

/** Tell the renderer whose code is about to run: one's, or that of several, one a line; nobody's when `key` is empty. */
function announce(key, node) {
  const said = key && `${key} ${node}`;
  if (said !== reported) report((reported = said));
}

/** Do `work`, which is, or calls, code of the plugin `key`. */
function blaming(key, node, work) {
  const outer = running;
  running ??= { key, node: node?.dataset.nodeId ?? '', since: clock.real.now() };
  announce(running.key, running.node);
  try {
    return work();
  } finally {
    running = outer;
  }
}

/** What was changed while promises came to their ends: an observer delivers its records then. */
const delivered = [];
const guard = new MutationObserver((records) => void delivered.push(...records));
const takeChanges = () => [...delivered.splice(0), ...guard.takeRecords()];
const EVERYTHING = {
  subtree: true, childList: true, attributes: true, attributeOldValue: true, characterData: true, characterDataOldValue: true,
};

/**
 * gsap must not run by itself; what plugins add to its ticker runs on their own clocks. Nor may it move elements in space
 * while it animates them: that gives each a layer of its own, which is drawn differently in a canvas.
 */
export function stopGsap() {
  const { gsap } = window;
  gsap.config({ force3D: false });
  gsap.ticker.remove(gsap.updateRoot);
  gsap.ticker.sleep();
  gsap.ticker.wake = () => {};
  gsap.ticker.add = (callback, once) => {
    let frame = 0;
    const tick = (ms) => {
      if (!once) ticks.set(callback, requestAnimationFrame(tick));
      callback(ms / 1000, 1000 / 60, ++frame);
    };
    ticks.set(callback, requestAnimationFrame(tick));
    return callback;
  };
  gsap.ticker.remove = (callback) => cancelAnimationFrame(ticks.get(callback));
}

/** A plugin on a text: from its start to the end of the text's element. */
class Run {
  constructor(plugin, root) {
    this.plugin = plugin;
    this.root = root;
    this.node = root.closest('[data-node-id]');
    this.before = {
      styles: [root, this.node].map((element) => [element, element.getAttribute('style')]),
      children: Array.from(root.childNodes, (child) => child.cloneNode(true)),
    };
    this.random = new RandomStream(`${this.node.dataset.nodeId}/${plugin.name}`);
    this.clock = new clock.Clock();
    this.images = new Map();
    this.off = false;
    /** Has a call come to its end? What it drew is on the text then. */
    this.drawn = false;
  }

  /** Call code of the plugin; nothing it does to others lasts. */
  call(work) {
    if (this.off) return undefined;
    takeChanges();
    let result;
    blaming(this.plugin.key, this.node, () => {
      try {
        result = this.clock.during(() => this.random.during(work));
      } catch (error) {
        this.fail('threw', placeOf(error, this.plugin));
      }
    });
    this.#adoptTweens();
    if (undoneOutside([this.node])) this.fail('outside');
    if (this.off) return undefined;
    this.drawn = true;
    this.#adoptImages();
    return result;
  }

  /** Go on to the page's time: timers, frames of the display, tweens that run by themselves, pictures that move. */
  advance() {
    if (this.off) return;
    blaming(this.plugin.key, this.node, () => this.clock.advance(
      (callback) => this.call(callback),
      (seconds) => this.call(() => this.timeline?.totalTime(seconds)),
      () => !this.off && this.timeline?.getChildren(false, true, true, 0).some(isRunning),
    ));
    for (const [image, { sheet, since }] of this.images) showFrame(image, sheet, clock.now() - since);
  }

  fail(kind, place = '') {
    this.off = true;
    note(this.plugin, kind, place, this.node.dataset.nodeId, rootOf(this.node));
    this.end();
    if (kind === 'threw' && !this.drawn) {
      // In its first call: change by change, so that other plugins on the text keep the elements that they know.
      for (const record of takeChanges().reverse()) undo(record);
      return;
    }
    for (const [element, style] of this.before.styles) {
      if (style === null) element.removeAttribute('style');
      else element.setAttribute('style', style);
    }
    this.root.replaceChildren(...this.before.children);
  }

  end() {
    this.timeline?.kill();
    this.timeline = null;
    this.clock.pending.clear();
  }

  /** What was put on gsap's own timeline goes to one of this run, at the run's own time. */
  #adoptTweens() {
    const { globalTimeline } = window.gsap;
    for (const tween of globalTimeline.getChildren(false, true, true)) {
      if (this.off) {
        tween.kill();
        continue;
      }
      if (!this.timeline) {
        this.timeline = window.gsap.timeline({ paused: true, autoRemoveChildren: true, smoothChildTiming: true });
        globalTimeline.remove(this.timeline);
        this.timeline.set({}, {}, FOREVER);
      }
      const wait = tween.startTime() - tween.delay() - globalTimeline.time();
      const seconds = (clock.now() - this.clock.birth) / 1000;
      this.timeline.add(tween, Math.max(0, seconds + wait));
    }
  }

  /** GIFs are shown by the video's time: as a part of one picture of all their frames. */
  #adoptImages() {
    for (const image of this.node.querySelectorAll('img[src]:not([data-ecg-sheet])')) {
      const sheet = sheets.get(image.src);
      if (!sheet) continue;
      image.dataset.ecgSheet = '';
      image.decoding = 'sync';
      image.src = sheet.url;
      this.images.set(image, { sheet, since: clock.now() });
      showFrame(image, sheet, 0);
    }
  }
}

const isRunning = (tween) => !tween.paused() && tween.startTime() < FOREVER;

function showFrame(image, { ends, plays, columns, rows }, ms) {
  const length = ends.at(-1);
  const at = plays && ms >= plays * length ? length - 1 : ms % length;
  const frame = Math.max(0, ends.findIndex((end) => at < end));
  const [row, column] = [Math.floor(frame / columns), frame % columns];
  const share = (part, all) => `${((100 * part) / all).toFixed(4)}%`;
  const inset = [share(row, rows), share(columns - 1 - column, columns), share(rows - 1 - row, rows), share(column, columns)];
  const box = `inset(${inset.join(' ')})`;
  if (image.dataset.ecgBox === box) return;
  image.dataset.ecgBox = box;
  image.style.objectViewBox = box;
}

/** Once for each cue, whose root is `root`. */
function note({ key }, kind, place = '', node = '', root = '') {
  const which = `${key} ${kind} ${root}`;
  if (!failures.has(which)) failures.set(which, { key, kind, place, node });
}

/** Line and column of an error within the plugin, as numbers: its text is a stranger's. */
function placeOf(error, plugin) {
  const stack = error instanceof Error ? String(error.stack) : '';
  const at = stack.indexOf(plugin.base);
  return /:(\d{1,6}):(\d{1,6})/.exec(at < 0 ? '' : stack.slice(at))?.slice(1).join(':') ?? '';
}

/** Take back what was changed outside of `nodes` since the guard was last asked; tell whether there was anything. */
function undoneOutside(nodes) {
  const outside = takeChanges().filter(({ target }) => !nodes.some((node) => node.contains(target)));
  if (!outside.some(lasts)) return false;
  for (const record of outside.reverse()) undo(record);
  takeChanges();
  return true;
}

/** Is there anything left of a change? Libraries put an element into the page for a moment, to measure it. */
function lasts({ type, target, attributeName, attributeNamespace, oldValue, addedNodes, removedNodes }) {
  if (!target.isConnected) return false;
  if (type === 'attributes') return target.getAttributeNS(attributeNamespace, attributeName) !== oldValue;
  if (type === 'characterData') return target.data !== oldValue;
  return [...addedNodes].some((added) => added.parentNode === target) || [...removedNodes].some((removed) => removed.parentNode !== target);
}

function undo({ type, target, attributeName, oldValue, addedNodes, removedNodes, nextSibling }) {
  if (type === 'characterData') target.data = oldValue;
  else if (type === 'childList') {
    for (const added of addedNodes) if (added.parentNode === target) added.remove();
    const before = nextSibling?.parentNode === target ? nextSibling : null;
    for (const removed of removedNodes) target.insertBefore(removed, before);
  } else if (oldValue === null) target.removeAttribute(attributeName);
  else target.setAttribute(attributeName, oldValue);
}

/** The run of a plugin on a text, which MotionText may begin anew; one that was switched off stays so. */
function begin(plugin, root) {
  if (!runsAt.has(root)) runsAt.set(root, new Map());
  const former = runsAt.get(root).get(plugin.name);
  if (former?.off) return former;
  former?.end();
  const run = new Run(plugin, root);
  runsAt.get(root).set(plugin.name, run);
  const stage = root.closest('.ecg-stage') ?? document.body;
  if (!runsOf.has(stage)) runsOf.set(stage, new Set());
  runsOf.get(stage).delete(former);
  runsOf.get(stage).add(run);
  return run;
}

/** The module as MotionText may call it. */
function wrapped(plugin, module) {
  const started = new WeakMap();
  const context = (given) => ({ ...given, scenario: { version: given?.scenario?.version } });
  const calls = {};
  if (typeof module.init === 'function') {
    calls.init = (root, params, given) => {
      const run = begin(plugin, root);
      started.set(root, run);
      run.call(() => module.init(root, params, context(given)));
    };
  }
  if (typeof module.animate === 'function') {
    calls.animate = (root, params, given, duration) => {
      const run = started.get(root) ?? begin(plugin, root);
      started.delete(root);
      const applier = run.call(() => module.animate(root, params, context(given), duration));
      if (typeof applier === 'function') return (progress) => void run.call(() => applier(progress));
      if (typeof applier?.progress !== 'function') return () => {};
      run.call(() => applier.pause?.(0));
      return (progress) => void run.call(() => applier.progress(progress));
    };
  } else if (calls.init) calls.animate = () => () => {};
  if (typeof module.evalChannels === 'function') {
    calls.evalChannels = (spec, progress, given) => channels(plugin, () => module.evalChannels(spec, progress, context(given)));
  }
  return calls;
}

/** Channels are a pure function of progress and get no element: every call starts the same stream. */
function channels(plugin, work) {
  takeChanges();
  let found = {};
  blaming(plugin.key, null, () => {
    try {
      found = new RandomStream(plugin.key).during(() => new clock.Clock().during(work)) ?? {};
    } catch (error) {
      note(plugin, 'threw', placeOf(error, plugin));
    }
  });
  if (undoneOutside([])) note(plugin, 'outside');
  return found;
}

async function preload(url) {
  if (preloaded.has(url)) return;
  const image = new Image();
  image.src = url;
  preloaded.set(url, image);
  await image.decode().catch(() => {});
}

async function loadForeign(plugin, register) {
  const base = new URL(plugin.base, location.href).href;
  for (const [path, sheet] of Object.entries(plugin.sheets)) sheets.set(base + path, { ...sheet, url: `${base}${path}.sheet.png` });
  const pictures = [...plugin.pictures, ...Object.keys(plugin.sheets).map((path) => `${path}.sheet.png`)];
  await Promise.all(pictures.map((path) => preload(base + path)));
  let module = {};
  running = { key: plugin.key, node: '', since: clock.real.now() };
  announce(plugin.key, '');
  takeChanges();
  // What it schedules before it is on any text never comes.
  clock.belongTo(new clock.Clock());
  try {
    const found = await import(base + plugin.entry);
    module = { ...found.default, ...found };
  } catch {
    note(plugin, 'unread');
  }
  clock.belongTo(null);
  if (undoneOutside([])) note(plugin, 'outside');
  running = null;
  announce('', '');
  const { key, version, type } = plugin;
  const manifest = { version, ...(type ? { type } : {}) };
  for (const name of plugin.names) {
    register({ name, version, module: wrapped({ key, base, name }, module), baseUrl: base, manifest: { name, ...manifest } });
  }
}

/** Import the plugins of an origin, one after the other: who hangs is known. `register` makes them known to MotionText. */
export async function loadForeignPlugins(plugins, register) {
  if (!plugins.length) return;
  report = window.ecgAnnounce ?? report;
  delete window.ecgAnnounce;
  delete window.ecgClock;
  guard.observe(document, EVERYTHING);
  for (const plugin of plugins) await loadForeign(plugin, register);
}

/** Let the runs on a stage go on to the page's time, and forget those whose text is gone. */
export function advanceRuns(stage) {
  const runs = runsOf.get(stage);
  if (!runs) return;
  for (const run of runs) {
    if (run.root.isConnected) run.advance();
    else {
      run.end();
      runs.delete(run);
    }
  }
}

const channel = new MessageChannel();
const waiting = [];
channel.port1.onmessage = () => waiting.shift()?.();

/** Let promises of the plugins on a stage come to their ends, under the same guard. */
export async function settleRuns(stage) {
  const runs = [...(runsOf.get(stage) ?? [])];
  if (!runs.length) return announce('', '');
  takeChanges();
  clock.belongTo(runs.at(-1).clock);
  runs.at(-1).random.lead();
  // Whose promises they are is not known: where one runs without an end, the call stack tells, or it is one of these.
  running = { key: '', node: '', since: clock.real.now() };
  announce([...new Set(runs.map((run) => run.plugin.key))].join('\n'), '');
  await new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
  running = null;
  clock.belongTo(null);
  RandomStream.ofThePage();
  // What was switched off may have promised something before.
  const on = runs.filter((run) => !run.off);
  if (undoneOutside(on.map(({ node }) => node))) for (const run of on) run.fail('outside');
  announce('', '');
}

/** The plugin that runs now, asked when the page hangs: {key, node: the text's id, ms: for how long}, or null. */
export const runningPlugin = () => running && { key: running.key, node: running.node, ms: clock.real.now() - running.since };

/** What failed since this was last asked: [{key, kind: threw, outside or unread, place: "line:column", node}]. */
export function takeFailures() {
  const taken = [...failures.values()];
  failures.clear();
  return taken;
}
