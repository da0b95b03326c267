// What a card's spool no longer has, and others have (8, "Held elsewhere"): of which leaves that follows from names and sizes.
import { attempt } from "./lib.mjs";
import { splitOrigin } from "./log.mjs";

export const same = (one) => ({ name, sha256 }) => name === one.name && sha256 === one.sha256;

// Whether something is of a log of the same camera, of an epoch in these bounds.
export function within(origin, first, last = splitOrigin(origin).epoch) {
  const { stem } = splitOrigin(origin), is = (own) => own.stem === stem && first <= own.epoch && own.epoch <= last;
  return (one) => attempt(() => is(splitOrigin(one.origin)), false);
}

// Of one log: as a receipt of it names that, or a `kept` line of a later epoch's; else a deletion leaf of it or of a later epoch. The
// latter gives no name its place (size: null). No receipt of a station excuses what its own directory lacks. `most` is the size of the
// smallest log that was cosigned with it. Or of any log of the camera from that of epoch `first` up to this one.
export function elsewhere(origin, receipts, histories, first = splitOrigin(origin).epoch) {
  const isOwn = within(origin, first), isLater = within(origin, first + 1, Infinity);
  const excuse = receipts.filter((one) => one.excuses), named = receipts.flatMap((one) => [...one.stored, ...one.kept]);
  const stored = excuse.filter(isOwn).flatMap((one) => one.stored.map((line) => ({ ...line, most: one.size })));
  const kept = excuse.filter(isLater).flatMap((one) => one.kept);
  const deleted = [[isOwn, 0], [isLater, null]].flatMap(([of, size]) =>
    histories.filter(of).flatMap(({ log }) => log.deleted.map((one) => ({ ...one, size }))));
  return [...stored, ...kept, ...deleted.filter((one) => !named.some(same(one)))];
}

// By name, those that are not `here`: the size, and the leaf that it cannot reach, or which leaves it holds, where a receipt says it.
export function byName(all, here) {
  const found = new Map();
  for (const { name, size, most = Infinity, first, end } of all.filter((one) => one.size !== null && !here.has(one.name))) {
    const before = found.get(name) ?? { size: 0, most: Infinity }, own = first === undefined ? [] : [{ first, end }];
    const [leaves] = [...own, ...(before.leaves ? [before.leaves] : [])].sort((a, b) => a.first - b.first || a.end - b.end);
    found.set(name, { size: Math.max(before.size, size), most: Math.min(before.most, most), leaves });
  }
  return found;
}

const isEvent = (name) => name.startsWith("e"), at = (name) => Number(name.slice(1, 11)), number = (name) => Number(name.slice(21));
const lowest = (name) => at(name) + (isEvent(name) ? 0 : 1 + number(name));
const order = (name) => (at(name) + Number(!isEvent(name))) * 10_001 + (isEvent(name) ? 0 : 1 + number(name));

// Whether leaves first <= i < end can be of this segment, by its name.
export const canHold = (name, first, end) => lowest(name) < end && (!isEvent(name) || lowest(name) >= first);

// What must stand between two neighbours: its name, "" where only its kind is known, null where nothing must.
function lacking(before, name) {
  if (!name.startsWith("r")) return null;
  if (number(name) === 0) return before?.startsWith("e") ? null : "";
  const wanted = `${name.slice(0, 20)}-${String(number(name) - 1).padStart(4, "0")}`;
  return before === wanted ? null : wanted;
}

function goesOn(before, name, first) { // a recording that began before leaf `first`
  if (isEvent(name) || !before) return false;
  if (isEvent(before)) return at(before) <= at(name) && at(name) < first;
  return before.slice(0, 20) === name.slice(0, 20) && number(before) < number(name);
}

// Runs [from, to, name] of the leaves first <= i < end, between the segments `before` and `after`, that no segment in `named`, a map
// from name to size and the end that it cannot pass, or the leaves it holds, can have held.
export function unexplained(named, first, end, before, after) {
  const begins = (name) => named.get(name).leaves?.first ?? lowest(name);
  const inside = (name) => begins(name) < end && (at(name) >= first || goesOn(before, name, first));
  let [reach, last, low] = [first, before, first];
  const holes = [];
  for (const name of [...[...named.keys()].filter(inside).sort((a, b) => order(a) - order(b)), null]) {
    const begin = name === null ? end : Math.max(first, begins(name)), lacks = lacking(last, name ?? after);
    if (begin > reach || lacks !== null) {
      const from = begin > reach ? reach : Math.min(low, end - 1);
      holes.push([from, Math.max(from + 1, begin), lacks ?? ""]);
    }
    if (name === null) break;
    const { size, most, leaves } = named.get(name), top = isEvent(name) ? lowest(name) : Math.max(reach, begin);
    const to = leaves?.end ?? Math.min(top + Math.max(1, Math.floor(size / 3072)), most);
    [reach, last, low] = [Math.max(reach, begin, to), name, leaves?.end ?? begin + 1];
  }
  return holes;
}

// Of segments that others say to be gone, or to have, those of which no leaf is here and no seal leaf says otherwise.
export function standing(lines, placed, seals) {
  const clear = (spans, line) => spans.every(({ first, end }) => end <= line.first || line.end <= first);
  const same = (line) => (seal) => ["name", "sha256", "size", "first", "end"].every((key) => seal[key] === line[key]);
  const stands = (line) => seals.some(same(line)) || (clear(seals, line) && seals.every(({ name }) => name !== line.name));
  return lines.filter((line) => clear(placed, line) && stands(line));
}
