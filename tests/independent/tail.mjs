// What is behind the last leaf of a log that was given (docs/evidence-format.md, 8 and 9).
import { canHold, without } from "./held.mjs";
import { seqOf } from "./leaf.mjs";
import { failing, hold, most, tell } from "./lib.mjs";

const namesOf = (list) => list.map(({ name }) => name);

// No head has another root; and nothing is missing behind the end, up to the largest. That is said once, of the one
// segment that receipts name and nobody gave, if it can lie there. Where damage hides the end, that fails by itself.
export function leadsTo(history, heads, excerpt) {
  const { log, origin, placed, purged, end: own } = history;
  for (const head of heads) {
    const right = !log.roots.has(head.size) || history.has(head);
    hold(right, "fork", "", `${origin} does not lead to ${head.told ?? "the later head"}`);
  }
  if (placed.length > 0 && failing(placed.at(-1).name)) return;
  // An excerpt asks for its recordings: what receipts and notes say of later segments of one without end shows it.
  const goesOn = (recording) => log.recordings.get(recording)?.ended === false && history.claims(recording);
  const isAsked = ({ name }) => !excerpt || goesOn(name.slice(0, 20));
  const lines = history.cosigned.flatMap(({ stored }) => stored).filter(isAsked);
  const before = lines.filter(({ end }) => end <= own); // by the leaves that a receipt gives them
  const known = new Set([...history.names(), ...namesOf(history.behind), ...namesOf(before)]);
  const [name, ...more] = [...new Set(namesOf(lines))].filter((one) => !known.has(one));
  const isNext = ({ name: one }) => !history.spool && !known.has(one) &&
    history.of(one.slice(0, 20)).every((other) => seqOf(other.name) < seqOf(one));
  const later = lines.filter((one) => (one.first === undefined ? isNext(one) : one.first >= own));
  const shown = excerpt ? later.map(({ end }) => end ?? own + 1) : heads.map(({ size }) => size);
  const end = most([0, ...shown, ...purged.filter(isAsked).map(({ first }) => first)]);
  for (const [from, to] of without([...history.beside, ...purged, ...history.behind, ...history.missed], own, end)) {
    const text = `${origin} does not lead to the later head: leaves ${from} to ${to - 1} are in no segment`;
    tell("missing-segment", name && more.length === 0 && canHold(name, from, to) ? name : "", text);
  }
}
