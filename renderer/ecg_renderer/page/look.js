/* Where texts stand at rest: what leaves the picture, and what lies on another caption. Which letters have no font. */
import { loadFonts } from '/fonts.js';

/** In px: what is cut off by less than this nobody misses. */
const NOTICED = 2;
/** What two captions share of the smaller one before it is called an overlap. */
const OVERLAP = 0.1;
/** More captions that lie under one are not told apart. */
const MOST_OTHERS = 100;

/**
 * Look at `frames` (ascending) of a stage whose scenario has no plugins.
 *
 * @param roots  cues in the order in which they begin
 * @returns {outside: [{root, node, left, top, right, bottom}] in px beyond the edges,
 * overlaps: [{root, others, full, frame}]}, `others` being those that begin before `root`, all of them if not `full`;
 * each node, and each cue, once. Nodes go by their ids, cues by those of their root nodes.
 */
export async function lookAt(stage, frames, { width, height, roots }) {
  const outside = new Map();
  const overlaps = new Map();
  const order = new Map(roots.map((root, place) => [root, place]));
  for await (const _ of stage.preRoll([])) continue;
  for (const frame of frames) {
    await stage.seek(frame);
    const texts = shownTexts(stage.captions);
    for (const text of leaving(texts, { width, height })) if (!outside.has(text.node)) outside.set(text.node, text);
    for (const pair of overlapping(texts)) {
      const [other, root] = pair.sort((one, two) => order.get(one) - order.get(two));
      const known = overlaps.get(root) ?? { others: new Set(), frame };
      overlaps.set(root, known);
      if (known.others.size < MOST_OTHERS) known.others.add(other);
    }
  }
  const told = [...overlaps].map(([root, { others, frame }]) => ({ root, others: [...others], full: others.size === MOST_OTHERS, frame }));
  return { outside: [...outside.values()], overlaps: told };
}

/** Ids of the root nodes of cues that have text beyond the edges as `stage` stands, moved by plugins or not. */
export function rootsOutside(stage) {
  return [...leaving(shownTexts(stage.captions), stage.size)].map(({ root }) => root);
}

function* leaving(texts, { width, height }) {
  for (const { root, node, box } of texts) {
    const beyond = { left: -box.left, top: -box.top, right: box.right - width, bottom: box.bottom - height };
    if (Math.max(...Object.values(beyond)) > NOTICED) yield { root, node, ...beyond };
  }
}

function shownTexts(captions) {
  return Array.from(captions.querySelectorAll('.mtx-text'), (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return { root: rootOf(element), node: element.dataset.nodeId, box: range.getBoundingClientRect() };
  }).filter(({ box }) => box.width && box.height);
}

/** The id of the outermost node around `element`. */
export function rootOf(element) {
  let root = element;
  for (let e = element; e; e = e.parentElement) if (e.dataset.nodeId) root = e;
  return root.dataset.nodeId;
}

function* overlapping(texts) {
  texts.sort((one, two) => one.box.top - two.box.top);
  for (let i = 0; i < texts.length; i++) {
    for (let k = i + 1; k < texts.length && texts[k].box.top < texts[i].box.bottom; k++) {
      const [a, b] = [texts[i], texts[k]];
      if (a.root === b.root) continue;
      const across = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      const smaller = Math.min(a.box.width * a.box.height, b.box.width * b.box.height);
      if (across > 0 && down > 0 && across * down > OVERLAP * smaller) yield [a.root, b.root];
    }
  }
}

/** No letter has this number. */
const NOBODY = '\u0378';
/** In px: the size at which letters are compared. */
const SAMPLE = 24;
/** Drawn as nothing by right. */
const BLANK = /^[\p{Z}\p{Cc}\p{Cf}\p{M}\u115f\u1160\u2800\u3164\uffa0]$/u;

/** The fonts that the film in the page has. */
let before = null;

const listed = (families) => families.map((name) => JSON.stringify(name)).join(', ');

/**
 * Write down what `uses` ({families, first, weight, text}) write, for the debugging protocol to ask about: three spans in
 * #ecg-fonts each, the text, and two probes of the first family.
 *
 * @returns for each use the characters that no font has.
 */
export async function askFonts({ fonts, uses }) {
  before = await loadFonts(fonts);
  const page = document.createElement('div');
  page.id = 'ecg-fonts';
  page.style.cssText = 'position:absolute;visibility:hidden;white-space:pre;font-size:16px';
  for (const { families, first, weight, text } of uses) {
    const probe = first ?? 'serif';
    page.append(
      written(text, families.length ? cssList(families) : '', weight),
      written('Hamburg', `${listed([probe])}, monospace`, weight),
      written('Hamburg', `${listed([probe])}, serif`, weight),
    );
  }
  document.body.append(page);
  page.getBoundingClientRect(); // lays it out: of what is not, Chromium tells no fonts
  return uses.map(({ text, families, weight }) => withoutFont(text, families.length ? cssList(families) : 'serif', weight));
}

export async function forgetFonts() {
  document.querySelector('#ecg-fonts')?.remove();
  if (before) await loadFonts(before);
}

/** Generic families are words of CSS, all others names. */
function cssList(families) {
  return families.map((name) => (/^[a-z-]+$/.test(name) ? name : JSON.stringify(name))).join(', ');
}

function written(text, families, weight) {
  const span = document.createElement('span');
  span.style.fontFamily = families;
  span.style.fontWeight = weight;
  span.textContent = text;
  return span;
}

/** The characters of `text` that look as one that does not exist. */
function withoutFont(text, families, weight) {
  const canvas = new OffscreenCanvas(SAMPLE * 2, SAMPLE * 2);
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.font = `${weight} ${SAMPLE}px ${families}`;
  pen.textBaseline = 'middle';
  const picture = (character) => {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.fillText(character, SAMPLE / 2, SAMPLE);
    return new Uint32Array(pen.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  };
  const width = pen.measureText(NOBODY).width;
  const box = picture(NOBODY);
  // Most are told apart by their width alone.
  return [...text].filter(
    (character) => !BLANK.test(character) && pen.measureText(character).width === width &&
      picture(character).every((pixel, at) => pixel === box[at]),
  );
}
