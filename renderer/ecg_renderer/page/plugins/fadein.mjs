/* Letters come up one after another, growing a little. */
import { poser } from './lib/look.mjs';
import { clamp, easeCalled, lerp, staggered } from './lib/motion.mjs';
import { EASE_PARAM, readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'fadein',
  version: '2.0.0',
  type: 'dom',
  description: 'Letters fade in one after another.',
  params: {
    staggerDelay: { type: 'number', default: 0.1, minimum: 0, maximum: 10, description: 'delay between letters, relative' },
    animationDuration: { type: 'number', default: 0.8, minimum: 0.05, maximum: 20, description: 'time of one letter, relative' },
    startOpacity: { type: 'number', default: 0, minimum: 0, maximum: 1, description: 'opacity that it starts from' },
    scaleStart: { type: 'number', default: 0.9, minimum: 0, maximum: 3, description: 'size that it starts from' },
    ease: EASE_PARAM,
  },
};

export function animate(root, given, { gsap }) {
  const params = readParams(manifest.params, given);
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
