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
  const pending = new Map();

  const schedule = (callback, delay) => {
    const id = nextId++;
    if (typeof callback === 'function') pending.set(id, { callback, due: nowMs + Math.max(0, Number(delay) || 0) });
    return id;
  };
  const cancel = (id) => void pending.delete(id);

  window.setTimeout = (callback, delay, ...args) => schedule(() => callback(...args), delay);
  window.setInterval = (callback, delay, ...args) => schedule(() => callback(...args), delay);
  window.requestAnimationFrame = (callback) => schedule(() => callback(nowMs), 0);
  window.requestIdleCallback = (callback) => schedule(() => callback({ didTimeout: false, timeRemaining: () => 0 }), 0);
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
