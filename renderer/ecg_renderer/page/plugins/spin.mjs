/* The text turns around its middle at one pace; the last angle stays.
 *
 * In the editor a channel does this, whose last value is that of the last frame before the end, a few degrees short.
 */
import manifest from './spin.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

export function animate(root, given) {
  const { fullTurns } = readParams(manifest.schema, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part));
  return (progress) => {
    for (const pose of poses) pose({ rotate: (360 * fullTurns * clamp(progress)) % 360 });
  };
}
