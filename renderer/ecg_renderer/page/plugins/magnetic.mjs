/* Letters appear, scatter as if something pulled at them, and snap back into their place. */
import { poser } from './lib/look.mjs';
import { arrive, clamp, lerp, spring, staggered, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'magnetic',
  version: '2.0.0',
  type: 'dom',
  description: 'Letters scatter and snap back into their place.',
  params: {
    magnetStrength: { type: 'number', default: 15, minimum: 0, maximum: 400, description: 'farthest to each side, px; half of it up and down' },
    animationDuration: { type: 'number', default: 1.2, minimum: 0.05, maximum: 20, description: 'time of one letter, relative' },
    attractionDelay: { type: 'number', default: 0.1, minimum: 0, maximum: 10, description: 'delay between letters, relative' },
    elasticity: { type: 'number', default: 0.8, minimum: 0, maximum: 2, description: 'how much they swing when they snap back' },
  },
};

/** Degrees to either side. */
const LARGEST_TILT = 15;

/** Shares of a letter's time: until when it appears, and until when it is pulled away. */
const SEEN = 0.25;
const PULLED = 0.4;

/** Swings when snapping back at elasticity 0 and for each 1 more, and how far they go beyond at 1. */
const SWINGS = { fewest: 0.6, more: 2 };
const REBOUND = 0.5;
const SMALLEST_REBOUND = 0.02;

const either = (most) => lerp(-most, most, Math.random());

export function animate(root, given) {
  const { magnetStrength, animationDuration, attractionDelay, elasticity } = readParams(manifest.params, given);
  const rebound = Math.max(SMALLEST_REBOUND, Math.min(0.95, REBOUND * elasticity));
  const snap = spring(SWINGS.fewest + SWINGS.more * elasticity, rebound);
  const elements = movableLetters(root, manifest.name);
  const letters = elements.map((letter) => ({
    pose: poser(letter),
    away: { x: either(magnetStrength), y: either(magnetStrength / 2), rotate: either(LARGEST_TILT) },
  }));
  // MotionText starts this plugin again on every frame unless it finds this mark.
  if (elements.length) elements[0].dataset.magnetic = '';
  const local = staggered(letters.length, animationDuration, attractionDelay);
  return (progress) => {
    letters.forEach(({ pose, away }, i) => {
      const t = local(clamp(progress), i);
      const share = t < PULLED ? arrive(t / PULLED) : snap(within(t, PULLED, 1));
      pose({ x: away.x * share, y: away.y * share, rotate: away.rotate * share, opacity: arrive(within(t, 0, SEEN)) });
    });
  };
}
