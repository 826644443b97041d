/* Curves. All take and give plain numbers; time runs from 0 to 1. */

export const clamp = (t) => Math.min(1, Math.max(0, t || 0));

export const lerp = (from, to, t) => from + (to - from) * t;

/** Where the part from `start` to `end` of the time stands at `t`, 0 to 1. */
export const within = (t, start, end) => clamp((t - start) / (end - start));

/** Slow, fast, slow. */
export const smooth = (t) => t * t * (3 - 2 * t);

/** Fast, then slow; the usual way of things that arrive. */
export const arrive = (t) => 1 - (1 - t) ** 3;

/** Arrives, goes a tenth too far and comes back. */
export const arriveBeyond = (t) => 1 + 2.70158 * (t - 1) ** 3 + 1.70158 * (t - 1) ** 2;

/** A full turn of a sine: `t` counts turns. */
export const wave = (t) => Math.sin(2 * Math.PI * t);

/** Up to 1 and back to 0, slowly at all ends: `t` counts how often. */
export const swell = (t) => (1 - Math.cos(2 * Math.PI * t)) / 2;

/** A spring, stretched to 1 at t = 0, at rest at t = 1; it first swings to the other side by about `rebound`. */
export function spring(swings, rebound) {
  const decay = -2 * swings * Math.log(rebound);
  return (t) => Math.exp(-decay * t) * Math.cos(2 * Math.PI * swings * t) * (1 - t ** 3);
}

/** One of gsap's eases by its name, or, without gsap, one that arrives. */
export const easeCalled = (name, gsap) => gsap?.parseEase(name) ?? arrive;

/**
 * Progress of each of `count` parts that start one after another.
 *
 * All last `duration`, each starts `delay` later than the one before, and the last ends at t = 1: durations count
 * relative to each other only. Returns a function of (t, index).
 */
export function staggered(count, duration, delay) {
  const total = duration + delay * Math.max(0, count - 1);
  return (t, index) => clamp((t * total - index * delay) / duration);
}
