/* Letters appear, scatter as if something pulled at them, and snap back into their place. */
import manifest from './magnetic.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { arrive, clamp, lerp, spring, staggered, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

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
  const { magnetStrength, animationDuration, attractionDelay, elasticity } = readParams(manifest.schema, given);
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
