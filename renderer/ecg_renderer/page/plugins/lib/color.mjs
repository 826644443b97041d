/* Colours from scenarios: what a browser takes for a colour, as [red, green, blue] of 0 to 255; never transparent. */

const LONGEST = 256;

/** The colour that `text` names, or null if it names none. */
export function parseColor(text) {
  if (typeof text !== 'string' || text.length > LONGEST) return null;
  const known = normalized(text);
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/.exec(known);
  if (hex) return hex.slice(1).map((pair) => parseInt(pair, 16));
  const rgba = /^rgba\((\d+), (\d+), (\d+), ([\d.]+)\)$/.exec(known);
  if (rgba) return Number(rgba[4]) > 0 ? rgba.slice(1, 4).map(Number) : null;
  return painted(known);
}

/** `text` as a canvas says it: #rrggbb if opaque, rgba() if not; transparent if it is no colour. */
function normalized(text) {
  if (/^#[0-9a-f]{6}$/i.test(text)) return text.toLowerCase();
  const pen = new OffscreenCanvas(1, 1).getContext('2d');
  pen.fillStyle = 'transparent';
  if (!/currentcolor/i.test(text)) pen.fillStyle = text;
  return pen.fillStyle;
}

/** What a colour of another space, oklch() or lab(), looks like on a screen: what a pixel of it is. */
function painted(color) {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
  return alpha ? [red, green, blue] : null;
}

/** The colour of a speaker: `color` if it is one, else the palette's entry for `speaker`, else null. */
export function speakerColor({ color, palette, speaker }) {
  return color ?? parseColor(palette[speaker]);
}

/** The CSS colour that lies `amount` (0 to 1) of the way from one colour to another. */
export function mix(from, to, amount) {
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * amount)).join(', ')})`;
}
