/* A wave runs through the letters while the word swells a little; letters take the speaker's colour as it passes.
 *
 * All motion is drawn in the DOM: MotionText keeps the last value of a channel after the plugin's time is over, so a
 * swelling by channel would be left standing.
 */
import manifest from './cwi-bouncing.json' with { type: 'json' };
import { speakerColor } from './lib/color.mjs';
import { painter, poser } from './lib/look.mjs';
import { clamp, lerp, wave, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters, wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

const SWELLING = 0.1;

/** The share of the time that one letter hops; the starts of all letters lie in the rest. */
const HOP_SHARE = 0.55;

/** A hop ends at this share of its time, the small one after it at its end. */
const LANDING = 0.64;
const SECOND_HOP = 0.26;

/** Height of a letter that hops, lands and hops a little once more: 0 to 1. */
function hop(t) {
  return t < LANDING ? wave(t / LANDING / 2) : SECOND_HOP * wave((t - LANDING) / (1 - LANDING) / 2);
}

export function animate(root, given) {
  const params = readParams(manifest.schema, given);
  const color = speakerColor(params);
  const whole = wholeText(root, manifest.name).map((part) => poser(part, '50% 75%'));
  const letters = movableLetters(root, manifest.name);
  const poses = letters.map((letter) => poser(letter));
  const paint = color ? letters.map((letter) => painter(letter, color)) : [];
  const startOf = (i) => lerp(0, 1 - HOP_SHARE, poses.length > 1 ? i / (poses.length - 1) : 0.5);
  return (progress) => {
    const p = clamp(progress);
    for (const pose of whole) pose({ scale: 1 + SWELLING * wave(p / 2) });
    poses.forEach((pose, i) => pose({ y: -params.waveHeight * hop(within(p, startOf(i), startOf(i) + HOP_SHARE)) }));
    paint.forEach((setAmount, i) => setAmount(within(p, startOf(i), startOf(i) + HOP_SHARE * LANDING)));
  };
}
