/* Letters turn from white to the speaker's colour, left to right, as the word is spoken. The colour stays. */
import { speakerColor } from './lib/color.mjs';
import { painter } from './lib/look.mjs';
import { clamp } from './lib/motion.mjs';
import { SPEAKER_PARAMS, readParams } from './lib/params.mjs';
import { inlineLetters, wholeText } from './lib/split.mjs';

export { restore as cleanup } from './lib/split.mjs';

export const manifest = {
  name: 'cwi-color',
  version: '2.0.0',
  type: 'dom',
  description: "Letters take the speaker's colour one after another.",
  params: {
    ...SPEAKER_PARAMS,
    bulk: { type: 'boolean', default: false, description: 'colour the whole word at once' },
  },
};

export function animate(root, given) {
  const params = readParams(manifest.params, given);
  const color = speakerColor(params);
  if (!color) return () => {};
  const parts = params.bulk ? wholeText(root, manifest.name) : inlineLetters(root, manifest.name);
  const paint = parts.map((part) => painter(part, color));
  return (progress) => {
    const swept = clamp(progress) * paint.length;
    paint.forEach((setAmount, i) => setAmount(clamp(swept - i)));
  };
}
