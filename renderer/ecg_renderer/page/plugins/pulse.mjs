/* The text swells and shrinks back, as a heart beats.
 *
 * The editor's preview scales it twice, so at its largest it is as large as `maxScale` times itself; so it is here.
 */
import { poser } from './lib/look.mjs';
import { clamp, lerp, swell } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'pulse',
  version: '2.0.0',
  type: 'dom',
  description: 'The text swells and shrinks back.',
  params: {
    maxScale: { type: 'number', default: 1.2, minimum: 0, maximum: 2.5, description: 'size at its largest, applied twice: 1.2 gives 1.44' },
    cycles: { type: 'number', default: 1, minimum: 1, maximum: 120, description: 'how often' },
  },
};

export function animate(root, given) {
  const { maxScale, cycles } = readParams(manifest.params, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part));
  return (progress) => {
    const scale = lerp(1, maxScale, swell(cycles * clamp(progress))) ** 2;
    for (const pose of poses) pose({ scale });
  };
}
