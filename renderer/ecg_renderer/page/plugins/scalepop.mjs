/* Letters pop up one after another, larger than they are, and bounce back to their size. */
import manifest from './scalepop.json' with { type: 'json' };
import { parseColor } from './lib/color.mjs';
import { painter, poser } from './lib/look.mjs';
import { arrive, arriveBeyond, clamp, lerp, spring, staggered, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

const LIGHT = [255, 255, 153];

/** Shares of a letter's time: until when it grows, when its light comes and goes. */
const GROWN = 0.4;
const LIT = { from: 0.1, full: 0.3, gone: 0.7 };

/** Swings of the bounce, and how far each goes to the other side at strength 1. */
const SWINGS = 2;
const REBOUND = 0.6;
const SMALLEST_REBOUND = 0.02;

const light = (t) => within(t, LIT.from, LIT.full) * (1 - within(t, LIT.full, LIT.gone));

export function animate(root, given) {
  const { popScale, animationDuration, staggerDelay, bounceStrength, colorPop } = readParams(manifest.schema, given);
  const bounce = spring(SWINGS, Math.max(SMALLEST_REBOUND, Math.min(0.95, REBOUND * bounceStrength)));
  const letters = movableLetters(root, manifest.name);
  const poses = letters.map((letter) => poser(letter));
  const paint = colorPop ? letters.map((letter) => painter(letter, LIGHT, parseColor(getComputedStyle(letter).color) ?? undefined)) : [];
  const local = staggered(letters.length, animationDuration, staggerDelay);
  return (progress) => {
    letters.forEach((_, i) => {
      const t = local(clamp(progress), i);
      const growing = t < GROWN;
      const scale = growing ? popScale * arriveBeyond(t / GROWN) : lerp(1, popScale, bounce(within(t, GROWN, 1)));
      poses[i]({ scale, opacity: arrive(within(t, 0, GROWN)) });
      paint[i]?.(light(t));
    });
  };
}
