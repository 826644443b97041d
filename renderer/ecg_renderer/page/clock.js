/* Time belongs to the renderer.
 *
 * Runs before every other script. Timers, animation frames, Date and performance.now are replaced, so that a
 * frame depends on its time alone and never on how fast this machine is. Callbacks that page code schedules run
 * only in `settle()`, once after loading; while frames are captured nothing fires by itself.
 */
(() => {
  const real = {
    setTimeout: window.setTimeout.bind(window),
    requestAnimationFrame: window.requestAnimationFrame.bind(window),
    now: performance.now.bind(performance),
  };
  const EPOCH_MS = Date.UTC(2000, 0, 1);
  const RealDate = Date;
  let nowMs = 0;
  let nextId = 1;
  let level = 0;
  const pending = new Map();

  const DISPLAY_MS = 1000 / 60;
  /** Browsers let no timer fire more often. */
  const SHORTEST_MS = 4;
  /** Timers that set timers, so many in a row, may not be quicker than that: else they would never come to an end. */
  const NESTED = 5;
  /** What sums of times are off by at most. */
  const NEARLY = 1e-6;

  /** A clock of its own for code of strangers: from `birth` on, a display of 60 Hz and timers, all by the video's time. */
  class Clock {
    constructor() {
      this.birth = nowMs;
      this.drawn = 0;
      this.pending = new Map();
    }

    /** Run `work` with all that it schedules belonging to this clock. */
    during(work) {
      const outer = owner;
      owner = this;
      try {
        return work();
      } finally {
        owner = outer;
      }
    }

    /**
     * Go on to the page's time: call `run(callback)` for what is due on the way, in order, and `draw(seconds)` at each
     * frame of the display while `busy()`. The page's time is that of each in turn, and in the end what it was.
     */
    advance(run, draw, busy) {
      const until = nowMs;
      for (;;) {
        const next = this.#next();
        const due = next?.due ?? Infinity;
        const frame = busy() ? this.birth + (this.drawn + 1) * DISPLAY_MS : Infinity;
        if (Math.min(frame, due) > until + NEARLY) break;
        if (due <= frame) {
          this.#take(next);
          nowMs = due;
          this.drawn = Math.max(this.drawn, Math.ceil((due - this.birth) / DISPLAY_MS - NEARLY) - 1);
          level = next.level;
          run(next.callback);
          level = 0;
        } else {
          nowMs = frame;
          this.drawn++;
          draw((frame - this.birth) / 1000);
        }
      }
      this.drawn = Math.max(this.drawn, Math.floor((until - this.birth) / DISPLAY_MS + NEARLY));
      nowMs = until;
    }

    #next() {
      let first = null;
      for (const entry of this.pending.values()) if (!first || entry.due < first.due) first = entry;
      return first;
    }

    #take(entry) {
      this.pending.delete(entry.id);
      if (entry.every) this.pending.set(entry.id, { ...entry, due: entry.due + entry.every });
    }

    /** When the display shows its next frame. */
    get nextFrame() {
      return this.birth + (Math.floor((nowMs - this.birth) / DISPLAY_MS + NEARLY) + 1) * DISPLAY_MS;
    }
  }

  let owner = null;

  const add = (callback, due, { every = 0, nested = level + 1 } = {}) => {
    const id = nextId++;
    if (typeof callback === 'function') (owner?.pending ?? pending).set(id, { id, callback, due, every, level: nested });
    return id;
  };
  const later = (callback, delay, args) => {
    const shortest = level < NESTED ? 0 : SHORTEST_MS;
    return add(callback && (() => callback(...args)), nowMs + Math.max(shortest, Number(delay) || 0));
  };
  const cancel = (id) => void (pending.delete(id) || owner?.pending.delete(id));

  window.setTimeout = (callback, delay, ...args) => later(callback, delay, args);
  window.setInterval = (callback, delay, ...args) => {
    const every = Math.max(SHORTEST_MS, Number(delay) || 0);
    return add(callback && (() => callback(...args)), nowMs + every, { every });
  };
  // The display is no timer: those that its frames set are the first of theirs.
  window.requestAnimationFrame = (callback) => add(callback && (() => callback(nowMs)), owner?.nextFrame ?? nowMs, { nested: 0 });
  window.requestIdleCallback = (callback) => later(callback, 0, [{ didTimeout: false, timeRemaining: () => 0 }]);
  window.clearTimeout = cancel;
  window.clearInterval = cancel;
  window.cancelAnimationFrame = cancel;
  window.cancelIdleCallback = cancel;
  performance.now = () => nowMs;
  window.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length ? args : [EPOCH_MS + nowMs]));
    }
    static now() {
      return EPOCH_MS + nowMs;
    }
  };

  window.ecgClock = Object.freeze({
    real,
    Clock,
    /** What is scheduled from now on belongs to `clock`; null: to the page. */
    belongTo(clock) {
      owner = clock;
    },
    /** In ms. */
    now: () => nowMs,
    /** Set the page's time, in seconds. */
    set(seconds) {
      nowMs = seconds * 1000;
    },
    /** Run what page code has scheduled, in order of due time, for at most `rounds` generations. */
    settle(rounds = 4) {
      for (let round = 0; round < rounds && pending.size; round++) {
        const due = [...pending.entries()].sort((a, b) => a[1].due - b[1].due || a[0] - b[0]);
        for (const [id, { callback }] of due) if (pending.delete(id)) callback();
      }
      pending.clear();
    },
  });
})();
