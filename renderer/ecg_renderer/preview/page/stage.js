/* In the sandboxed frame with the caption stage: does what the page around it says. */

/** Frames that are gone through one by one, as a render does; more is a jump. */
const STEPS = 15;

let shown = null;
let loading = Promise.resolve();

async function load({ load: config, id }) {
  shown = null;
  try {
    await window.ecg.load(config);
    parent.postMessage({ loaded: id }, '*');
  } catch (error) {
    parent.postMessage({ failed: id, message: String(error.message ?? error) }, '*');
  }
}

async function show({ show: frame, replay }) {
  if (shown !== null && frame > shown && frame - shown <= STEPS) {
    for (let n = shown + 1; n <= frame; n++) await window.ecg.seek(n);
  } else {
    await window.ecg.showFrame(frame, replay);
  }
  shown = frame;
}

addEventListener('message', ({ data, source }) => {
  if (source !== parent) return;
  if (data.load) loading = loading.then(() => load(data));
  else loading = loading.then(() => show(data)).catch((error) => parent.postMessage({ problem: String(error.message ?? error) }, '*'));
});
parent.postMessage({ ready: true }, '*');
