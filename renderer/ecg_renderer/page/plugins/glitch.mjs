/* The text shakes like a broken screen: it jumps, flickers and slips, and its colours come apart.
 *
 * Time runs in slots, each with a picture of its own, as on such a screen. It is whole at the start and at the end.
 */
import manifest from './glitch.json' with { type: 'json' };
import { poser, setter } from './lib/look.mjs';
import { clamp, lerp, within } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

const SLOTS_FOR_EACH = 10;

/** How far it moves when it does not jump, as a share of the intensity. */
const TREMBLE = 0.35;

/** Shares of the intensity by which red and cyan lie beside the text, and how opaque they are. */
const APART = { least: 0.2, most: 0.5 };
const SEEN = { least: 0.3, most: 0.8 };

/** What a jump may bring along: this share of the opacity, of the height, a slant in degrees, a blur in px. */
const FLICKER = 0.35;
const SQUASH = 0.8;
const LARGEST_SLANT = 5;
const BLUR_PX = 1;

/** It calms down over this part of the time. */
const CALMING = { from: 0.85, until: 0.95 };

const between = (least, most) => lerp(least, most, Math.random());

/** One picture of the broken screen, at full strength; every one draws the same number of random numbers. */
function picture({ glitchIntensity, glitchFrequency, noiseEffect }) {
  const jumps = Math.random() < glitchFrequency;
  const reach = glitchIntensity * (jumps ? 1 : TREMBLE);
  const [kind, side] = [Math.random(), Math.random() < 0.5 ? -1 : 1];
  const apart = () => side * glitchIntensity * between(APART.least, APART.most);
  const slant = between(-LARGEST_SLANT, LARGEST_SLANT);
  const slips = jumps && kind < 0.4;
  return {
    x: between(-reach, reach),
    y: between(-reach / 2, reach / 2),
    skew: slips ? slant : 0,
    squash: slips ? SQUASH : 1,
    opacity: jumps && kind > 0.7 ? FLICKER : 1,
    blur: noiseEffect && jumps && kind >= 0.4 && kind <= 0.7 ? BLUR_PX : 0,
    colors: [
      { x: apart(), rgb: '255, 0, 64', alpha: between(SEEN.least, SEEN.most) },
      { x: -apart(), rgb: '0, 255, 255', alpha: between(SEEN.least, SEEN.most) },
    ],
  };
}

/** `colors` as hard shadows beside the text, before those that it has. */
function shadowOf(colors, strength, own) {
  const apart = colors.map(({ x, rgb, alpha }) => `${(x * strength).toFixed(1)}px 0 0 rgba(${rgb}, ${alpha.toFixed(2)})`);
  return [...apart, ...own].join(', ');
}

export function animate(root, given) {
  const params = readParams(manifest.schema, given);
  const pictures = Array.from({ length: Math.ceil(SLOTS_FOR_EACH * params.animationDuration) }, () => picture(params));
  const [block] = wholeText(root, manifest.name);
  if (!block) return () => {};
  // MotionText starts this plugin again on every frame unless it finds this mark.
  block.dataset.glitch = '';
  const inherited = getComputedStyle(block.parentElement).textShadow;
  const own = inherited === 'none' ? [] : [inherited];
  const pose = poser(block);
  const setShadow = setter(block, 'textShadow');
  return (progress) => {
    const slot = Math.min(pictures.length - 1, Math.floor(clamp(progress) * pictures.length));
    const strength = slot ? 1 - within(slot / pictures.length, CALMING.from, CALMING.until) : 0;
    const { x, y, colors, ...broken } = pictures[slot];
    pose(strength ? { x: x * strength, y: y * strength, ...(strength === 1 ? broken : {}) } : {});
    if (params.colorSeparation) setShadow(strength ? shadowOf(colors, strength, own) : '');
  };
}
