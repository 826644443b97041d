/* Words slide up into their place one after another, and become clear. */
import { poser } from './lib/look.mjs';
import { clamp, easeCalled, staggered } from './lib/motion.mjs';
import { EASE_PARAM, readParams } from './lib/params.mjs';
import { movableWords } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'slideup',
  version: '2.0.0',
  type: 'dom',
  description: 'Words slide up into their place one after another.',
  params: {
    slideDistance: { type: 'number', default: 30, minimum: -400, maximum: 400, description: 'how far below they start, px' },
    animationDuration: { type: 'number', default: 1, minimum: 0.05, maximum: 20, description: 'time of one word, relative' },
    staggerDelay: { type: 'number', default: 0.12, minimum: 0, maximum: 10, description: 'delay between words, relative' },
    easeType: EASE_PARAM,
    blurEffect: { type: 'boolean', default: true, description: 'blurred at first' },
  },
};

const BLUR_PX = 3;

export function animate(root, given, { gsap }) {
  const { slideDistance, animationDuration, staggerDelay, easeType, blurEffect } = readParams(manifest.params, given);
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
