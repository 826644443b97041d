/* The word draws back: it shrinks and sinks, flutters like breath, and returns. */
import { poser } from './lib/look.mjs';
import { clamp, smooth, wave, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'cwi-whisper',
  version: '2.0.0',
  type: 'dom',
  description: 'The word shrinks, flutters, and returns.',
  params: {
    shrink: {
      type: 'object',
      description: 'how small it gets',
      properties: {
        scale: { type: 'number', default: 0.6, minimum: 0.05, maximum: 1, description: 'size at its quietest' },
        drop: { type: 'number', default: 6, minimum: -200, maximum: 200, description: 'fall at its quietest, px' },
      },
    },
    flutter: {
      type: 'object',
      description: 'how it breathes',
      properties: {
        amp: { type: 'number', default: 0.02, minimum: 0, maximum: 0.5, description: 'change of size, 1 = its own size' },
        freq: { type: 'number', default: 8, minimum: 0, maximum: 120, description: 'breaths in all' },
      },
    },
  },
};

const QUIET_FROM = 0.28;
const QUIET_UNTIL = 0.76;

export function animate(root, given) {
  const { shrink, flutter } = readParams(manifest.params, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part, '50% 75%'));
  return (progress) => {
    const p = clamp(progress);
    const quiet = smooth(within(p, 0, QUIET_FROM)) * (1 - smooth(within(p, QUIET_UNTIL, 1)));
    const breath = flutter.amp * quiet * wave(flutter.freq * p);
    for (const pose of poses) pose({ y: shrink.drop * quiet, scale: 1 + (shrink.scale - 1) * quiet + breath });
  };
}
