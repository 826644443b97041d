/* Parameters of a plugin: the scenario's values where they are sane, the manifest's defaults where they are not.
 *
 * A manifest says for each parameter: {type, default, description} and by type
 *     number   minimum, maximum (a value beyond is moved to the bound)
 *     boolean
 *     string   pattern, a regular expression without flags for the whole value
 *     color    becomes [red, green, blue]; default null
 *     palette  an object of colours by name
 *     object   properties: parameters of its own
 */
import { parseColor } from './color.mjs';

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

const READERS = {
  number({ minimum, maximum }, value) {
    const number = typeof value === 'string' && value.trim() ? Number(value) : value;
    return Number.isFinite(number) ? Math.min(maximum, Math.max(minimum, number)) : undefined;
  },
  boolean: (_, value) => (typeof value === 'boolean' ? value : undefined),
  string: ({ pattern }, value) => (typeof value === 'string' && new RegExp(`^(?:${pattern})$`).test(value) ? value : undefined),
  color: (_, value) => parseColor(value) ?? undefined,
  palette: (_, value) => (isObject(value) ? value : undefined),
  object: ({ properties }, value) => readParams(properties, value),
};

/** Read `given`, whatever it is, by `schema`, a manifest's `params`. */
export function readParams(schema, given) {
  const values = isObject(given) ? given : {};
  return Object.fromEntries(
    Object.entries(schema).map(([name, rule]) => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      return [name, READERS[rule.type](rule, value) ?? rule.default];
    }),
  );
}

/** The parameters by which captions take a speaker's colour; speakerColor() reads them. */
export const SPEAKER_PARAMS = {
  speaker: { type: 'string', pattern: '.*', default: '', description: 'who speaks: a name in the palette' },
  palette: { type: 'palette', default: {}, description: 'colours by speaker' },
  color: { type: 'color', default: null, description: 'colour to use instead of the palette' },
};

const EASES = 'none|(?:power[0-4]|sine|expo|circ|back|elastic|bounce)(?:\\.(?:in|out|inOut))?';

/** An ease by name; easeCalled() finds it. */
export const EASE_PARAM = { type: 'string', pattern: EASES, default: 'power2.out', description: "one of gsap's eases" };
