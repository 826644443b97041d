/* Where texts stand at rest: what leaves the picture, and what lies on another caption. */

/** In px: what is cut off by less than this nobody misses. */
const NOTICED = 2;
/** What two captions share of the smaller one before it is called an overlap. */
const OVERLAP = 0.1;

/**
 * Look at `frames` (ascending) of a stage whose scenario has no plugins.
 *
 * @returns {outside: [{root, node, left, top, right, bottom}] in px beyond the edges, overlaps: [{root, other, frame}]};
 * each node, and each pair of cues, once. Nodes go by their ids, cues by those of their root nodes.
 */
export async function lookAt(stage, frames, { width, height }) {
  const outside = new Map();
  const overlaps = new Map();
  for await (const _ of stage.preRoll([])) continue;
  for (const frame of frames) {
    await stage.seek(frame);
    const texts = shownTexts(stage.captions);
    for (const { root, node, box } of texts) {
      const beyond = { left: -box.left, top: -box.top, right: box.right - width, bottom: box.bottom - height };
      if (Math.max(...Object.values(beyond)) > NOTICED && !outside.has(node)) outside.set(node, { root, node, ...beyond });
    }
    for (const [root, other] of overlapping(texts)) {
      const pair = `${root}\n${other}`;
      if (!overlaps.has(pair)) overlaps.set(pair, { root, other, frame });
    }
  }
  return { outside: [...outside.values()], overlaps: [...overlaps.values()] };
}

function shownTexts(captions) {
  return Array.from(captions.querySelectorAll('.mtx-text'), (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return { root: rootOf(element), node: element.dataset.nodeId, box: range.getBoundingClientRect() };
  }).filter(({ box }) => box.width && box.height);
}

/** The id of the outermost node around `element`. */
function rootOf(element) {
  let root = element;
  for (let e = element; e; e = e.parentElement) if (e.dataset.nodeId) root = e;
  return root.dataset.nodeId;
}

function* overlapping(texts) {
  for (let i = 0; i < texts.length; i++) {
    for (let k = i + 1; k < texts.length; k++) {
      const [a, b] = [texts[i], texts[k]];
      if (a.root === b.root) continue;
      const across = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      const smaller = Math.min(a.box.width * a.box.height, b.box.width * b.box.height);
      if (across > 0 && down > 0 && across * down > OVERLAP * smaller) yield [a.root, b.root];
    }
  }
}
