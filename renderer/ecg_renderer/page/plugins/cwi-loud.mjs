/* The word jumps at the viewer: it grows at once, trembles while it is loud, and shrinks back. */
import { poser } from './lib/look.mjs';
import { arriveBeyond, clamp, smooth, wave, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'cwi-loud',
  version: '2.0.0',
  type: 'dom',
  description: 'The word grows fast, trembles, and shrinks back.',
  params: {
    pulse: {
      type: 'object',
      description: 'how large it gets',
      properties: {
        scale: { type: 'number', default: 2.15, minimum: 1, maximum: 6, description: 'size at its loudest' },
        lift: { type: 'number', default: 12, minimum: -200, maximum: 200, description: 'rise at its loudest, px' },
      },
    },
    tremble: {
      type: 'object',
      description: 'how it shakes',
      properties: {
        ampPx: { type: 'number', default: 1.5, minimum: 0, maximum: 40, description: 'shake to each side, px' },
        freq: { type: 'number', default: 12, minimum: 0, maximum: 120, description: 'shakes in all' },
      },
    },
  },
};

const LOUD_FROM = 0.2;
const LOUD_UNTIL = 0.72;

/** The shake comes and goes within this share of the time. */
const FADE = 0.08;

/** Up and down is slower than left and right, so that it never runs along a line. */
const UP_DOWN = { freq: 0.77, amp: 0.7 };

export function animate(root, given) {
  const { pulse, tremble } = readParams(manifest.params, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part, '50% 75%'));
  return (progress) => {
    const p = clamp(progress);
    const loudness = p < LOUD_UNTIL ? arriveBeyond(within(p, 0, LOUD_FROM)) : 1 - smooth(within(p, LOUD_UNTIL, 1));
    const shake = tremble.ampPx * within(p, LOUD_FROM - FADE, LOUD_FROM) * (1 - within(p, LOUD_UNTIL, LOUD_UNTIL + FADE));
    const turns = tremble.freq * (p - LOUD_FROM + FADE);
    for (const pose of poses) {
      pose({
        x: shake * wave(turns),
        y: -pulse.lift * loudness + shake * UP_DOWN.amp * wave(turns * UP_DOWN.freq),
        scale: 1 + (pulse.scale - 1) * loudness,
      });
    }
  };
}
