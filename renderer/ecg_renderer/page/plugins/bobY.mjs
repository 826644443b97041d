/* The text bobs down and up.
 *
 * The editor's preview moves it twice, by a sine that swings to both sides and by a swell below the line; the sum is
 * what people see there. Drawn in the DOM, where it returns to rest.
 */
import { poser } from './lib/look.mjs';
import { clamp, swell, wave } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'bobY',
  version: '2.0.0',
  type: 'dom',
  description: 'The text bobs down and up.',
  params: {
    amplitudePx: { type: 'number', default: 8, minimum: -400, maximum: 400, description: 'how far it moves, px; below 0 upwards first' },
    cycles: { type: 'number', default: 1, minimum: 1, maximum: 120, description: 'how often' },
  },
};

export function animate(root, given) {
  const { amplitudePx, cycles } = readParams(manifest.params, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part));
  return (progress) => {
    const turns = cycles * clamp(progress);
    for (const pose of poses) pose({ y: amplitudePx * (wave(turns) + swell(turns)) });
  };
}
