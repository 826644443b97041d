/* Letters appear one by one, with a cursor behind the last of them.
 *
 * As in the editor's preview, `typingSpeed` is a share of the whole time: at 0.05, twenty signs are typed by its end,
 * and what is longer stays unwritten.
 */
import manifest from './typewriter.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { layer, placeIn, shownLetters, signsBefore } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

/** The cursor is on and off once in each of these shares of the time. */
const BLINKS = 2;

/** So that 0.15 / 0.05 counts as three. */
const ROUNDING = 1e-9;

/** A function that puts the cursor behind the first `count` of `letters` and shows it or not. */
function cursorOf(root, text, letters) {
  const cursor = layer(root, manifest.name, 'above');
  const sign = document.createElement('span');
  sign.textContent = text;
  cursor.style.cssText += ';left:0;top:0;white-space:pre';
  cursor.replaceChildren(sign);
  const block = cursor.previousElementSibling;
  const places = letters.map((letter) => placeIn(block, letter));
  const start = { ...places[0], right: places[0].left };
  const pose = poser(cursor);
  return (count, seen) => {
    const { right, top } = count ? places[count - 1] : start;
    pose({ x: right, y: top - sign.offsetTop, opacity: seen ? 1 : 0 });
  };
}

export function animate(root, given) {
  const { typingSpeed, cursorBlink, cursorChar, showCursor } = readParams(manifest.schema, given);
  const letters = shownLetters(root, manifest.name);
  if (!letters.length) return () => {};
  const before = signsBefore(root, letters);
  const poses = letters.map((letter) => poser(letter));
  const putCursor = showCursor ? cursorOf(root, cursorChar, letters) : () => {};
  return (progress) => {
    const p = clamp(progress);
    const typed = Math.floor(p / typingSpeed + ROUNDING);
    poses.forEach((pose, i) => pose({ opacity: before[i] < typed ? 1 : 0 }));
    const shown = before.filter((count) => count < typed).length;
    putCursor(shown, !cursorBlink || Math.floor(p * BLINKS) % 2 === 0);
  };
}
