/* Words spring into place one after another, each from a little tilt of its own. */
import { poser } from './lib/look.mjs';
import { arrive, clamp, lerp, spring, staggered } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableWords } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'elastic',
  version: '2.0.0',
  type: 'dom',
  description: 'Words bounce in like on a spring.',
  params: {
    bounceStrength: { type: 'number', default: 0.7, minimum: 0, maximum: 2, description: 'how often it swings: 0 never' },
    animationDuration: { type: 'number', default: 1.5, minimum: 0.05, maximum: 20, description: 'time of one word, relative' },
    staggerDelay: { type: 'number', default: 0.1, minimum: 0, maximum: 10, description: 'delay between words, relative' },
    startScale: { type: 'number', default: 0, minimum: 0, maximum: 2.5, description: 'size that it starts from' },
    overshoot: { type: 'number', default: 1.3, minimum: 1, maximum: 1.6, description: 'how far it springs: 1.3 is 30 % beyond' },
  },
};

/** Degrees to either side. */
const LARGEST_TILT = 3;

/** Swings before it rests: at strength 0, and for each 1 of strength. */
const SWINGS = { fewest: 0.6, more: 3 };

/** From this strength on it swings as far beyond its size as `overshoot` says. */
const FULL_STRENGTH = 0.7;
const SMALLEST_REBOUND = 0.02;

export function animate(root, given) {
  const { bounceStrength, animationDuration, staggerDelay, startScale, overshoot } = readParams(manifest.params, given);
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
