// One log (8): which of its segments are followed, and what is held against what across them.
import { failing, hold, most, sameBytes, stemOf, tell, told } from "./lib.mjs";
import { startOf } from "./leaf.mjs";
import { byName, canHold, standing, same, unexplained } from "./held.mjs";
import { Log } from "./log.mjs";
import { leavesFrom, provenTree, segment } from "./segment.mjs";
import { append, keyOf, leadTo, rootOf } from "./tree.mjs";

const partName = (recording, seq) => `${recording}-${String(seq).padStart(4, "0")}`;

// ---- files (8) ----

// One file of each content: under the same name it is a backup, under another it claims to be what it is not.
function withoutCopies(files) {
  const kept = new Map(), own = ({ head, name }) => name.startsWith(head?.recording ? partName(head.recording, head.seq) : "e");
  for (const file of [...files].sort((a, b) => own(b) - own(a))) {
    const twin = kept.get(file.digest);
    if (!twin) kept.set(file.digest, file);
    else if (twin.name !== file.name) tell("repeated-segment", file.name, `the same bytes as ${twin.name}`);
  }
  return [...kept.values()].sort((a, b) => a.first - b.first);
}

function misnamed({ name, head }, before) { // the name of its file, what it says itself, and its place in the log
  const follows = before?.end === head.first && before.head?.recording === head.recording, { recording } = head;
  const right = recording ? name === partName(recording, head.seq) : new RegExp(`^e${stemOf(head.first)}-[0-9a-f]{8}$`).test(name);
  if (right) return;
  const byPlace = recording && name === partName(recording, follows ? before.head.seq + 1 : 0);
  tell(byPlace ? "altered-bytes" : "swapped-segments", name, "the file holds another segment than its name says");
}

// ---- histories (8) ----

const less = (a, b) => { const n = a.findIndex((value, at) => value !== b[at]); return n >= 0 && a[n] < b[n]; };

// Of several segments for the same leaves the one with the lowest rank is followed.
function rank(files, heads) {
  const after = new Map(), contested = new Set(files.map((file) => file.first)).size < files.length;
  for (const file of files) file.rank = [];
  if (!contested) return;
  for (const file of [...files].sort((a, b) => b.first - a.first)) {
    const placed = file.head?.first === file.first; // else the tree in its head is not the one before its leaves
    let tree = placed ? file.head.tree : { size: file.first, hashes: [] }, led = 0;
    for (const leaf of placed ? leavesFrom(file, tree.size) : []) {
      tree = append(tree, leaf);
      if (heads.some((head) => head.size === tree.size && sameBytes(head.root, rootOf(tree)))) led = tree.size;
    }
    const [further, end] = (placed && after.get(keyOf(tree))) || [0, 0], own = [-Math.max(led, -further), -Math.max(tree.size, -end)];
    const before = placed && keyOf(file.head.tree), other = after.get(before);
    if (placed) after.set(before, other && less(other, own) ? other : own);
    file.rank = [...own, file.digest];
  }
}

function treeAt(file, end) { // the log up to there, by the leaves of this file
  let tree = file.head.tree;
  for (const leaf of leavesFrom(file, tree.size).slice(0, end - tree.size)) tree = append(tree, leaf);
  return tree;
}

function* without(spans, start, end) { // runs of start <= i < end that lie in none of the spans
  for (const [first, last] of [...spans.sort((a, b) => a[0] - b[0]), [end, end]]) {
    if (start < Math.min(first, end)) yield [start, Math.min(first, end)];
    start = Math.max(start, last);
  }
}

// ---- one log (8) ----

// `placed` are the segments of the history that is followed, in order; `beside` the leaves that lie in another.
export class History {
  placed = [];
  all = [];
  beside = [];
  tips = new Set();

  // `signed` are those of the identity key; of a `spool` what others have may be gone, and what `notes` of a purge name anywhere.
  constructor(origin, files, heads, signed, spool, notes) {
    Object.assign(this, { origin, log: new Log(origin), left: withoutCopies(files), signed, spool, cosigned: heads, notes, purged: [] });
    rank(this.left, heads);
  }

  continues(before, { head }) {
    return [before?.after, before?.led].some((tree) => tree && head && keyOf(tree) === keyOf(head.tree));
  }

  goesOn(tree) { // whether a segment with an entry continues this tree, or the identity key signed it beside the segments
    const key = keyOf(tree), root = rootOf(tree), { size } = tree;
    return this.signed.some((head) => head.size === size && sameBytes(head.root, root)) ||
      this.left.some(({ head, first, end }) => head && end > first && keyOf(head.tree) === key);
  }

  alone(file, root) { // where its leaves end, checked by itself; -1 where anything fails
    const count = told.length;
    try { const { end } = segment(file, root, new Log(this.origin)); return told.length === count ? end : -1; } catch { return -1; }
    finally { told.length = count; }
  }

  takeNext(before, root) {
    const order = (file) => [Number(!this.continues(before, file)), file.rank[0], Number(file.open), ...file.rank.slice(1)];
    const here = this.left.filter((file) => file.first === this.left[0].first);
    const first = here.reduce((one, other) => (less(order(other), order(one)) ? other : one)), vouched = (file) => String(order(file).slice(0, 3));
    const alike = here.filter((file) => vouched(file) === vouched(first)).sort((a, b) => (less(order(a), order(b)) ? -1 : 1));
    const ends = alike.length > 1 ? alike.map((file) => this.alone(file, root)) : [0];
    const best = alike[first.open ? ends.indexOf(Math.max(...ends)) : Math.max(0, ends.findIndex((end) => end >= 0))];
    this.left.splice(this.left.indexOf(best), 1);
    return best;
  }

  run(root) {
    while (this.left.length > 0) {
      const before = this.placed.at(-1), one = this.takeNext(before, root), goesOn = this.continues(before, one);
      const inTail = before?.led && before.led.size <= one.first && one.first < before.end; // which nothing proves
      if (inTail && provenTree(one, root)) Object.assign(before, { end: before.led.size, after: before.led, gaveWay: true });
      const rival = this.placed.find(({ first, end }) => first <= one.first && one.first < end);
      const aside = rival || (one.head && !goesOn && this.tips.has(keyOf(one.head.tree)));
      const count = told.length, fails = (but) => told.slice(count).some(({ what, where }) => where === one.name && what !== but);
      try {
        Object.assign(one, segment(one, root, aside ? new Log(this.origin) : this.log, (tree) => this.goesOn(tree)));
        one.spoiled = fails("fork"); // whether anything fails in it, beside that it is of another history
        if (aside) this.besides(one, rival);
        else {
          misnamed(one, before);
          const parted = before?.end === one.first && before.after && !goesOn && !fails();
          hold(!parted, "fork", one.name, "it continues another history than the segment before it");
        }
      } catch (error) {
        tell(error.what ?? "altered-bytes", one.name, error.message);
        one.led = provenTree(one, root);
        if (error.nothing) tell("not-a-segment", one.name, "it holds no whole entry");
      }
      Object.assign(one, { fails: fails(), spoiled: fails("fork") });
      this.all.push(one);
      if (!aside && Number.isFinite(one.first)) this.placed.push(one);
    }
    return this;
  }

  besides(one, rival) { // a second segment for the same leaves, or one that goes on with another history
    if (rival?.spoiled) return;
    const clean = !one.spoiled, end = Math.min(one.end, rival?.end ?? one.end), there = (file) => keyOf(treeAt(file, end));
    const parted = !rival || (one.after && (there(one) !== there(rival) || (clean && one.end > end)));
    if (parted && one.after) this.tips.add(keyOf(one.after)); // whatever else fails in it
    if (!clean || (!parted && one.open)) return; // what is open may be an earlier copy
    tell(parted ? "fork" : "repeated-segment", one.name, rival ? `the leaves of ${rival.name} stand here again` : "of another history");
    if (parted) this.beside.push([one.first, one.end]);
  }

  // -- across its segments --

  get end() { return Math.max(0, ...this.placed.map((one) => one.end)); }

  // Below which sizes the heads that purges kept vouch for leaves.
  ledTo(kept) {
    const here = kept.filter(({ old }) => this.log.roots.has(old));
    return here.filter(({ old, proof, ...head }) =>
      hold(old <= head.size && leadTo({ size: old, root: this.log.roots.get(old) }, head, proof), "bad-head", "", "the leaves do not lead to a kept head"),
    ).map(({ old }) => old);
  }

  // Who vouches for leaves without the identity's signature (2): what follows, or a head that it signed, for those below its size
  // (`covered`: of those that leaves lead to by a proof beside it), where they lead to it without a gap. The last leaf of a file in open/ may still be signed.
  settle(covered) {
    const led = ({ size, root }) => this.log.roots.has(size) && sameBytes(this.log.roots.get(size), root);
    const sizes = [...covered, ...this.signed.filter(led).map(({ size }) => size)];
    let follows = false, runEnd = 0;
    for (const [n, one] of [...this.placed.entries()].reverse()) {
      if (!this.followed(n)) [follows, runEnd] = [false, one.after ? one.end : 0];
      const vouched = Math.max(0, ...sizes.filter((size) => size <= runEnd));
      for (const index of follows ? [] : (one.waits ?? []).filter((index) => index >= vouched && index !== one.tail)) {
        tell("missing-signature", one.name, `the identity's signature is missing at leaf ${index}, and none follows`);
      }
      follows ||= one.vouches;
    }
  }

  checkSeals() {
    for (const { name, sha256, size, first, end } of this.log.seals) {
      for (const one of this.placed.filter((one) => one.first <= first && first < one.end)) {
        const bytes = one.name === name && one.digest === sha256 && one.data.length === size;
        // A failure of its own says more; but of two histories the seal says which one it is of.
        const parted = told.some(({ what, where }) => what === "fork" && where === one.name);
        const right = (bytes && one.first === first && one.end === end) || (failing(one.name) && !parted);
        hold(right, "seal-mismatch", one.name, "not the file its seal leaf names");
      }
    }
  }

  // The one segment of a recording whose number is missing before `after`, or none.
  numbered(after, at) {
    if (!after.startsWith("r") || startOf(after) >= at) return "";
    const recording = after.slice(0, 20), held = this.placed.filter(({ name, end }) => end <= at && name.startsWith(recording));
    const seq = Math.max(-1, ...held.map(({ name }) => Number(name.slice(21)))) + 1;
    return seq === Number(after.slice(21)) - 1 ? partName(recording, seq) : "";
  }

  // Of segments that are here, that a seal leaf names, or that were purged.
  names() { return new Set([...this.all, ...this.purged, ...this.log.seals].map(({ name }) => name)); }

  // Leaves that no segment holds, by the segment that a seal leaf gives them to; a file that could not be read says so itself.
  // Others have those in `all`, which a spool may lack.
  checkGaps(excerpt, all) {
    const broken = new Set(this.all.filter((one) => !one.head).map((one) => one.name));
    this.purged = standing(this.notes.flatMap(({ gone }) => gone), this.placed, this.log.seals);
    const own = new Set(this.log.seals.map(({ name }) => name)), went = new Set(this.purged.map(({ name }) => name));
    const seals = [...this.log.seals, ...this.purged.filter(({ name }) => !own.has(name))].sort((a, b) => a.first - b.first);
    // Behind the end, what others have of which a receipt says which leaves it holds, and of which nothing else tells.
    const placed = all.filter(({ first, name }) => first >= this.end && seals.every((seal) => seal.name !== name));
    this.behind = this.spool ? standing(placed, this.placed, seals) : [];
    const begin = ({ head, first }) => (excerpt && head?.recording ? Math.min(first, startOf(head.recording)) : first);
    let at = excerpt ? Math.min(...this.placed.map(begin)) : 0, before = null, last = null;
    const named = byName(all, this.names());
    const lost = (end, name, after, seal) => {
      for (const [from, to] of without(this.beside, at, end)) {
        if (before?.end === from && before.fails && !before.gaveWay) continue;
        const holes = !this.spool || (seal && !all.some(same(seal))) ? [[from, to, ""]] : seal ? [] : unexplained(named, from, to, last, after);
        for (const [one, two, lacks] of holes) tell("missing-segment", lacks || (two === to ? name : ""), `leaves ${one} to ${two - 1} are in no segment`);
      }
      at = Math.max(at, end);
    };
    for (const one of this.placed) {
      for (const seal of seals) {
        if (seal.first >= one.first || seal.end <= at || at >= one.first) continue;
        lost(seal.first, this.numbered(seal.name, at), seal.name);
        const end = Math.min(one.first, seal.end), cut = before && seal.first < before.end && seal.first === before.first;
        if (cut) hold(before.fails, "missing-parts", before.name, `leaves ${at} to ${end - 1} are not in it`);
        else if (!broken.has(seal.name) && !went.has(seal.name)) lost(end, seal.name, "", seal);
        [at, last] = [end, seal.name];
      }
      lost(one.first, this.numbered(one.name, at), one.name);
      [at, before, last] = [Math.max(at, one.end), one, one.name];
    }
  }

  // No head has another root; and nothing is missing behind the end, up to the largest. That is said once, of the one segment that
  // receipts name and nobody gave, where it can lie there. Where damage hides the end, that is a failure of its own.
  leadsTo(heads, excerpt) {
    const known = this.names(), { roots } = this.log, end = most([0, ...heads.map(({ size }) => size)]);
    for (const { size, root, told: by = "the later head" } of heads) {
      hold(!roots.has(size) || sameBytes(roots.get(size), root), "fork", "", `${this.origin} does not lead to ${by}`);
    }
    if (excerpt || (this.placed.length > 0 && failing(this.placed.at(-1).name))) return;
    const stored = new Set(this.cosigned.flatMap((one) => one.stored.map(({ name }) => name)).filter((name) => !known.has(name)));
    const [name] = stored.size === 1 ? stored : [], spans = [...this.beside, ...[...this.purged, ...this.behind].map(({ first, end }) => [first, end])];
    for (const [first, last] of without(spans, this.end, end)) {
      const text = `${this.origin} does not lead to the later head: leaves ${first} to ${last - 1} are in no segment`;
      tell("missing-segment", name && canHold(name, first, last) ? name : "", text);
    }
  }

  followed(n) { // whether the segment behind this one continues it
    const [one, next] = this.placed.slice(n);
    return next?.head && one.after && keyOf(next.head.tree) === keyOf(one.after);
  }
}
