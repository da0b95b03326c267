// What a later epoch says of those before it (2, 8): which log it follows, and what was left over of them.
import { byName, elsewhere, sameFile, standing, unexplained, within, without } from "./held.mjs";
import { failing, hex, hold, sameBytes, tell } from "./lib.mjs";
import { splitOrigin } from "./signed.mjs";

// The log before it, of which `others` have some.
export function follows({ origin, log }, histories, heads, excerpt, others) {
  const { follows: head, counted } = log, old = histories.find((one) => one.origin === head.origin);
  if (head.size === 0 || (excerpt && !old)) return;
  const same = heads.filter((one) => one.origin === head.origin && one.size === head.size);
  const right = same.every(({ root }) => sameBytes(root, head.root));
  hold(right, "bad-epoch", "", `${origin} follows a head that another one contradicts`);
  for (const [first, end] of old ? [] : unexplained(byName(others, new Set()), 0, head.size, null, "")) {
    tell("missing-segment", "", `the log that ${origin} follows is missing: leaves ${first} to ${end - 1}`);
  }
  if (!old) return;
  hold(old.end <= head.size, "fork", "", `${head.origin} goes on after ${origin} says that it ended`);
  const last = old.log.counter; // what the hardware counts goes on from one log to the next (3)
  if (log.left || old.log.next !== head.size || last === null || counted === undefined) return;
  hold(counted <= last + 1n, "counter-jump", "", `the start counter skips to the first of ${origin}`);
  hold(counted > last, "counter-back", "", `the start counter does not go up to the first of ${origin}`);
}

// A log of which no segment is given, though a card or a station that is had it (8): what no note explains, nor any of
// `others` of a card, is missing.
export function absent(origin, size, notes, others) {
  const gone = standing(notes.filter((one) => one.origin === origin).flatMap((note) => note.gone), [], []);
  const lacks = others ? unexplained(byName(others, new Set()), 0, size, null, "") : [[0, size]];
  for (const [first, end] of lacks.flatMap(([from, to]) => [...without(gone, from, to)])) {
    tell("missing-segment", "", `of ${origin} no segment is given: leaves ${first} to ${end - 1} are missing`);
  }
}

// What was left over of earlier epochs is there (8), or others have it; or bytes that something signed names in its
// place are so. In which of them it is nobody signed: its name alone says of what.
export function checkKept({ origin, log, spool }, files, histories, cosigned) {
  if (log.kept.length === 0) return;
  const { stem, epoch } = splitOrigin(origin), before = `${stem}/${epoch - 1}`, isEarlier = within(before, 1);
  const goneIn = (some) => some.flatMap(({ notes }) => notes.flatMap(({ gone }) => gone));
  const old = histories.filter(isEarlier);
  const had = [...goneIn(histories), ...(spool ? elsewhere(before, cosigned, histories, 1) : [])];
  const stored = cosigned.filter(isEarlier).flatMap((one) => one.stored);
  const signed = [...old.flatMap((history) => history.log.seals), ...goneIn(old), ...stored];
  for (const one of log.kept) {
    const own = files.filter(({ name }) => name === one.name), body = Number(one.size) - 1024; // without a trailer
    const begins = ({ data }) => one.whole && body > 0 && body < data.length &&
      hex(data.subarray(0, body), Buffer.alloc(1024)) === one.sha256;
    const accounted = (word) => [...own, ...had].some(sameFile(word));
    const whole = one.whole && own.some((file) => !file.open && isEarlier(file)); // and does not fail
    const there = own.some(begins) || whole || [one, ...signed.filter(({ name }) => name === one.name)].some(accounted);
    hold(there || failing(one.name), "missing-segment", one.name, `what a kept leaf of ${origin} names is not here`);
  }
}
