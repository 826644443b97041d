/* A halo of a colour around and behind the text; it may swell and fade.
 *
 * The halo is a gradient, which needs no blurring. What is drawn changes in steps, so that few pictures differ.
 */
import manifest from './glow.json' with { type: 'json' };
import { poser, setter } from './lib/look.mjs';
import { clamp, wave } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { layer } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

/** How far the strength swings up and down while it pulses. */
const SWING = { up: 0.3, down: 0.2 };

/** A strength is drawn in steps of this size. */
const STEP = 0.05;

/** Blur radii of the shadows that light the letters, and their strength as a share of the halo's. */
const LIGHTS = [{ blur: 6, share: 1 }, { blur: 12, share: 0.8 }, { blur: 18, share: 0.6 }];

/** How far the halo reaches beyond the text. */
const REACH = '-0.45em -0.9em';

export function animate(root, given) {
  const { color, intensity, pulse, cycles } = readParams(manifest.schema, given);
  const halo = layer(root, manifest.name, 'below');
  if (!halo) return () => {};
  // MotionText starts this plugin again on every frame unless it finds this mark.
  halo.dataset.glow = '';
  const rgb = color.join(', ');
  halo.style.inset = REACH;
  halo.style.background = `radial-gradient(closest-side, rgba(${rgb}, ${intensity}) 30%, rgba(${rgb}, 0))`;
  const pose = poser(halo);
  const setLight = setter(halo.nextElementSibling, 'textShadow');
  return (progress) => {
    const swing = pulse ? wave(cycles * clamp(progress)) : 0;
    const strength = clamp(Math.round((intensity + swing * (swing > 0 ? SWING.up : SWING.down)) / STEP) * STEP);
    pose({ opacity: strength });
    setLight(LIGHTS.map(({ blur, share }) => `0 0 ${blur}px rgba(${rgb}, ${(strength * share).toFixed(2)})`).join(', '));
  };
}
