/* The fast way: stages are drawn into a 2-D canvas (drawElementImage), and only changed boxes are read back.
 *
 * K stages share each paint event. Every stage works through blocks of consecutive frames on its own; blocks are
 * handed out in order, and the reader puts them back in order. A frame without mutations costs a seek and nothing
 * else.
 */
import { Kind } from '/records.js';
import { around } from '/stage.js';

const clock = window.ecgClock;

/** Frames that are replayed before the reader hears that this page is alive. */
const SIGN_OF_LIFE_EVERY = 500;

export class CanvasCapture {
  /**
   * @param canvas   the surface that holds the stages
   * @param stages   armed stages, children of the canvas
   * @param parts    [{x, y, width, height}]: what of the picture is captured, output px, even numbers, from top to bottom;
   *                 the canvas has one below the other, at the left edge
   * @param sink     takes records: `async send(records)` resolves when more may follow
   * @param options  {checkEvery: patches between proofs, heldBytes: how far later blocks may run ahead, wholeBoxes}
   */
  constructor(canvas, stages, parts, sink, options) {
    this.canvas = canvas;
    let height = 0;
    this.parts = parts.map((part) => ({ ...part, top: (height += part.height) - part.height }));
    this.size = { width: Math.max(...parts.map((part) => part.width)), height };
    this.sink = sink;
    this.options = options;
    this.wholeBoxes = options.wholeBoxes;
    this.lanes = stages.map((stage) => ({ stage, block: null, frame: 0, dirty: null, movesByItself: false }));
    canvas.width = this.size.width;
    canvas.height = this.size.height;
    canvas.style.width = `${this.size.width}px`;
    canvas.style.height = `${this.size.height}px`;
    this.context = canvas.getContext('2d', { willReadFrequently: true, alpha: true });
    this.stats = { seeks: 0, paints: 0, patches: 0, pixels: 0, seekMs: 0, paintMs: 0, readMs: 0, sendMs: 0 };
  }

  /** Capture `blocks` ([{start, end, replay: [[from, to]]}] in frames, ascending) and resolve to the statistics. */
  async run(blocks) {
    this.queue = blocks.map((block, index) => ({ ...block, index, bytes: 0, done: false }));
    this.blocks = [...this.queue];
    this.earliest = 0;
    for (;;) {
      const records = [];
      for (const lane of this.lanes) if (this.#mayAdvance(lane)) await this.#advance(lane, records);
      if (this.outgrown) {
        await this.sink.send([{ kind: Kind.OUTGROWN, ...this.outgrown }]);
        return this.stats;
      }
      const dirty = this.lanes.filter((lane) => lane.dirty);
      if (dirty.length) {
        await this.#paint();
        for (const lane of dirty) this.#read(lane, records);
      }
      if (records.length) await this.#send(records);
      if (!dirty.length && this.earliest >= this.blocks.length) break;
    }
    await this.sink.send([{ kind: Kind.END }]);
    return this.stats;
  }

  /** Later blocks wait while too much of them is held back; the earliest one always goes on. */
  #mayAdvance(lane) {
    if (!lane.block) return this.queue.length > 0 && (this.queue[0].index === this.earliest || this.#held() < this.options.heldBytes);
    return lane.block.index === this.earliest || this.#held() < this.options.heldBytes;
  }

  #held() {
    return this.blocks.slice(this.earliest + 1).reduce((bytes, block) => bytes + block.bytes, 0);
  }

  /** Seek the lane's stage on to the next frame whose picture differs, or to the end of its blocks. */
  async #advance(lane, records) {
    const began = clock.real.now();
    lane.dirty = null;
    while (!lane.dirty) {
      if (!lane.block && !(await this.#takeBlock(lane))) break;
      if (lane.frame >= lane.block.end) {
        this.#finish(lane, records);
        break;
      }
      const { stage, block, movesByItself: moved } = lane;
      const changes = stage.foreign ? await stage.seek(lane.frame) : stage.seekAtOnce(lane.frame);
      this.stats.seeks++;
      const first = lane.frame === block.start;
      if (first) stage.remember();
      else if (changes.length) lane.dirty = this.#place(lane, stage.changedBoxes(changes));
      if (first || changes.length) lane.movesByItself = stage.movesByItself();
      // What moves by itself tells of no box: it may leave the parts on any frame, and where it was is not known.
      const anywhere = first || moved || lane.movesByItself;
      if (anywhere) this.#place(lane, stage.paintedBoxes());
      if (anywhere || (lane.dirty && this.wholeBoxes)) lane.dirty = this.#wholeBox();
      lane.captured = lane.frame++;
    }
    this.stats.seekMs += clock.real.now() - began;
  }

  async #takeBlock(lane) {
    lane.block = this.queue.shift() ?? null;
    if (!lane.block) return false;
    let replayed = 0;
    for await (const _ of lane.stage.preRoll(lane.block.replay)) {
      if (++replayed % SIGN_OF_LIFE_EVERY === 0) await this.sink.send([{ kind: Kind.REPLAYING, block: lane.block.start }]);
    }
    this.stats.seeks += replayed;
    lane.frame = lane.block.start;
    lane.movesByItself = false;
    return true;
  }

  #finish(lane, records) {
    lane.block.done = true;
    records.push({ kind: Kind.BLOCK_END, frame: lane.block.end, block: lane.block.start });
    lane.block = null;
    while (this.earliest < this.blocks.length && this.blocks[this.earliest].done) this.earliest++;
  }

  #wholeBox() {
    return { x: 0, y: 0, ...this.size };
  }

  /**
   * Boxes in output px to the even-aligned box around them in the canvas, or null.
   *
   * A picture that grows out of the captured parts must not be cut off silently: it is noted, and ends the capture.
   */
  #place(lane, boxes) {
    const { size } = lane.stage;
    const placed = [];
    const lost = [];
    for (const box of boxes) {
      const left = Math.max(0, Math.floor(box[0] / 2) * 2);
      const top = Math.max(0, Math.floor(box[1] / 2) * 2);
      const right = Math.min(size.width, Math.ceil(box[2] / 2) * 2);
      const bottom = Math.min(size.height, Math.ceil(box[3] / 2) * 2);
      if (right <= left || bottom <= top) continue;
      const part = this.parts.find(({ x, y, width, height }) => left >= x && top >= y && right <= x + width && bottom <= y + height);
      if (!part) lost.push([left, top, right, bottom]);
      else placed.push([left - part.x, top - part.y + part.top, right - part.x, bottom - part.y + part.top]);
    }
    if (lost.length) this.outgrown = { frame: lane.frame, ...asRectangle(around(lost)) };
    return placed.length ? asRectangle(around(placed)) : null;
  }

  async #paint() {
    const began = clock.real.now();
    await new Promise((resolve) => {
      this.canvas.onpaint = resolve;
      this.canvas.requestPaint();
    });
    this.stats.paints++;
    this.stats.paintMs += clock.real.now() - began;
  }

  #read(lane, records) {
    const began = clock.real.now();
    const patch = this.#draw(lane, lane.dirty);
    lane.block.bytes += patch.pixels.byteLength;
    records.push({ ...patch, kind: Kind.PATCH });
    this.stats.patches++;
    this.stats.pixels += lane.dirty.width * lane.dirty.height;
    if (this.stats.patches % this.options.checkEvery === 0) records.push({ ...this.#draw(lane, this.#wholeBox()), kind: Kind.CHECK });
    lane.dirty = null;
    this.stats.readMs += clock.real.now() - began;
  }

  #draw(lane, { x, y, width, height }) {
    const { context } = this;
    // All of a part, though only a box is read: an edge of a clip that runs through a rounded corner changes its pixels.
    context.clearRect(0, 0, this.size.width, this.size.height);
    for (const part of this.parts) if (part.top < y + height && part.top + part.height > y) this.#drawPart(lane.stage, part);
    const pixels = context.getImageData(x, y, width, height).data.buffer;
    return { frame: lane.captured, block: lane.block.start, x, y, width, height, pixels };
  }

  #drawPart({ root }, part) {
    const { context } = this;
    if (this.parts.length === 1) {
      context.drawElementImage(root, -part.x, -part.y);
      return;
    }
    context.save();
    context.beginPath();
    context.rect(0, part.top, part.width, part.height);
    context.clip();
    context.drawElementImage(root, -part.x, part.top - part.y);
    context.restore();
  }

  async #send(records) {
    const began = clock.real.now();
    await this.sink.send(records);
    this.stats.sendMs += clock.real.now() - began;
  }
}

function asRectangle([left, top, right, bottom]) {
  return { x: left, y: top, width: right - left, height: bottom - top };
}
