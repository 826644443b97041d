/* What plugins ask of an element, combined and written: moves add up, scales and opacities multiply.
 *
 * What is written depends only on the last request to each poser and painter, never on their order in time. A style is
 * written only when it differs from what was written last: every change of the DOM costs a repaint.
 */
import { mix } from './color.mjs';

const REST = { x: 0, y: 0, scale: 1, rotate: 0, opacity: 1 };
const WHITE = [255, 255, 255];

/** A letter passes through at most this many colours after its first, so that few pictures differ. */
const COLOR_STEPS = 6;

/** Round to `digits` decimals; adding 0 turns -0 into 0. */
const round = (value, digits) => Math.round(value * 10 ** digits) / 10 ** digits + 0;

/**
 * A function that puts `element` into a pose, on top of those of others.
 *
 * It takes {x, y in px, scale, rotate in degrees, opacity}; what is left out is at rest. `origin` is the point that
 * scaling and turning leave in place.
 */
export function poser(element, origin = '') {
  const all = (element.ecgPose ??= { poses: [], transform: '', opacity: '' });
  const own = { pose: REST };
  all.poses.push(own);
  if (origin) element.style.transformOrigin = origin;
  writePose(element, all);
  return (pose) => {
    own.pose = { ...REST, ...pose };
    writePose(element, all);
  };
}

function writePose(element, all) {
  const sum = { ...REST };
  for (const { pose } of all.poses) {
    sum.x += pose.x;
    sum.y += pose.y;
    sum.rotate += pose.rotate;
    sum.scale *= pose.scale;
    sum.opacity *= pose.opacity;
  }
  const transform = transformOf(sum);
  if (transform !== all.transform) element.style.transform = all.transform = transform;
  const opacity = String(round(sum.opacity, 2));
  if (opacity !== all.opacity) element.style.opacity = all.opacity = opacity;
}

function transformOf({ x, y, rotate, scale }) {
  const parts = [];
  const [left, down, turn, size] = [round(x, 2), round(y, 2), round(rotate, 2), round(scale, 3)];
  if (left || down) parts.push(`translate(${left}px, ${down}px)`);
  if (turn) parts.push(`rotate(${turn}deg)`);
  if (size !== 1) parts.push(`scale(${size})`);
  return parts.join(' ') || 'none';
}

/**
 * A function that paints `element` on its way from white (0) to `color` (1), in steps.
 *
 * Where several paint the same element, the one that is furthest on its way is seen.
 */
export function painter(element, color) {
  const all = (element.ecgPaint ??= { paints: [], written: '' });
  const own = { color, step: 0 };
  all.paints.push(own);
  // A stroke makes MotionText set a fill colour, which would win over `color`.
  element.style.webkitTextFillColor = 'currentcolor';
  return (amount) => {
    own.step = Math.round(amount * COLOR_STEPS);
    let front = own;
    for (const paint of all.paints) if (paint.step > front.step) front = paint;
    const written = mix(WHITE, front.color, front.step / COLOR_STEPS);
    if (written !== all.written) element.style.color = all.written = written;
  };
}
