/* The page's side of the conversation with the renderer: load, measure, capture. */
import { CanvasCapture } from '/canvas-capture.js';
import { loadFonts } from '/fonts.js';
import { runningPlugin, stopGsap, takeFailures } from '/foreign.js';
import { askFonts, forgetFonts, lookAt, rootsOutside } from '/look.js';
import { loadPlugins } from '/plugin-host.js';
import { ProtocolSink, RingSink } from '/sinks.js';
import { Stage, addToBands, around } from '/stage.js';

const clock = window.ecgClock;
const SETTLE_FRAMES = 2;

let surface = null;
let stages = [];
let capture = null;
let moving = false;
let sink = null;
const suspects = new Set();

const realFrame = () => new Promise((resolve) => clock.real.requestAnimationFrame(resolve));

window.ecg = {
  /**
   * Lay out `stages` instances of the scenario.
   *
   * @param config {scenario, plugins: [names], modules: plugins of an origin, fonts: see fonts.js, width, height, scale, rate: [num, den],
   *   start: s, stages, canvas: draw into a canvas?}
   */
  async load({ scenario, plugins, modules = [], fonts, width, height, scale, rate, start = 0, stages: count, canvas }) {
    if (canvas && !CanvasRenderingContext2D.prototype.drawElementImage) {
      throw new Error('this Chromium cannot draw elements into a canvas');
    }
    stopGsap();
    await Promise.all([loadPlugins(plugins, modules), loadFonts(fonts)]);
    for (const stage of stages) stage.remove();
    if (surface && canvas) surface.remove();
    surface = canvas ? document.createElement('canvas') : document.body;
    if (canvas) {
      surface.id = 'surface';
      // Chromium renamed the attribute; both spellings are set so that either build draws its children.
      surface.setAttribute('layoutsubtree', '');
      surface.setAttribute('content', 'drawable');
      document.body.append(surface);
    }
    stages = [];
    for (let k = 0; k < count; k++) {
      const stage = new Stage(surface, { width, height, scale }, rate, modules.length > 0, start);
      await stage.load(structuredClone(scenario));
      stages.push(stage);
    }
    await document.fonts.ready;
    for (let n = 0; n < SETTLE_FRAMES; n++) await realFrame();
    clock.settle();
    for (const stage of stages) stage.arm();
  },

  /** Boxes [left, top, right, bottom], apart in height, around everything painted at any of `frames` (ascending). */
  async measure(frames) {
    let bands = [];
    for await (const _ of stages[0].preRoll([])) continue;
    for (const frame of frames) {
      await stages[0].seek(frame);
      const { width, height } = stages[0].size;
      const boxes = stages[0].paintedBoxes();
      if (boxes.some((box) => box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height)) {
        for (const root of rootsOutside(stages[0])) suspects.add(root);
      }
      for (const box of boxes) bands = addToBands(bands, box);
    }
    return bands;
  },

  /** Ids of the root nodes of cues whose text was outside of the picture while they were measured since the last call. */
  takeSuspects() {
    const roots = [...suspects];
    suspects.clear();
    return roots;
  },

  /** What stands outside of the picture, and what overlaps, at any of `frames` (ascending); see look.js. */
  look({ frames, ...config }) {
    return lookAt(stages[0], frames, config);
  },

  askFonts,
  forgetFonts,
  /** The plugin of an origin that runs now; see foreign.js. */
  runningPlugin,

  /** The plugins of an origin that were switched off since this was last asked; see foreign.js. */
  takeFailures,

  /** Prepare the way out for records; `ringBytes` 0 means the debugging protocol, `weights` null means RGBA as it is. */
  async openSink(ringBytes, weights) {
    sink = ringBytes ? await RingSink.open(ringBytes, weights) : new ProtocolSink(weights);
  },

  /** The next record as base64, where records go through the debugging protocol. */
  takeRecord() {
    return sink.take();
  },

  /** Capture blocks of frames through the canvas; resolves to statistics when all records have been sent. */
  async captureCanvas({ blocks, parts, ...options }) {
    capture = new CanvasCapture(surface, stages, parts, sink, options);
    return capture.run(blocks);
  },

  /** From now on send whole boxes: the patches were found not to add up. */
  sendWholeBoxes() {
    if (capture) capture.wholeBoxes = true;
  },

  /** Show `frame` on the first stage after the frames of `replay`; return the bounds of what is painted. */
  async showFrame(frame, replay) {
    const [stage] = stages;
    for await (const _ of stage.preRoll(replay)) continue;
    await stage.seek(frame);
    stage.remember();
    moving = stage.movesByItself();
    return around(stage.paintedBoxes());
  },

  /** Go to `frame` from the one before: for whoever shows the stage to a person. */
  async seek(frame) {
    await stages[0].seek(frame);
  },

  /**
   * Go on from frame `from` to the first frame before `end` whose picture differs.
   *
   * @returns {frame, box: [left, top, right, bottom] of the change, moving: anything may differ, and the box is around
   * all that is painted}: neither a box nor moving means that nothing visible changed up to `end`.
   */
  async showNextChange(from, end) {
    const [stage] = stages;
    for (let frame = from; frame < end; frame++) {
      const changes = await stage.seek(frame);
      const moved = moving;
      if (changes.length) moving = stage.movesByItself();
      const changed = changes.length ? around(stage.changedBoxes(changes)) : null;
      // What moves by itself tells of no box, and where it was is not known.
      if (moved || moving) return { frame, box: around(stage.paintedBoxes()), moving: true };
      if (changed) return { frame, box: changed, moving: false };
    }
    return { frame: end, box: null, moving: false };
  },
};
