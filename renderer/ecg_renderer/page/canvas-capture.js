/* The fast way: stages are drawn into a 2-D canvas (drawElementImage), and only changed boxes are read back.
 *
 * K stages share each paint event. Every stage works through blocks of consecutive frames on its own; blocks are
 * handed out in order, and the reader puts them back in order. A frame without mutations costs a seek and nothing
 * else.
 */
import { Kind } from '/records.js';

const clock = window.ecgClock;

/** Frames that are replayed before the reader hears that this page is alive. */
const SIGN_OF_LIFE_EVERY = 500;

export class CanvasCapture {
  /**
   * @param canvas   the surface that holds the stages
   * @param stages   armed stages, children of the canvas
   * @param box      {x, y, width, height}: the part of the picture that is captured, output px, even numbers
   * @param sink     takes records: `async send(records)` resolves when more may follow
   * @param options  {checkEvery: patches between proofs, heldBytes: how far later blocks may run ahead, wholeBoxes}
   */
  constructor(canvas, stages, box, sink, options) {
    this.canvas = canvas;
    this.box = box;
    this.sink = sink;
    this.options = options;
    this.wholeBoxes = options.wholeBoxes;
    this.lanes = stages.map((stage) => ({ stage, block: null, frame: 0, dirty: null, movesByItself: false }));
    canvas.width = box.width;
    canvas.height = box.height;
    canvas.style.width = `${box.width}px`;
    canvas.style.height = `${box.height}px`;
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
      const { stage, block } = lane;
      const changes = stage.foreign ? await stage.seek(lane.frame) : stage.seekAtOnce(lane.frame);
      this.stats.seeks++;
      const first = lane.frame === block.start;
      if (first) stage.remember();
      if (first) this.#clip(lane, stage.paintedBox());
      else if (changes.length) lane.dirty = this.#clip(lane, stage.changedBox(changes));
      if (first || changes.length) lane.movesByItself = stage.movesByItself();
      if (first || lane.movesByItself || (lane.dirty && this.wholeBoxes)) lane.dirty = this.#wholeBox();
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
    return { x: 0, y: 0, width: this.box.width, height: this.box.height };
  }

  /**
   * Bounds in output px to an even-aligned box inside the captured one.
   *
   * A picture that grows out of the captured box must not be cut off silently: it is noted, and ends the capture.
   */
  #clip(lane, bounds) {
    if (!bounds) return null;
    const { size } = lane.stage;
    const left = Math.max(0, Math.floor(bounds[0] / 2) * 2);
    const top = Math.max(0, Math.floor(bounds[1] / 2) * 2);
    const right = Math.min(size.width, Math.ceil(bounds[2] / 2) * 2);
    const bottom = Math.min(size.height, Math.ceil(bounds[3] / 2) * 2);
    if (right <= left || bottom <= top) return null;
    const { x, y, width, height } = this.box;
    if (left < x || top < y || right > x + width || bottom > y + height) {
      this.outgrown = { frame: lane.frame, x: left, y: top, width: right - left, height: bottom - top };
    }
    return { x: left - x, y: top - y, width: right - left, height: bottom - top };
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
    // All of it, though only a box is read: an edge of a clip that runs through a rounded corner changes its pixels.
    context.clearRect(0, 0, this.box.width, this.box.height);
    context.drawElementImage(lane.stage.root, -this.box.x, -this.box.y);
    const pixels = context.getImageData(x, y, width, height).data.buffer;
    return { frame: lane.captured, block: lane.block.start, x, y, width, height, pixels };
  }

  async #send(records) {
    const began = clock.real.now();
    await this.sink.send(records);
    this.stats.sendMs += clock.real.now() - began;
  }
}
