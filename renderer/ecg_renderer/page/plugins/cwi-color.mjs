/* Letters turn from white to the speaker's colour, left to right, as the word is spoken. The colour stays. */
import manifest from './cwi-color.json' with { type: 'json' };
import { speakerColor } from './lib/color.mjs';
import { painter } from './lib/look.mjs';
import { clamp } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';
import { inlineLetters, wholeText } from './lib/split.mjs';

export { manifest };
export { restore as cleanup } from './lib/split.mjs';

export function animate(root, given) {
  const params = readParams(manifest.schema, given);
  const color = speakerColor(params);
  if (!color) return () => {};
  const parts = params.bulk ? wholeText(root, manifest.name) : inlineLetters(root, manifest.name);
  const paint = parts.map((part) => painter(part, color));
  return (progress) => {
    const swept = clamp(progress) * paint.length;
    paint.forEach((setAmount, i) => setAmount(clamp(swept - i)));
  };
}
