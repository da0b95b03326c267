// What a card's spool lacks and others have (8, "Held elsewhere"): which leaves, that follows from names and sizes.
import { seqOf, startOf } from "./leaf.mjs";
import { attempt, hex, least, most } from "./lib.mjs";
import { splitOrigin } from "./signed.mjs";

export const partName = (recording, seq) => `${recording}-${String(seq).padStart(4, "0")}`;
export const less = (a, b) => { const n = a.findIndex((value, at) => value !== b[at]); return n >= 0 && a[n] < b[n]; };
export const sameFile = (one) => ({ name, sha256 }) => name === one.name && sha256 === one.sha256;
export const alike = (one, other) => ["name", "sha256", "size", "first", "end"].every((key) => one[key] === other[key]);

// Whether it is a copy in open/, made while that grew, of the segment that something signed names (8).
export const isEarly = (file, { name, first }) => Boolean(file?.open) && file.name === name && file.first === first;

// Whether a copy of it in open/ is what was sealed, which shows where it has all leaves: with the two blocks of zeros
// behind them it is the same bytes.
export function begins({ data, end }, { size, sha256, end: last }) {
  return end < last || hex(data.subarray(0, size - 1024), Buffer.alloc(1024)) === sha256;
}

// Whether something is of a log of the same camera, of an epoch in these bounds.
export function within(origin, first, last = splitOrigin(origin).epoch) {
  const { stem } = splitOrigin(origin), is = (own) => own.stem === stem && first <= own.epoch && own.epoch <= last;
  return (one) => attempt(() => is(splitOrigin(one.origin)), false);
}

// Of one log: as a receipt of it names that, or a `kept` line of a later epoch's; else a deletion leaf of it or of a
// later epoch. The latter gives no name its place (size: null). No receipt of a station excuses what its own directory
// lacks. `limit`: the size of the smallest log cosigned with it. Or of any log of the camera from epoch `first` on.
export function elsewhere(origin, receipts, histories, first = splitOrigin(origin).epoch) {
  const isOwn = within(origin, first), isLater = within(origin, splitOrigin(origin).epoch + 1, Infinity);
  const excuse = receipts.filter((one) => one.excuses), named = receipts.flatMap((one) => [...one.stored, ...one.kept]);
  const stored = excuse.filter(isOwn).flatMap((one) => one.stored.map((line) => ({ ...line, limit: one.size })));
  const kept = excuse.filter(isLater).flatMap((one) => one.kept);
  const deleted = [[isOwn, 0], [isLater, null]].flatMap(([of, size]) =>
    histories.filter(of).flatMap(({ log }) => log.deleted.map((one) => ({ ...one, size }))));
  return [...stored, ...kept, ...deleted.filter((one) => !named.some(sameFile(one)))];
}

// By name, those that are not `here`: the size, and the leaf that it cannot reach, or by a receipt which it holds.
export function byName(all, here) {
  const lines = all.filter(({ name, size }) => size !== null && !here.has(name));
  return new Map([...new Set(lines.map(({ name }) => name))].map((name) => {
    const same = lines.filter((line) => line.name === name);
    const [leaves] = same.filter(({ first }) => first !== undefined).sort((a, b) => a.first - b.first || a.end - b.end);
    const limit = least(same.map((line) => line.limit ?? Infinity));
    return [name, { leaves, limit, size: most(same.map(({ size }) => size)) }];
  }));
}

const isEvent = (name) => seqOf(name) < 0, lowest = (name) => startOf(name) + 1 + seqOf(name); // where it can begin
const order = (name) => [startOf(name) + Number(!isEvent(name)), seqOf(name)];

// Whether leaves first <= i < end can be of this segment, by its name.
export const canHold = (name, first, end) => lowest(name) < end && (!isEvent(name) || lowest(name) >= first);

// What must stand between two neighbours: its name, "" where only its kind is known, null where nothing must.
function lacking(before, name) {
  if (isEvent(name)) return null;
  if (seqOf(name) === 0) return before?.startsWith("e") ? null : "";
  const wanted = partName(name.slice(0, 20), seqOf(name) - 1);
  return before === wanted ? null : wanted;
}

// Runs [from, to, name] of the leaves first <= i < end, between the segments `before` and `after`, that no segment in
// `named`, what byName finds, can have held; up to leaf `known` others have them.
export function unexplained(named, first, end, before, after, known = first) {
  const begins = (name) => named.get(name).leaves?.first ?? lowest(name);
  const goesOn = (name) => before && !isEvent(name) && less(order(before), order(name)); // begun before
  const inside = (name) => begins(name) < end && (startOf(name) >= first || goesOn(name)), holes = [];
  let [reach, last, low] = [known, before, known];
  for (const name of [...[...named.keys()].filter(inside).sort((a, b) => (less(order(a), order(b)) ? -1 : 1)), null]) {
    const begin = name === null ? end : Math.max(first, begins(name)), lacks = lacking(last, name ?? after);
    if (begin > reach || lacks !== null) {
      const from = begin > reach ? reach : Math.min(low, end - 1);
      holes.push([from, Math.max(from + 1, begin), lacks ?? ""]);
    }
    if (name === null) break;
    const { size, limit, leaves } = named.get(name), top = isEvent(name) ? lowest(name) : Math.max(reach, begin);
    const to = leaves?.end ?? Math.min(top + Math.max(1, Math.floor(size / 3072)), limit);
    [reach, last, low] = [Math.max(reach, begin, to), name, leaves?.end ?? begin + 1];
  }
  return holes;
}

// Of segments that others say to be gone, or to have, those of which no leaf is here but in an early copy, and no seal
// leaf says otherwise.
export function standing(lines, placed, seals) {
  const clear = (spans, line) => spans.every(({ first, end }) => end <= line.first || line.end <= first);
  const silent = (line) => clear(seals, line) && seals.every(({ name }) => name !== line.name);
  const lacks = (line) => clear(placed.filter((one) => !isEarly(one, line) || one.end >= line.end), line);
  return lines.filter((line) => lacks(line) && (seals.some((seal) => alike(seal, line)) || silent(line)));
}

export function* without(spans, start, end) { // runs of start <= i < end that lie in none of the spans
  for (const { first, end: last } of [...spans.sort((a, b) => a.first - b.first), { first: end, end }]) {
    if (start < Math.min(first, end)) yield [start, Math.min(first, end)];
    start = Math.max(start, last);
  }
}

// The one segment of a recording that is missing between `before` and its segment `after`, or none.
export function between(before, after, at) {
  const recording = after.slice(0, 20), last = before?.name.startsWith(recording) ? seqOf(before.name) : -1;
  return startOf(after) < at && last + 2 === seqOf(after) ? partName(recording, last + 1) : "";
}

// Of exports of what a card had: of the leaves start <= i < end, in no segment, the first that is asked for.
export function askedFrom(history, start, end) {
  const recordings = history.placed.map(({ head }) => head?.recording).filter((name) => name);
  const first = Math.min(...recordings.map(startOf).filter((one) => one >= start), end);
  return history.apart(start, first) ? first : start;
}
