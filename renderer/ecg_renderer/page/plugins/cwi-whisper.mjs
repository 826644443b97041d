/* The word draws back: it shrinks and sinks, flutters like breath, and returns. */
import manifest from './cwi-whisper.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp, smooth, wave, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

const QUIET_FROM = 0.28;
const QUIET_UNTIL = 0.76;

export function animate(root, given) {
  const { shrink, flutter } = readParams(manifest.schema, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part, '50% 75%'));
  return (progress) => {
    const p = clamp(progress);
    const quiet = smooth(within(p, 0, QUIET_FROM)) * (1 - smooth(within(p, QUIET_UNTIL, 1)));
    const breath = flutter.amp * quiet * wave(flutter.freq * p);
    for (const pose of poses) pose({ y: shrink.drop * quiet, scale: 1 + (shrink.scale - 1) * quiet + breath });
  };
}
