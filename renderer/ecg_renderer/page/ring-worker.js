/* Writes records into a ring file that the renderer has mapped into its memory.
 *
 * The file is in the origin's private file system; the browser's profile lies on a memory file system, so a write
 * here is one copy and a read there none. Layout: a control page {magic, version, data bytes, 0 | written u64 |
 * acknowledged u64}, then the data. Positions count bytes for ever; modulo the data size they are offsets.
 */
import { HEADER_BYTES, Kind, header } from '/records.js';
import { toYuva } from '/yuva.js';

const CONTROL_BYTES = 4096;
const MAGIC = 0x52474345;
const VERSION = 1;
const POLL_MS = 20;

let file;
let size;
let written = 0;
let acknowledged = 0;
let weights;
let work = Promise.resolve();

async function open(bytes, conversion) {
  weights = conversion;
  const folder = await navigator.storage.getDirectory();
  const entry = await folder.getFileHandle('ecg-ring', { create: true });
  file = await entry.createSyncAccessHandle();
  size = bytes;
  file.truncate(CONTROL_BYTES + size);
  file.write(new Uint32Array([MAGIC, VERSION, size, 0, 0, 0, 0, 0]), { at: 0 });
  file.flush();
  postMessage('open');
}

function publish() {
  file.write(new BigUint64Array([BigInt(written)]), { at: 16 });
}

/** Wait until `bytes` more fit. The reader is behind by a whole ring then: looking often would only cost CPU time. */
async function room(bytes) {
  if (written + bytes - acknowledged <= size) return;
  publish();
  const word = new BigUint64Array(1);
  for (;;) {
    file.read(word, { at: 24 });
    acknowledged = Number(word[0]);
    if (written + bytes - acknowledged <= size) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The bytes of a record's picture in the layout that was asked for. */
function payloadOf({ pixels, width, height }) {
  if (!pixels) return null;
  return weights ? toYuva(pixels, width, height, weights) : new Uint8Array(pixels);
}

async function write(record) {
  const pixels = payloadOf(record);
  const payload = pixels ? pixels.byteLength : 0;
  const bytes = HEADER_BYTES + Math.ceil(payload / 8) * 8;
  const left = size - (written % size);
  if (left < bytes) {
    await room(left);
    if (left >= HEADER_BYTES) file.write(header({ kind: Kind.SKIP }, 0), { at: CONTROL_BYTES + (written % size) });
    written += left;
  }
  await room(bytes);
  const at = CONTROL_BYTES + (written % size);
  file.write(header(record, payload), { at });
  if (payload) file.write(pixels, { at: at + HEADER_BYTES });
  written += bytes;
}

async function writeAll(records) {
  for (const record of records) await write(record);
  publish();
  postMessage('taken');
}

onmessage = ({ data }) => {
  work = work.then(() => (data.open ? open(data.open, data.weights) : writeAll(data.records))).catch((error) => postMessage(`failed: ${error}`));
};
