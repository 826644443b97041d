/* The text swells and shrinks back, as a heart beats.
 *
 * The editor's preview scales it twice, so at its largest it is as large as `maxScale` times itself; so it is here.
 */
import manifest from './pulse.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp, lerp, swell } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

export function animate(root, given) {
  const { maxScale, cycles } = readParams(manifest.schema, given);
  const poses = wholeText(root, manifest.name).map((part) => poser(part));
  return (progress) => {
    const scale = lerp(1, maxScale, swell(cycles * clamp(progress))) ** 2;
    for (const pose of poses) pose({ scale });
  };
}
