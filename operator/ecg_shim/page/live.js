// Follows the playlist of a job that is being rendered, by hls.js, or by the browser where that knows HLS itself.

const DURATION = "dev.ecg.render.duration";
const WAIT_SECONDS = 1;

// Plays `address` in `video` from the beginning. `said` gets what is there of the whole, in words; `failed` is called
// when it cannot be played. Returns { stop }.
export function follow(address, video, { said, failed }) {
  const stopped = new AbortController();
  let hls = null;
  start().catch((error) => stopped.signal.aborted || failed(error));
  return { stop: () => { stopped.abort(); hls?.destroy(); } };

  async function start() {
    const loading = import("/page/hls.min.mjs").catch(() => null);
    said("Waiting for the first seconds…");
    await beginning(address, stopped.signal);
    said("");
    const library = (await loading)?.default;
    if (stopped.signal.aborted) return;
    if (library?.isSupported()) hls = attach(library);
    else if (video.canPlayType("application/vnd.apple.mpegurl")) video.src = address;
    else throw new Error("No player for HLS.");
    video.play().catch(() => {});
  }

  function attach(Hls) {
    // A worker would be a script from a blob, which the page forbids; for fragmented MP4 there is no work for it.
    const player = new Hls({ enableWorker: false, startPosition: 0 });
    let whole = 0;
    player.on(Hls.Events.MANIFEST_LOADED, (_, { sessionData }) => { whole = Number(sessionData?.[DURATION]?.VALUE ?? 0); });
    player.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => said(words(details.totalduration, whole, !details.live)));
    player.on(Hls.Events.ERROR, (_, error) => {
      if (!error.fatal) return;
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR) player.recoverMediaError();
      else if (error.type === Hls.ErrorTypes.NETWORK_ERROR) setTimeout(() => stopped.signal.aborted || player.startLoad(), WAIT_SECONDS * 1000);
      else failed(error);
    });
    player.loadSource(address);
    player.attachMedia(video);
    return player;
  }
}

async function beginning(address, signal) {
  while (!signal.aborted) {
    const answer = await fetch(address, { signal, cache: "no-store" });
    if (answer.ok) return;
    if (answer.status !== 503) throw new Error(`status ${answer.status}`);
    await new Promise((done) => setTimeout(done, WAIT_SECONDS * 1000));
  }
}

function words(there, whole, ended) {
  const [finished, all] = [Math.round(there), Math.round(whole)];
  if (!ended) return `${finished} s of ${all} s are rendered.`;
  return finished < all ? `Rendering ended after ${finished} s of ${all} s.` : `All ${all} s are rendered.`;
}
