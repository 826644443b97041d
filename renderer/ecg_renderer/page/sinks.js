/* Where records go: into shared memory, or, where that cannot be had, through the debugging protocol. */
import { HEADER_BYTES, header } from '/records.js';
import { toYuva } from '/yuva.js';

/** Batches on their way to the worker before the capture waits. */
const IN_FLIGHT = 3;

/** Records through the ring file (see ring-worker.js). */
export class RingSink {
  static async open(bytes, weights) {
    const sink = new RingSink();
    sink.worker = new Worker('/ring-worker.js', { type: 'module' });
    await new Promise((resolve, reject) => {
      sink.worker.onmessage = ({ data }) => (data === 'open' ? resolve() : reject(new Error(data)));
      sink.worker.onerror = (event) => reject(new Error(event.message || 'the ring worker did not start'));
      sink.worker.postMessage({ open: bytes, weights });
    });
    sink.inFlight = 0;
    sink.worker.onmessage = ({ data }) => sink.#answer(data);
    return sink;
  }

  async send(records) {
    if (this.failure) throw new Error(this.failure);
    this.inFlight++;
    this.worker.postMessage({ records }, records.filter((record) => record.pixels).map((record) => record.pixels));
    if (this.inFlight >= IN_FLIGHT) await new Promise((resolve) => (this.wake = resolve));
    if (this.failure) throw new Error(this.failure);
  }

  #answer(data) {
    if (data === 'taken') this.inFlight--;
    else this.failure = data;
    this.wake?.();
    this.wake = null;
  }
}

/** Records as base64, one whenever the renderer asks: slow, but always there. */
export class ProtocolSink {
  constructor(weights) {
    this.weights = weights;
    this.waiting = [];
  }

  /** Resolves when all `records` have been taken. */
  async send(records) {
    for (const record of records) {
      const text = toBase64(this.#bytesOf(record));
      await new Promise((taken) => {
        this.waiting.push({ text, taken });
        this.wake?.();
      });
    }
  }

  /** The next record, as soon as there is one. */
  async take() {
    if (!this.waiting.length) await new Promise((resolve) => (this.wake = resolve));
    const { text, taken } = this.waiting.shift();
    taken();
    return text;
  }

  #bytesOf(record) {
    const pixels = this.#pixelsOf(record);
    const bytes = new Uint8Array(HEADER_BYTES + pixels.byteLength);
    bytes.set(new Uint8Array(header(record, pixels.byteLength).buffer));
    bytes.set(pixels, HEADER_BYTES);
    return bytes;
  }

  #pixelsOf({ pixels, width, height }) {
    if (!pixels) return new Uint8Array();
    return this.weights ? toYuva(pixels, width, height, this.weights) : new Uint8Array(pixels);
  }
}

function toBase64(bytes) {
  if (bytes.toBase64) return bytes.toBase64();
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
