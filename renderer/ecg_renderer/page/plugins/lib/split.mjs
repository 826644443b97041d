/* Takes the text of one caption node apart into elements that plugins may colour and move.
 *
 * Several plugins may work on the same node. They share its letters and words; what they do to them is combined in
 * look.mjs. Every function here finds what an earlier plugin has made and adds only what is missing:
 *
 *     effectsRoot > whole (one per plugin that moves the whole text) > word > letter
 *
 * What is drawn besides the text (a shadow, a layer behind it) is marked as added and goes when the text is given back.
 * Taking apart never moves the text: where it would, a coarser part is handed out.
 */
import { isSpace, letters as lettersOf, runsRightToLeft, words as wordsOf } from './segments.mjs';

/** More elements than this are slow, and nobody reads that many letters in one caption. */
const MOST_PARTS = 400;

/** CSS px by which a part may shift when it becomes movable. */
const SHIFT_ALLOWED = 0.5;

/** Chromium lays out in steps of 1/64 px; rounding up could push a word onto the next line. */
const LAYOUT_STEPS = 64;

/** How a part looks that may be transformed; its width is the one that it had among its neighbours. */
const BOX = { display: 'inline-block', whiteSpace: 'nowrap' };

/** The whole text of `root` in one block that `plugin` alone moves: [element], or [] if there is no text. */
export function wholeText(root, plugin) {
  if (!root.textContent.trim()) return [];
  const known = root.querySelector(`[data-ecg="whole ${plugin}"]`);
  if (known) return [known];
  const block = part(`whole ${plugin}`, 'display:block;position:relative');
  block.append(...root.childNodes);
  root.append(block);
  return [block];
}

/** Letters to be coloured where they stand: inline elements, shaped as one text. */
export function inlineLetters(root, plugin) {
  if (!root.textContent.trim()) return [];
  const known = find(root, 'letter');
  if (known.length) return known;
  const host = hostOf(root);
  if (countLetters(host.textContent) > MOST_PARTS) return wholeText(root, plugin);
  splitLetters(host.firstElementChild ? host : layShadowBelow(host));
  return find(root, 'letter');
}

/** Letters to be shown one by one where they stand: inline elements, each with its own shadow. */
export function shownLetters(root, plugin) {
  if (!root.textContent.trim()) return [];
  liftShadow(root);
  const host = hostOf(root);
  if (countLetters(host.textContent) > MOST_PARTS) return wholeText(root, plugin);
  splitLetters(host);
  return find(root, 'letter');
}

/** How many signs stand before each of `letters` (all of `root`'s, in order), a space for each break between words. */
export function signsBefore(root, letters) {
  const walker = document.createTreeWalker(hostOf(root), NodeFilter.SHOW_TEXT);
  const before = new Map();
  let count = 0;
  while (walker.nextNode()) {
    const letter = walker.currentNode.parentElement.closest('[data-ecg="letter"]');
    if (!letter) count += count && isSpace(walker.currentNode.data) ? 1 : 0;
    else if (!before.has(letter)) before.set(letter, count++);
  }
  return letters.map((letter) => before.get(letter) ?? 0);
}

/** An empty element of `plugin`'s own that lies "below" or "above" the text and moves along; null if there is no text. */
export function layer(root, plugin, place) {
  const [block] = wholeText(root, plugin);
  if (!block) return null;
  const known = block.querySelector(`:scope > [data-ecg="${place} ${plugin}"]`);
  if (known) return known;
  const text = part(`whole ${plugin} text`, 'display:block;position:relative');
  text.append(...block.childNodes);
  const made = added(`${place} ${plugin}`, 'position:absolute');
  block.append(...(place === 'below' ? [made, text] : [text, made]));
  return made;
}

/** Where `element` lies in `block`, in px of its own, whatever transforms are upon them: {left, right, top}. */
export function placeIn(block, element) {
  let [left, top] = [0, 0];
  for (let e = element; e && e !== block; e = e.offsetParent) {
    left += e.offsetLeft;
    top += e.offsetTop;
  }
  return { left, right: left + element.offsetWidth, top };
}

/** Letters that may be moved, turned and scaled one by one. */
export function movableLetters(root, plugin) {
  const text = textOf(root);
  if (!text.trim()) return [];
  if (runsRightToLeft(text) || countLetters(text) > MOST_PARTS) return wholeText(root, plugin);
  liftShadow(root);
  const words = splitWords(hostOf(root));
  for (const word of words) splitLetters(word);
  atRest(root, () => find(root, 'letter').forEach(joinLigature));
  return makeMovable(root, find(root, 'letter'), words) ?? wholeText(root, plugin);
}

/** Words that may be moved, turned and scaled one by one; a word broken over lines counts as several. */
export function movableWords(root, plugin) {
  const text = textOf(root);
  const count = wordsOf(text.trim()).length;
  if (count < 2 || count > MOST_PARTS || runsRightToLeft(text)) return wholeText(root, plugin);
  liftShadow(root);
  atRest(root, () => splitWords(hostOf(root)).forEach(splitAtLineBreaks));
  return makeMovable(root, find(root, 'word'), []) ?? wholeText(root, plugin);
}

/** Give `root` its text back as it was before any plugin came. */
export function restore(root) {
  for (const extra of root.querySelectorAll('[data-ecg-added]')) extra.remove();
  for (const element of find(root)) unwrap(element);
  root.normalize();
}

function part(kind, css = '') {
  const element = document.createElement('span');
  element.dataset.ecg = kind;
  element.style.cssText = css;
  return element;
}

/** An element that holds nothing of the text. */
function added(kind, css) {
  const element = part(kind, css);
  element.dataset.ecgAdded = '';
  return element;
}

function find(root, kind) {
  return [...root.querySelectorAll(kind ? `[data-ecg="${kind}"]` : '[data-ecg]')];
}

function unwrap(element) {
  element.replaceWith(...element.childNodes);
}

/** The innermost element around the whole text. */
function hostOf(root) {
  let host = root;
  for (;;) {
    const inner = host.querySelector(':scope > [data-ecg^="whole"], :scope > [data-ecg="ink"]');
    if (!inner) return host;
    host = inner;
  }
}

/** The text as the scenario has it, without the copy that casts the shadow. */
function textOf(root) {
  return hostOf(root).textContent;
}

const countLetters = (text) => (text.length > MOST_PARTS ? wordsOf(text).flatMap(lettersOf).length : text.length);

/**
 * Let one copy of the text cast the shadow of all letters, below them.
 *
 * Letters painted one by one would each cast theirs over the letter before, which greys its edge.
 */
function layShadowBelow(host) {
  if (getComputedStyle(host).textShadow === 'none') return host;
  const unseen = '-webkit-text-fill-color:transparent;-webkit-text-stroke-color:transparent';
  const shadow = added('shadow', `position:absolute;inset:0;${unseen}`);
  const ink = part('ink', 'position:relative;text-shadow:none');
  shadow.textContent = host.textContent;
  ink.append(...host.childNodes);
  host.append(shadow, ink);
  return ink;
}

/** Undo layShadowBelow: letters that move carry their own shadows with them. */
function liftShadow(root) {
  for (const shadow of find(root, 'shadow')) shadow.remove();
  for (const ink of find(root, 'ink')) unwrap(ink);
}

/** Put every letter below `host` into an element of its own; spaces stay text. */
function splitLetters(host) {
  if (find(host, 'letter').length) return;
  const walker = document.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const text of texts) {
    const pieces = wordsOf(text.data).flatMap((piece) => (isSpace(piece) ? [piece] : lettersOf(piece).map(letterOf)));
    text.replaceWith(...pieces);
  }
}

/** Letters that a font draws as one sign stay one letter: the first of them is as wide as all. */
function joinLigature(letter) {
  const before = letter.previousElementSibling;
  const isDrawn = (element) => element.getBoundingClientRect().width > 0;
  if (!before || isDrawn(letter) || !isDrawn(before)) return;
  before.append(...letter.childNodes);
  before.normalize();
  letter.remove();
}

function letterOf(text) {
  const letter = part('letter');
  letter.textContent = text;
  return letter;
}

/** Group what stands between spaces into words and return them. */
function splitWords(host) {
  const known = find(host, 'word');
  if (known.length) return known;
  const made = [];
  const content = [];
  let word = null;
  const pieces = [...host.childNodes].flatMap((node) => (node.nodeType === Node.TEXT_NODE ? wordsOf(node.data) : [node]));
  for (const piece of pieces) {
    if (typeof piece === 'string' && isSpace(piece)) {
      word = null;
      content.push(piece);
      continue;
    }
    if (!word) {
      word = part('word');
      made.push(word);
      content.push(word);
    }
    word.append(piece);
  }
  host.replaceChildren(...content);
  return made;
}

/** Over how many lines an inline element runs; Chromium gives a rectangle for each child, too. */
function linesOf(element) {
  return new Set(Array.from(element.getClientRects(), ({ top }) => Math.round(top))).size;
}

/** Chinese, Japanese and Korean break lines inside words: make each line's share a word of its own. */
function splitAtLineBreaks(word) {
  if (linesOf(word) === 1) return;
  splitLetters(word);
  let line = null;
  for (const letter of find(word, 'letter')) {
    if (line && line.top !== letter.offsetTop) line = null;
    if (!line) {
      line = { top: letter.offsetTop, element: part('word') };
      letter.before(line.element);
    }
    line.element.append(letter);
  }
  unwrap(word);
}

/**
 * Make inline `parts` boxes that can be transformed, each where it was among its neighbours.
 *
 * `words` keep their letters together on a line. Returns null, and undoes it all, if anything shifted.
 */
function makeMovable(root, parts, words) {
  const fresh = parts.filter((element) => element.style.display !== 'inline-block');
  if (!fresh.length) return parts;
  const shift = atRest(root, () => {
    const drawnAt = root.getBoundingClientRect().width / parseFloat(getComputedStyle(root).width);
    const scale = drawnAt || 1;
    const before = boxesOf(fresh, scale);
    const unbroken = words.filter((word) => linesOf(word) === 1);
    for (const word of unbroken) word.style.whiteSpace = 'nowrap';
    // What is drawn at no size tells no widths; it stands where boxes stand by themselves.
    fresh.forEach((element, i) => Object.assign(element.style, BOX, { width: drawnAt ? inSteps(before[i].width) : '' }));
    // On a single line meanwhile: without its kerning, a line may be too long for its last word.
    root.style.textWrap = 'nowrap';
    keepGaps(fresh, before, boxesOf(fresh, scale));
    root.style.textWrap = '';
    const shifts = boxesOf(fresh, scale).map((box, i) => Math.hypot(box.left - before[i].left, box.middle - before[i].middle));
    return Math.max(...shifts);
  });
  if (shift <= SHIFT_ALLOWED) return parts;
  const written = Object.keys({ ...BOX, width: 0, marginLeft: 0 });
  for (const element of [...fresh, ...words]) for (const property of written) element.style[property] = '';
  return null;
}

/** Where elements are in px of their own scale; up and down their text counts, for boxes are higher than letters. */
function boxesOf(elements, scale) {
  const range = document.createRange();
  return elements.map((element) => {
    const { left, width } = element.getBoundingClientRect();
    range.selectNodeContents(document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode() ?? element);
    const { top, bottom } = range.getBoundingClientRect();
    return { left: left / scale, middle: (top + bottom) / 2 / scale, width: width / scale };
  });
}

/** Give back the kerning between a space and its neighbours, which boxes lose. */
function keepGaps(elements, before, after) {
  const gap = (boxes, i) => boxes[i].left - boxes[i - 1].left - boxes[i - 1].width;
  for (let i = 1; i < elements.length; i++) {
    const lost = gap(before, i) - gap(after, i);
    const onOneLine = Math.abs(before[i].middle - before[i - 1].middle) < SHIFT_ALLOWED;
    if (onOneLine && Math.abs(lost) * LAYOUT_STEPS >= 1) elements[i].style.marginLeft = inSteps(lost);
  }
}

/** A length in px that Chromium lays out as it is, rounded down so that nothing is pushed onto the next line. */
function inSteps(length) {
  return `${Math.floor(length * LAYOUT_STEPS) / LAYOUT_STEPS}px`;
}

/** Run `measure` with everything below `root` where it stands untransformed. */
function atRest(root, measure) {
  const moved = find(root).filter((element) => element.style.transform);
  const transforms = moved.map((element) => element.style.transform);
  for (const element of moved) element.style.transform = 'none';
  const result = measure();
  moved.forEach((element, i) => (element.style.transform = transforms[i]));
  return result;
}
