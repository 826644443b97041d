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

const ofThePage = generator('page');
let active = ofThePage;
Math.random = () => active();

crypto.getRandomValues = (array) => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(Math.random() * 256);
  return array;
};
crypto.randomUUID = () => {
  const digits = Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16)).join('');
  return digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5');
};

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

  /** Let Math.random draw from this stream from now on; `RandomStream.ofThePage()` ends it. */
  lead() {
    active = this.next;
  }

  static ofThePage() {
    active = ofThePage;
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
