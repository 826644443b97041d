/* Words spring into place one after another, each from a little tilt of its own. */
import manifest from './elastic.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { arrive, clamp, lerp, spring, staggered } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableWords } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

/** Degrees to either side. */
const LARGEST_TILT = 3;

/** Swings before it rests: at strength 0, and for each 1 of strength. */
const SWINGS = { fewest: 0.6, more: 3 };

/** From this strength on it swings as far beyond its size as `overshoot` says. */
const FULL_STRENGTH = 0.7;
const SMALLEST_REBOUND = 0.02;

export function animate(root, given) {
  const { bounceStrength, animationDuration, staggerDelay, startScale, overshoot } = readParams(manifest.schema, given);
  const rebound = (overshoot - 1) * Math.min(1, bounceStrength / FULL_STRENGTH);
  const stretch = spring(SWINGS.fewest + SWINGS.more * bounceStrength, Math.max(SMALLEST_REBOUND, rebound));
  const words = movableWords(root, manifest.name).map((word) => ({
    pose: poser(word, '50% 60%'),
    tilt: lerp(-LARGEST_TILT, LARGEST_TILT, Math.random()),
  }));
  const local = staggered(words.length, animationDuration, staggerDelay);
  return (progress) => {
    words.forEach(({ pose, tilt }, i) => {
      const t = local(clamp(progress), i);
      pose({ scale: 1 - (1 - startScale) * stretch(t), rotate: tilt * (1 - arrive(t)) });
    });
  };
}
