/* Letters come up one after another, growing a little. */
import manifest from './fadein.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp, easeCalled, lerp, staggered } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

export function animate(root, given, { gsap }) {
  const params = readParams(manifest.schema, given);
  const ease = easeCalled(params.ease, gsap);
  const poses = movableLetters(root, manifest.name).map((letter) => poser(letter));
  const local = staggered(poses.length, params.animationDuration, params.staggerDelay);
  return (progress) => {
    poses.forEach((pose, i) => {
      const shown = ease(local(clamp(progress), i));
      pose({ opacity: clamp(lerp(params.startOpacity, 1, shown)), scale: lerp(params.scaleStart, 1, shown) });
    });
  };
}
