/* The text bobs down and up.
 *
 * The editor's preview moves it twice, by a sine that swings to both sides and by a swell below the line; the sum is
 * what people see there. Drawn in the DOM, where it returns to rest.
 */
import manifest from './bobY.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp, swell, wave } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

export function animate(root, given) {
  const { amplitudePx, cycles } = readParams(manifest.schema, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part));
  return (progress) => {
    const turns = cycles * clamp(progress);
    for (const pose of poses) pose({ y: amplitudePx * (wave(turns) + swell(turns)) });
  };
}
