/* Letters are typed in: one after another they spring up to their size.
 *
 * The editor offers a flip of the whole text with it, but its preview does not draw that; so it is not drawn here.
 */
import manifest from './fliptype.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { arriveBeyond, clamp, lerp, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

/** Time of one letter, and the size that it starts from. */
const APPEARING = 0.1;
const SMALL = 0.8;

/** When each of `count` letters begins; all is stretched so that the last one ends at 1. */
function starts(count, { typingSpeed, typingDelay }) {
  const each = (Math.min(1, typingDelay + count / typingSpeed) - typingDelay) / count;
  const whole = typingDelay + each * (count - 1) + APPEARING;
  return { appearing: APPEARING / whole, startOf: (i) => (typingDelay + each * i) / whole };
}

export function animate(root, given) {
  const poses = movableLetters(root, manifest.name).map((letter) => poser(letter));
  const { appearing, startOf } = starts(poses.length, readParams(manifest.schema, given));
  return (progress) => {
    poses.forEach((pose, i) => {
      const t = within(clamp(progress), startOf(i), startOf(i) + appearing);
      pose({ opacity: clamp(arriveBeyond(t)), scale: lerp(SMALL, 1, arriveBeyond(t)) });
    });
  };
}
