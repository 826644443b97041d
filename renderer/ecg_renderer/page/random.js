/* Seeded randomness: Math.random gives the same numbers for the same (node, plugin), whatever else runs. */

/** Hash a string to 32 bits (FNV-1a). */
function hash(text) {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** A generator of numbers in [0, 1), seeded by a text: xorshift over a mixed counter. */
function generator(seed) {
  let state = hash(seed) || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (Math.imul(state, 0x9e3779b1) >>> 0) / 4294967296;
  };
}

let active = generator('page');
Math.random = () => active();

/** A stream of randomness that belongs to one plugin on one node. */
export class RandomStream {
  constructor(seed) {
    this.seed = seed;
    this.restart();
  }

  /** Begin again, as a fresh mount does. */
  restart() {
    this.next = generator(this.seed);
  }

  /** Run `work` with Math.random drawing from this stream. */
  during(work) {
    const outer = active;
    active = this.next;
    try {
      return work();
    } finally {
      active = outer;
    }
  }
}
