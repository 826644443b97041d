/* The families that come with the renderer: all that is needed of them is here before the first frame. */

/** Faces that were made, by family and address: each file is fetched once. */
const made = new Map();
let shown = [];
let last = null;

function faceOf({ family, installed, url, weight, range }) {
  const key = `${family}\n${url}`;
  if (!made.has(key)) {
    const source = `${installed ? `local(${JSON.stringify(installed)}), ` : ''}url(${JSON.stringify(url)})`;
    made.set(key, new FontFace(family, source, range ? { weight, unicodeRange: range } : {}));
  }
  return made.get(key);
}

/** A font of the scenario's own; none where its name is none that CSS takes. */
function ownFace([family, url]) {
  try {
    return [faceOf({ family, url })];
  } catch {
    return [];
  }
}

/** Load what a text needs; a weight that CSS does not know is none. */
function load({ family, weight, text }) {
  const known = CSS.supports('font', `${weight} 16px serif`) ? weight : 'normal';
  return document.fonts.load(`${known} 16px ${JSON.stringify(family)}`, text);
}

/**
 * Load those of `faces` that `texts` are written in (see served.py for both), and `own`, the scenario's: {family: data:
 * address}, in place of those of the last call.
 *
 * @returns what the last call was given, or null. The others are not left for Chromium to fetch: they would come in the middle of a film.
 */
export async function loadFonts(fonts) {
  const { faces, texts, own } = fonts;
  for (const face of shown) document.fonts.delete(face);
  const brought = Object.entries(own).flatMap(ownFace);
  // A broken file stands for nothing: the next family of the list stands in.
  await Promise.all(brought.map((face) => face.load().catch(() => null)));
  shown = [...brought, ...faces.map(faceOf)];
  for (const face of shown) document.fonts.add(face);
  const loaded = await Promise.all(texts.map(load));
  const needed = new Set([...brought, ...loaded.flat()]);
  for (const face of shown) if (!needed.has(face)) document.fonts.delete(face);
  const before = last;
  last = fonts;
  return before;
}
