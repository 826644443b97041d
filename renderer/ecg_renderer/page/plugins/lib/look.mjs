/* What plugins ask of an element, combined and written: moves add up, sizes and opacities multiply.
 *
 * What is written depends only on the last request to each poser and painter, never on their order in time. A style is
 * written only when it differs from what was written last: every change of the DOM costs a repaint.
 */
import { mix } from './color.mjs';

const ADDED_UP = { x: 0, y: 0, rotate: 0, turnX: 0, turnY: 0, skew: 0, blur: 0 };
const MULTIPLIED = { scale: 1, squash: 1, opacity: 1 };
const REST = { ...ADDED_UP, ...MULTIPLIED };
const WHITE = [255, 255, 255];

/** A letter passes through at most this many colours after its first, so that few pictures differ. */
const COLOR_STEPS = 6;

/** Steps of a blur for each px: a change of blur makes the capture look anew at what paints how far. */
const BLUR_STEPS = 2;

/** Round to `digits` decimals; adding 0 turns -0 into 0. */
const round = (value, digits) => Math.round(value * 10 ** digits) / 10 ** digits + 0;

/** A function that gives `element` a style of its own, but only when it differs from the last. */
export function setter(element, property, initial = null) {
  let written = initial;
  return (value) => {
    if (value !== written) element.style[property] = written = value;
  };
}

/**
 * A function that puts `element` into a pose, on top of those of others.
 *
 * It takes {x, y in px, rotate, skew in degrees, scale, squash: of the height alone, blur in px, opacity} and turnX,
 * turnY: degrees around an axis in the picture's plane, seen from afar. What is left out is at rest. `origin` is the
 * point that scaling and turning leave in place.
 */
export function poser(element, origin = '') {
  const all = (element.ecgPose ??= {
    poses: [],
    setTransform: setter(element, 'transform'),
    setOpacity: setter(element, 'opacity'),
    setFilter: setter(element, 'filter', ''),
  });
  const own = { pose: REST };
  all.poses.push(own);
  if (origin) element.style.transformOrigin = origin;
  writePose(element, all);
  return (pose) => {
    own.pose = { ...REST, ...pose };
    writePose(element, all);
  };
}

const cosine = (degrees) => Math.cos((degrees * Math.PI) / 180);

function writePose(element, all) {
  const sum = { ...REST };
  for (const { pose } of all.poses) {
    for (const key in ADDED_UP) sum[key] += pose[key];
    for (const key in MULTIPLIED) sum[key] *= pose[key];
  }
  all.setTransform(transformOf(sum));
  all.setOpacity(String(round(sum.opacity, 2)));
  const blur = Math.round(sum.blur * BLUR_STEPS) / BLUR_STEPS;
  all.setFilter(blur ? `blur(${blur}px)` : '');
}

/** Turns in space are written as the flat picture that they give: what is transformed in space gets its own layer. */
function transformOf({ x, y, rotate, turnX, turnY, skew, scale, squash }) {
  const parts = [];
  const [left, down, turn, slant] = [round(x, 2), round(y, 2), round(rotate, 2), round(skew, 2)];
  const [width, height] = [round(scale * cosine(turnY), 3), round(scale * squash * cosine(turnX), 3)];
  if (left || down) parts.push(`translate(${left}px, ${down}px)`);
  if (turn) parts.push(`rotate(${turn}deg)`);
  if (slant) parts.push(`skewX(${slant}deg)`);
  if (width !== 1 || height !== 1) parts.push(width === height ? `scale(${width})` : `scale(${width}, ${height})`);
  return parts.join(' ') || 'none';
}

/**
 * A function that paints `element` on its way from one colour (0) to another (1), in steps.
 *
 * Where several paint the same element, the one that is furthest on its way is seen; of equals, the one that began last.
 */
export function painter(element, color, from = WHITE) {
  const all = (element.ecgPaint ??= { paints: [], setColor: setter(element, 'color') });
  const own = { from, color, step: 0 };
  all.paints.push(own);
  // A stroke makes MotionText set a fill colour, which would win over `color`.
  element.style.webkitTextFillColor = 'currentcolor';
  return (amount) => {
    own.step = Math.round(amount * COLOR_STEPS);
    let [front] = all.paints;
    for (const paint of all.paints) if (paint.step >= front.step) front = paint;
    all.setColor(mix(front.from, front.color, front.step / COLOR_STEPS));
  };
}
