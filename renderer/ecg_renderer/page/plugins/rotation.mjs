/* Letters turn into place in space, one after another, and quiver a little when they arrive.
 *
 * They are seen from afar, without perspective: on a letter, the preview's 800 px come to 2 % at its edges, and Chromium
 * would give each letter a layer of its own for it.
 */
import manifest from './rotation.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { arrive, arriveBeyond, clamp, lerp, staggered, wave, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { movableLetters } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

/** Shares of a letter's time: until when it turns up, from when on it quivers. */
const TURNED = 0.7;
const QUIVERING = 0.8;

/** It starts turned back by this share of the angle, at half its size, and comes a tenth too large. */
const STARTS_BACK = 0.25;
const SMALL = 0.5;
const LARGE = 1.1;

/** Degrees to either side, and how often. */
const QUIVER = { x: 3, y: 5 };
const QUIVERS = 1.5;

const either = (most) => lerp(-most, most, Math.random());

/** Angle as a share of the whole turn, size and opacity at `t`. */
function arrival(t) {
  const [up, home] = [arrive(within(t, 0, TURNED)), arriveBeyond(within(t, TURNED, 1))];
  const settling = t > TURNED;
  return {
    turn: settling ? 1 - home : lerp(-STARTS_BACK, 1, up),
    scale: settling ? lerp(LARGE, 1, home) : lerp(SMALL, LARGE, up),
    opacity: up,
  };
}

export function animate(root, given) {
  const { rotationDegrees, animationDuration, staggerDelay, ...axis } = readParams(manifest.schema, given);
  const letters = movableLetters(root, manifest.name).map((letter) => ({
    pose: poser(letter),
    quiver: { x: either(QUIVER.x), y: either(QUIVER.y) },
  }));
  const local = staggered(letters.length, animationDuration, staggerDelay);
  return (progress) => {
    letters.forEach(({ pose, quiver }, i) => {
      const t = local(clamp(progress), i);
      const { turn, scale, opacity } = arrival(t);
      const angle = rotationDegrees * turn;
      const shaken = within(t, QUIVERING, 1);
      const shake = wave(QUIVERS * shaken) * (1 - shaken);
      pose({
        turnX: axis.axisX ? angle + quiver.x * shake : 0,
        turnY: axis.axisY ? angle + quiver.y * shake : 0,
        rotate: axis.axisZ ? angle : 0,
        scale,
        opacity,
      });
    });
  };
}
