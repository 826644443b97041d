/* One MotionText instance laid out at the output's size, and what of its picture changed since the last look. */
import { advanceRuns, settleRuns } from '/foreign.js';
import { MotionTextRenderer } from '/node_modules/motiontext-renderer/dist/index.js';

const clock = window.ecgClock;

/** Before every cue: seeking there unmounts everything, which is the state of a fresh page. */
const BEFORE_ALL_CUES = -1e6;

/** In s: how long after its time a frame is looked at, when a cue that ends there is over (see scenario/model.py). */
const SAMPLED_AFTER = 0.000501;

/** How far in px something painted that went before anybody looked at its style. */
const UNKNOWN_REACH = 26;

/** Blur radii paint about this many times their length beyond the box (a Gaussian of sigma = radius / 2 for shadows). */
const SHADOW_REACH = 1.5;
const FILTER_REACH = 3;
/** Glyphs reach beyond their line box by a share of the font size: accents, italics, swashes; some further, see inkBeyond. */
const GLYPH_REACH = 0.25;

/** Letters of a text that are measured. */
const LONGEST_MEASURED = 2000;

/** In s: of captions in the page, MotionText is shown those alive in a stretch of this length, not all there are. */
const STRETCH = 4;
/** A caption in more stretches than this is always shown to it. */
const MOST_STRETCHES = 50;

export class Stage {
  /**
   * @param parent  element to append to
   * @param size    {width, height} of the output in px, and {scale}: output px per layout px
   * @param rate    [numerator, denominator] of the frame rate
   * @param foreign  are there plugins of an origin?
   * @param start   presentation time of frame 0, s
   */
  constructor(parent, size, rate, foreign = false, start = 0) {
    this.rate = rate;
    this.start = start;
    this.foreign = foreign;
    this.births = new WeakMap();
    this.root = document.createElement('div');
    this.root.className = 'ecg-stage';
    this.root.setAttribute('drawable', '');
    this.root.style.cssText = `width:${size.width}px;height:${size.height}px`;
    const layout = document.createElement('div');
    layout.className = 'ecg-layout';
    layout.style.cssText = `width:${size.width / size.scale}px;height:${size.height / size.scale}px`;
    if (size.scale !== 1) layout.style.transform = `scale(${size.scale})`;
    this.captions = document.createElement('div');
    this.captions.className = 'ecg-captions';
    layout.append(this.captions);
    this.root.append(layout);
    parent.append(this.root);
    this.size = size;
    this.renderer = new MotionTextRenderer(this.captions, { fps: rate[0] / rate[1], debugMode: false });
    this.delivered = [];
    this.observer = new MutationObserver((records) => void (foreign && this.delivered.push(...records)));
    this.rects = new Map();
    this.ink = new WeakMap();
    this.looks = new WeakMap();
    this.formerReach = new WeakMap();
  }

  async load(scenario) {
    await this.renderer.loadConfig(scenario);
    this.cues = new CueIndex(this.renderer.renderer.scenario.cues);
    // In the editor's preview the video's own shape sizes the captions' area, so it does here.
    const { width, height } = this.size;
    this.renderer.renderer.stage.setMedia({
      videoWidth: width, videoHeight: height, addEventListener() {}, removeEventListener() {},
    });
  }

  /** Start observing; loading and layout may mutate freely before. */
  arm() {
    this.observer.observe(this.root, { subtree: true, childList: true, attributes: true, characterData: true });
  }

  /** Show `frame` and return the mutation records that this made: none means the same picture. */
  async seek(frame) {
    if (!this.foreign) return this.seekAtOnce(frame);
    clock.set(this.#secondsOf(frame));
    advanceRuns(this.root);
    const changes = this.seekAtOnce(frame);
    await settleRuns(this.root);
    this.#holdAnimations();
    return [...changes, ...this.delivered.splice(0), ...this.observer.takeRecords()];
  }

  /** The same where no plugin comes from an origin. */
  seekAtOnce(frame) {
    const seconds = this.#secondsOf(frame);
    clock.set(seconds);
    this.#showAt(seconds + SAMPLED_AFTER);
    return this.observer.takeRecords();
  }

  /** CSS's own animations, too, go by the video's time. */
  #holdAnimations() {
    const now = clock.now();
    for (const animation of this.root.getAnimations({ subtree: true })) {
      if (!this.births.has(animation)) {
        this.births.set(animation, now);
        animation.pause();
      }
      animation.currentTime = now - this.births.get(animation);
    }
  }

  #secondsOf(frame) {
    return this.start + (frame * this.rate[1]) / this.rate[0];
  }

  #showAt(seconds) {
    this.renderer.renderer.scenario.cues = this.cues.around(seconds);
    this.renderer.seek(seconds);
  }

  /** Go to the state of a fresh page, then through `replay`: ranges [from, to) of frames, on the same grid. */
  async *preRoll(replay) {
    this.#showAt(BEFORE_ALL_CUES);
    for (const [from, to] of replay) {
      for (let n = from; n < to; n++) {
        if (this.foreign) await this.seek(n);
        else this.seekAtOnce(n);
        yield n;
      }
    }
    this.observer.takeRecords();
    this.delivered = [];
  }

  /** Take the captions out of the page, for good. */
  remove() {
    this.#showAt(BEFORE_ALL_CUES);
    this.observer.disconnect();
    this.root.remove();
  }

  /** Does something move without mutating the DOM? Then every frame has to be captured whole. */
  movesByItself() {
    return this.root.getAnimations({ subtree: true }).length > 0 || !!this.root.querySelector('img[src]:not([data-ecg-sheet]), video, canvas');
  }

  /** Remember where everything is, so that the next `changedBoxes` can compare. */
  remember() {
    this.rects = this.#measure();
  }

  /**
   * Boxes [left, top, right, bottom] in output px around all that `records` mutated, and all that moved, came or went.
   *
   * All elements are compared, not only the mutated ones: a reflow shifts neighbours that nobody touched.
   */
  changedBoxes(records) {
    const mutated = new Set();
    for (const { target, type } of records) {
      const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      mutated.add(element);
      // A text that is split, or gets a copy for its shadow, makes others paint what they did not before.
      if (type === 'childList') this.ink = new WeakMap();
    }
    for (const element of mutated) this.#noticeStyle(element);
    const boxes = [];
    const now = this.#measure();
    for (const [element, rect] of now) {
      const before = this.rects.get(element);
      if (before && sameRect(before, rect) && !this.#isInside(element, mutated)) continue;
      // What it painted before has to go, even if it paints nothing now: a text that was split into letters.
      if (before) addBox(boxes, before, this.#formerReach(element));
      const ink = this.#inkOf(element, rect);
      if (ink.paints) addBox(boxes, rect, ink.reach);
    }
    for (const [element, rect] of this.rects) if (!now.has(element)) addBox(boxes, rect, this.#formerReach(element));
    this.rects = now;
    return boxes;
  }

  /** Boxes around everything that is painted now. */
  paintedBoxes() {
    const boxes = [];
    for (const [element, rect] of this.#measure()) {
      const ink = this.#inkOf(element, rect);
      if (ink.paints) addBox(boxes, rect, ink.reach);
    }
    return boxes;
  }

  #measure() {
    const rects = new Map();
    for (const element of this.captions.querySelectorAll('*')) rects.set(element, element.getBoundingClientRect());
    return rects;
  }

  #isInside(element, mutated) {
    for (let e = element; e && e !== this.captions; e = e.parentElement) if (mutated.has(e)) return true;
    return false;
  }

  /** A mutated shadow, filter, font or background changes what an element paints and how far: forget what was known. */
  #noticeStyle(element) {
    const { textShadow, boxShadow, filter, fontSize, webkitTextStrokeWidth, background, border } = element.style;
    const look = `${textShadow};${boxShadow};${filter};${fontSize};${webkitTextStrokeWidth};${background};${border}`;
    const before = this.looks.get(element);
    if (before === look) return;
    this.looks.set(element, look);
    // What is inside inherits these, or is blurred by them.
    if (before !== undefined) this.ink = new WeakMap();
    else this.ink.delete(element);
  }

  /** How far an element painted beyond its rectangle when it was last looked at; -Infinity: it painted nothing. */
  #formerReach(element) {
    return this.formerReach.get(element) ?? UNKNOWN_REACH;
  }

  /** {paints: has ink of its own, reach: how far in output px it paints beyond its rectangle}. */
  #inkOf(element, rect) {
    let ink = this.ink.get(element);
    if (!ink) this.ink.set(element, (ink = inkOfStyle(element, this.captions)));
    if (!ink.paints) {
      this.formerReach.set(element, -Infinity);
      return ink;
    }
    const zoom = Math.max(rect.height / (element.offsetHeight || rect.height || 1), rect.width / (element.offsetWidth || rect.width || 1));
    ink.reach = Math.ceil(ink.cssReach * Math.max(zoom, this.size.scale)) + 2;
    this.formerReach.set(element, ink.reach);
    return ink;
  }
}

function sameRect(a, b) {
  return a.left === b.left && a.top === b.top && a.right === b.right && a.bottom === b.bottom;
}

/** What `element` paints by its computed style; filters of everything around it up to `root` count too. */
function inkOfStyle(element, root) {
  const style = getComputedStyle(element);
  const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const hasBox =
    style.backgroundColor !== 'rgba(0, 0, 0, 0)' || style.backgroundImage !== 'none' || style.boxShadow !== 'none' ||
    parseFloat(style.borderTopWidth) > 0 || /^(IMG|VIDEO|CANVAS|svg)$/.test(element.tagName);
  if (!hasText && !hasBox) return { paints: false, cssReach: 0, reach: 0 };
  let cssReach = Math.max(reachOfStyle(style), hasText ? inkBeyond(element, style) : 0);
  for (let e = element.parentElement; e && e !== root; e = e.parentElement) {
    const { filter } = getComputedStyle(e);
    if (filter !== 'none') cssReach += reachOfFilter(filter);
  }
  return { paints: true, cssReach, reach: 0 };
}

const lengths = (text) => [...text.matchAll(/(-?[\d.]+)px/g)].map((match) => parseFloat(match[1]));

/** The farthest reach in CSS px of a computed style's shadows, filter, stroke and glyphs. */
function reachOfStyle(style) {
  let reach = parseFloat(style.fontSize) * GLYPH_REACH + (parseFloat(style.webkitTextStrokeWidth) || 0);
  for (const shadows of [style.textShadow, style.boxShadow]) {
    if (!shadows || shadows === 'none') continue;
    for (const shadow of shadows.split(/,(?![^(]*\))/)) {
      const [x = 0, y = 0, blur = 0, spread = 0] = lengths(shadow);
      reach = Math.max(reach, Math.max(Math.abs(x), Math.abs(y)) + blur * SHADOW_REACH + Math.max(0, spread));
    }
  }
  return style.filter === 'none' ? reach : reach + reachOfFilter(style.filter);
}

let pen = null;

/**
 * How far in CSS px the text of `element` reaches above or below the line box: much where lines are set tight, where
 * marks are stacked, where another font stands in for missing letters. At least 0.
 */
function inkBeyond(element, style) {
  pen ??= new OffscreenCanvas(1, 1).getContext('2d');
  pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const ink = pen.measureText(element.textContent.slice(0, LONGEST_MEASURED));
  const natural = ink.fontBoundingBoxAscent + ink.fontBoundingBoxDescent;
  // Half of what a line is lower than its font lacks on either side.
  const lacking = Math.max(0, (natural - (parseFloat(style.lineHeight) || natural)) / 2);
  const above = ink.actualBoundingBoxAscent - ink.fontBoundingBoxAscent;
  const below = ink.actualBoundingBoxDescent - ink.fontBoundingBoxDescent;
  return lacking + Math.max(0, above, below) + (parseFloat(style.webkitTextStrokeWidth) || 0);
}

/** How far a computed `filter` spreads a picture, in CSS px. */
function reachOfFilter(filter) {
  let reach = 0;
  for (const [, radius] of filter.matchAll(/blur\((-?[\d.]+)px\)/g)) reach += parseFloat(radius) * FILTER_REACH;
  for (const [, shadow] of filter.matchAll(/drop-shadow\(([^()]*(?:\([^)]*\)[^()]*)*)\)/g)) {
    const [x = 0, y = 0, radius = 0] = lengths(shadow);
    reach += Math.max(Math.abs(x), Math.abs(y)) + radius * FILTER_REACH;
  }
  return reach;
}

/** Which cues MotionText has to look at: it goes through all that it has, at every seek. */
class CueIndex {
  constructor(cues) {
    this.cues = cues;
    this.stretches = new Map();
    this.always = [];
    this.at = null;
    this.now = [];
    cues.forEach(({ domLifetime }, index) => {
      const [first, last] = (domLifetime ?? [-Infinity, Infinity]).map((seconds) => Math.floor(seconds / STRETCH));
      if (!(last - first < MOST_STRETCHES)) return this.always.push(index);
      for (let at = first; at <= last; at++) {
        if (!this.stretches.has(at)) this.stretches.set(at, []);
        this.stretches.get(at).push(index);
      }
    });
  }

  /** The cues that may be alive at `seconds`, and those that were given last and have to go, in the scenario's order. */
  around(seconds) {
    const at = Math.floor(seconds / STRETCH);
    if (at === this.at) return this.now;
    const going = this.at === null ? [] : this.#within(this.at);
    this.at = at;
    this.now = this.#inOrder(this.#within(at));
    return this.#inOrder([...this.#within(at), ...going]);
  }

  #inOrder(indices) {
    return [...new Set(indices)].sort((a, b) => a - b).map((index) => this.cues[index]);
  }

  #within(at) {
    return [...this.always, ...(this.stretches.get(at) ?? [])];
  }
}

function addBox(boxes, rect, reach) {
  if (reach === -Infinity || (!rect.width && !rect.height)) return;
  const box = [rect.left - reach, rect.top - reach, rect.right + reach, rect.bottom + reach];
  if (box[2] > box[0]) boxes.push(box);
}

/** The box [left, top, right, bottom] around all `boxes`, or null if there are none. */
export function around(boxes) {
  if (!boxes.length) return null;
  const edges = [Infinity, Infinity, -Infinity, -Infinity];
  for (const box of boxes) box.forEach((edge, side) => (edges[side] = side < 2 ? Math.min(edges[side], edge) : Math.max(edges[side], edge)));
  return edges;
}

/** Add `box` to `bands`: boxes that have rows without any of them in between. */
export function addToBands(bands, box) {
  const isNear = (band) => band[1] <= box[3] && band[3] >= box[1];
  const near = bands.filter(isNear);
  return [...bands.filter((band) => !isNear(band)), around([...near, box])];
}
