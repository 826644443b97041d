/* Parameters of a plugin: the scenario's values where they are sane, the manifest's defaults where they are not.
 *
 * NAME.json says for each parameter, in its `schema`: {type, default, description} and by type
 *     number   min, max (a value beyond is moved to the bound)
 *     boolean
 *     string   pattern, a regular expression for the whole value; or enum, a list of values
 *     color    becomes [red, green, blue]; default null, or a colour
 *     palette  an object of colours by name
 *     object   properties: parameters of its own
 * What does not count, or is moved, is told by scenario/plugins.py, which reads the same file.
 */
import { parseColor } from './color.mjs';

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

const READERS = {
  number({ min, max }, value) {
    const number = typeof value === 'string' && value.trim() ? Number(value) : value;
    return Number.isFinite(number) ? Math.min(max, Math.max(min, number)) : undefined;
  },
  boolean: (_, value) => (typeof value === 'boolean' ? value : undefined),
  string({ pattern, enum: values }, value) {
    if (typeof value !== 'string' || (values && !values.includes(value))) return undefined;
    return !pattern || new RegExp(`^(?:${pattern})$`, 'u').test(value) ? value : undefined;
  },
  color: (_, value) => parseColor(value) ?? undefined,
  palette: (_, value) => (isObject(value) ? value : undefined),
  object: ({ properties }, value) => readParams(properties, value),
};

/** Read `given`, whatever it is, by `schema`, a manifest's. */
export function readParams(schema, given) {
  const values = isObject(given) ? given : {};
  return Object.fromEntries(
    Object.entries(schema).map(([name, rule]) => {
      const read = (value) => READERS[rule.type](rule, value);
      return [name, read(Object.hasOwn(values, name) ? values[name] : undefined) ?? read(rule.default) ?? null];
    }),
  );
}
