/* Words slide up into their place one after another, and become clear. */
import manifest from './slideup.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp, easeCalled, staggered } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableWords } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

const BLUR_PX = 3;

export function animate(root, given, { gsap }) {
  const { slideDistance, animationDuration, staggerDelay, easeType, blurEffect } = readParams(manifest.schema, given);
  const ease = easeCalled(easeType, gsap);
  const poses = movableWords(root, manifest.name).map((word) => poser(word));
  const local = staggered(poses.length, animationDuration, staggerDelay);
  return (progress) => {
    poses.forEach((pose, i) => {
      const arrived = ease(local(clamp(progress), i));
      pose({
        y: slideDistance * (1 - arrived),
        opacity: clamp(arrived),
        blur: blurEffect ? BLUR_PX * (1 - clamp(arrived)) : 0,
      });
    });
  };
}
