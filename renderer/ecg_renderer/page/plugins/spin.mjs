/* The text turns around its middle; the last angle stays.
 *
 * A channel, because the angle is to stay: MotionText keeps the last value of a channel.
 */
import { clamp } from './lib/motion.mjs';
import { readParams } from './lib/params.mjs';

export const manifest = {
  name: 'spin',
  version: '2.0.0',
  type: 'channel',
  description: 'The text turns around its middle and stays as it was turned last.',
  params: {
    fullTurns: { type: 'number', default: 1, minimum: -100, maximum: 100, description: 'turns in all, clockwise' },
  },
};

export function evalChannels(spec, progress) {
  const { fullTurns } = readParams(manifest.params, spec?.params);
  return { rot: 360 * fullTurns * clamp(progress) };
}
