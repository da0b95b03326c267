// What is behind the last leaf of a log that was given (docs/evidence-format.md, 8 and 9).
import { dirname } from "node:path";
import { canHold, without } from "./held.mjs";
import { seqOf, startOf } from "./leaf.mjs";
import { hold, most, tell, told } from "./lib.mjs";

const namesOf = (list) => list.map(({ name }) => name);

// No head has another root; and nothing is missing behind the end, up to the largest. That is said once, of the one
// segment that receipts name and nobody gave, if it can lie there; where the last one is cut short, that is said.
export function leadsTo(history, heads, excerpt) {
  const { log, origin, purged, end: own } = history, last = history.placed.at(-1);
  for (const head of heads) {
    const right = !log.roots.has(head.size) || history.has(head);
    hold(right, "fork", "", `${origin} does not lead to ${head.told ?? "the later head"}`);
  }
  if (told.some(({ what, where }) => what === "truncated-segment" && where === last?.name)) return;
  // An excerpt asks for its recordings: later segments of one without end are what receipts and notes beside it say.
  const homeOf = (recording) => dirname((history.of(recording)[0] ?? history.holding(startOf(recording)))?.place ?? "");
  const goesOn = (recording) => log.recordings.get(recording)?.ended === false && history.claims(recording);
  const isAsked = ({ name, place }) => !excerpt ||
    (goesOn(name.slice(0, 20)) && dirname(place ?? "") === homeOf(name.slice(0, 20)));
  const placed = (list, key) => list.flatMap(({ place, [key]: all }) => all.map((one) => ({ ...one, place })));
  const lines = placed(history.cosigned, "stored").filter(isAsked), gone = namesOf(purged);
  const noted = placed(history.notes, "gone").filter((one) => gone.includes(one.name) && isAsked(one));
  const before = lines.filter(({ end }) => end <= own); // by the leaves that a receipt gives them
  const known = new Set([...history.names(), ...namesOf(history.behind), ...namesOf(before)]);
  const [name, ...more] = [...new Set(namesOf(lines))].filter((one) => !known.has(one));
  const isNext = ({ name: one }) => !history.spool && !known.has(one) &&
    history.of(one.slice(0, 20)).every((other) => seqOf(other.name) < seqOf(one));
  const later = lines.filter((one) => (one.first === undefined ? isNext(one) : one.first >= own));
  const shown = excerpt ? later.map(({ end }) => end ?? own + 1) : heads.map(({ size }) => size);
  const end = most([0, ...shown, ...noted.map(({ first }) => first)]);
  for (const [from, to] of without([...history.beside, ...purged, ...history.behind, ...history.missed], own, end)) {
    const text = `${origin} does not lead to the later head: leaves ${from} to ${to - 1} are in no segment`;
    tell("missing-segment", name && more.length === 0 && canHold(name, from, to) ? name : "", text);
  }
}
