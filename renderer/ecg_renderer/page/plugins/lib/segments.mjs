/* Where a text may be taken apart: words at breaking spaces, letters at what a reader sees as one letter. */

/** Spaces that collapse or end a line; a no-break space belongs to its word. */
const SPACE = /([ \t\n\r\f\u1680\u2000-\u2006\u2008-\u200b\u205f\u3000]+)/;

/** Scripts whose letters change shape beside each other: a letter alone would be another letter. */
const JOINED = new RegExp(
  [
    'Arabic', 'Syriac', 'Mongolian', 'Nko', 'Mandaic', 'Adlam', 'Hanifi_Rohingya', 'Phags_Pa',
    'Devanagari', 'Bengali', 'Gurmukhi', 'Gujarati', 'Oriya', 'Tamil', 'Telugu', 'Kannada', 'Malayalam', 'Sinhala',
    'Khmer', 'Myanmar', 'Tibetan', 'Javanese', 'Balinese', 'Sundanese', 'Meetei_Mayek', 'Tai_Tham',
  ].map((script) => `\\p{Script=${script}}`).join('|'),
  'u',
);

/** Letters and marks that turn the direction of writing; boxes made of them would stand in the wrong order. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\u200f\u202b\u202e\u2067\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

const GRAPHEMES = new Intl.Segmenter('en', { granularity: 'grapheme' });

export const isSpace = (text) => SPACE.test(text);

export const runsRightToLeft = (text) => RIGHT_TO_LEFT.test(text);

/** Words and the spaces between them, in order; together they are `text`. */
export const words = (text) => text.split(SPACE).filter(Boolean);

/** Letters (grapheme clusters) of one word; a word of a joined script is one letter. */
export function letters(word) {
  if (JOINED.test(word)) return [word];
  return Array.from(GRAPHEMES.segment(word), ({ segment }) => segment);
}
