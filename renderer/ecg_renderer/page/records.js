/* What the page tells the renderer, as bytes: a fixed header and, for pictures, their pixels. */

export const HEADER_BYTES = 32;

/** Kinds of record; the reader in Python has the same numbers. */
export const Kind = Object.freeze({
  /** Nothing more in this lap of the ring. */
  SKIP: 0,
  /** A box of the picture of `frame`; outside it the picture is that of the frame before. */
  PATCH: 1,
  /** The whole box of `frame`, already sent as patches: proof that they add up. */
  CHECK: 2,
  /** All frames of `block` up to `frame` (exclusive) have been looked at. */
  BLOCK_END: 3,
  /** Nothing follows. */
  END: 4,
  /** The picture of `frame` reaches out of the captured box; x, y, width, height say how far. */
  OUTGROWN: 5,
  /** Frames before `block` are being replayed: a sign of life. */
  REPLAYING: 6,
});

/** Encode a record's header, its picture being `payload` bytes: eight little-endian 32-bit words. */
export function header({ kind, frame = 0, x = 0, y = 0, width = 0, height = 0, block = 0 }, payload) {
  return new Int32Array([kind, frame, x, y, width, height, block, payload]);
}
