/* Flames burn behind the text. They are drawn of gradients, tongue by tongue; there is no picture to load. */
import manifest from './flames.json' with { type: 'json' };
import { poser } from './lib/look.mjs';
import { clamp, lerp, wave } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { layer } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

/** Rows of tongues from back to front: hot inside; sizes in em, `apart` from one to the next. */
const ROWS = [
  { colors: ['255, 130, 15', '215, 40, 0'], opacity: 0.85, width: 1.25, height: 2.5, apart: 0.5 },
  { colors: ['255, 200, 60', '255, 105, 0'], opacity: 0.75, width: 1, height: 1.75, apart: 0.5 },
  { colors: ['255, 240, 170', '255, 180, 40'], opacity: 0.55, width: 0.85, height: 1.15, apart: 0.55 },
];
const MOST_IN_A_ROW = 24;

/** Sizes vary by this share, height swings by this share, and tongues lean by this many degrees. */
const VARIETY = 0.25;
const LICKING = 0.3;
const LEANING = 9;

const between = (least, most) => lerp(least, most, Math.random());

/** A tongue of a row: an element that stands at `place` (0 to 1) on the layer's ground. */
function tongue({ colors: [hot, cool], opacity, width, height }, place) {
  const element = document.createElement('span');
  const size = between(1 - VARIETY, 1 + VARIETY);
  element.style.cssText = `position:absolute;bottom:0;left:${(100 * place).toFixed(1)}%;transform-origin:50% 100%`;
  element.style.width = `${(width * size).toFixed(2)}em`;
  element.style.height = `${(height * size).toFixed(2)}em`;
  element.style.marginLeft = `${((-width * size) / 2).toFixed(2)}em`;
  // As pointed as a box can be; the gradient ends within it on all sides but where the tongue stands.
  element.style.borderRadius = '50% 50% 40% 40% / 85% 85% 15% 15%';
  const at = (color, share) => `rgba(${color}, ${(opacity * share).toFixed(2)})`;
  element.style.background =
    `radial-gradient(50% 60% at 50% 60%, ${at(hot, 1)}, ${at(cool, 0.8)} 45%, ${at(cool, 0.25)} 75%, ${at(cool, 0)})`;
  return element;
}

/** How a tongue moves: -1 to 1 in two rhythms of its own that never meet. */
function rhythm(cycles) {
  const [slow, fast, early, late] = [between(0.5, 0.9), between(1.1, 1.7), Math.random(), Math.random()];
  return (p) => 0.6 * wave(slow * cycles * p + early) + 0.4 * wave(fast * cycles * p + late);
}

function burn(hearth, cycles) {
  const em = parseFloat(getComputedStyle(hearth).fontSize);
  const tongues = [];
  for (const row of ROWS) {
    const count = Math.min(MOST_IN_A_ROW, Math.max(2, Math.round(hearth.offsetWidth / em / row.apart)));
    for (let i = 0; i < count; i++) {
      const element = tongue(row, clamp((i + between(0.25, 0.75)) / count));
      hearth.append(element);
      tongues.push({ pose: poser(element), high: rhythm(cycles), lean: rhythm(cycles) });
    }
  }
  return tongues;
}

export function animate(root, given) {
  const { baseOpacity, flicker, cycles } = readParams(manifest.schema, given);
  const hearth = layer(root, manifest.name, 'below');
  if (!hearth) return () => {};
  hearth.style.inset = '0 0 0.1em';
  // MotionText starts this plugin again on every frame unless it finds this mark: an image, which shows nothing.
  const mark = document.createElement('img');
  mark.dataset.flames = '';
  mark.style.display = 'none';
  hearth.replaceChildren(mark);
  const pose = poser(hearth);
  const tongues = burn(hearth, cycles);
  return (progress) => {
    const p = clamp(progress);
    pose({ opacity: clamp(baseOpacity + flicker * wave(cycles * p)) });
    for (const { pose: move, high, lean } of tongues) move({ squash: 1 + LICKING * high(p), skew: LEANING * lean(p) });
  };
}
