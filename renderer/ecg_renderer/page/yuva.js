/* From the canvas's RGBA to the planes that FFmpeg overlays: only changed boxes, right matrix, chroma by alpha.
 *
 * Doing it here instead of in FFmpeg's graph converts a changed box once instead of the whole picture every frame.
 */

/**
 * @param rgba     ArrayBuffer of width * height straight-alpha pixels; width and height even
 * @param weights  {y, u, v: integer weights of R, G, B times 65536, black: luma of black}
 * @returns Uint8Array: planes Y, U, V, A in FFmpeg's yuva420p order, width * height * 5 / 2 bytes
 */
export function toYuva(rgba, width, height, weights) {
  const source = new Uint32Array(rgba);
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
