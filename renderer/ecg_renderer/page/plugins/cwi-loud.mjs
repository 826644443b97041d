/* The word jumps at the viewer: it grows at once, trembles while it is loud, and shrinks back. */
import manifest from './cwi-loud.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { arriveBeyond, clamp, smooth, wave, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

const LOUD_FROM = 0.2;
const LOUD_UNTIL = 0.72;

/** The shake comes and goes within this share of the time. */
const FADE = 0.08;

/** Up and down is slower than left and right, so that it never runs along a line. */
const UP_DOWN = { freq: 0.77, amp: 0.7 };

export function animate(root, given) {
  const { pulse, tremble } = readParams(manifest.schema, given);
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
