/* From the canvas's RGBA to the planes that FFmpeg overlays: only changed boxes, right matrix, chroma by alpha.
 *
 * Doing it here instead of in FFmpeg's graph converts a changed box once instead of the whole picture every frame.
 */

/**
 * @param rgba     ArrayBuffer of width * height straight-alpha pixels; width and height even
 * @param weights  {y, u, v: integer weights of R, G, B times 65536, black: luma of black,
 *                 relighting: null, or the tables of colour.py's Relighting}
 * @returns Uint8Array: planes Y, U, V, A in FFmpeg's yuva420p order, width * height * 5 / 2 bytes
 */
export function toYuva(rgba, width, height, weights) {
  const source = weights.relighting ? relit(new Uint32Array(rgba), weights.relighting) : new Uint32Array(rgba);
  const luma = width * height;
  const out = new Uint8Array(luma * 2 + luma / 2);
  const alphaAt = luma + luma / 2;
  const [yr, yg, yb] = weights.y;
  const bias = (weights.black << 16) + 32768;
  let last = 0;
  let lastY = weights.black;
  for (let i = 0; i < luma; i++) {
    const pixel = source[i];
    if (pixel !== last) {
      last = pixel;
      lastY = ((pixel & 255) * yr + ((pixel >>> 8) & 255) * yg + ((pixel >>> 16) & 255) * yb + bias) >> 16;
    }
    out[i] = lastY;
    out[alphaAt + i] = pixel >>> 24;
  }
  writeChroma(source, out, width, height, weights);
  return out;
}

const curves = new WeakMap();

/** The value for each light: a table of what `steps` says in 255 numbers. */
function curveOf(tables) {
  if (!curves.has(tables)) {
    const curve = new Uint8Array(tables.steps[254] + 1);
    tables.steps.forEach((from, index) => curve.fill(index + 1, from));
    curves.set(tables, curve);
  }
  return curves.get(tables);
}

/** The same pixels in the video's primaries and curve; what is wholly transparent stays as it is. */
function relit(source, tables) {
  const { light, mix, luma, gain } = tables;
  const curve = curveOf(tables);
  const brightest = curve.length - 1;
  const out = new Uint32Array(source.length);
  let last = 0;
  let result = 0;
  for (let i = 0; i < source.length; i++) {
    const pixel = source[i];
    if (pixel !== last) {
      last = pixel;
      const r = light[pixel & 255];
      const g = light[(pixel >>> 8) & 255];
      const b = light[(pixel >>> 16) & 255];
      const mixed = mix.map((row) => Math.min(65535, Math.floor((r * row[0] + g * row[1] + b * row[2] + 32768) / 65536)));
      let factor = 4096;
      if (gain.length) {
        const bright = mixed[0] * luma[0] + mixed[1] * luma[1] + mixed[2] * luma[2];
        factor = gain[Math.floor(bright / 1048576)];
      }
      const [red, green, blue] = mixed.map((value) => curve[Math.min(brightest, Math.floor((value * factor) / 4096))]);
      result = ((pixel & 0xff000000) | (blue << 16) | (green << 8) | red) >>> 0;
    }
    out[i] = result;
  }
  return out;
}

function writeChroma(source, out, width, height, { u, v }) {
  const [ur, ug, ub] = u.map((weight) => weight / 65536);
  const [vr, vg, vb] = v.map((weight) => weight / 65536);
  let uAt = width * height;
  let vAt = uAt + (width * height) / 4;
  for (let row = 0; row < height; row += 2) {
    let i = row * width;
    for (const end = i + width; i < end; i += 2, uAt++, vAt++) {
      const p = source[i];
      const q = source[i + 1];
      const s = source[i + width];
      const t = source[i + width + 1];
      let r, g, b;
      if (p === q && p === s && p === t) {
        if (p >>> 24 === 0) {
          out[uAt] = out[vAt] = 128;
          continue;
        }
        r = p & 255;
        g = (p >>> 8) & 255;
        b = (p >>> 16) & 255;
      } else {
        const pa = p >>> 24;
        const qa = q >>> 24;
        const sa = s >>> 24;
        const ta = t >>> 24;
        const opacity = pa + qa + sa + ta || 1;
        r = ((p & 255) * pa + (q & 255) * qa + (s & 255) * sa + (t & 255) * ta) / opacity;
        g = (((p >>> 8) & 255) * pa + ((q >>> 8) & 255) * qa + ((s >>> 8) & 255) * sa + ((t >>> 8) & 255) * ta) / opacity;
        b = (((p >>> 16) & 255) * pa + ((q >>> 16) & 255) * qa + ((s >>> 16) & 255) * sa + ((t >>> 16) & 255) * ta) / opacity;
      }
      // In full range, half a step above 255 is left for pure blue and pure red.
      out[uAt] = Math.min(r * ur + g * ug + b * ub + 128.5, 255);
      out[vAt] = Math.min(r * vr + g * vg + b * vb + 128.5, 255);
    }
  }
}
