// One log (8): which of its segments are followed, and what is held against what across them.
import { alike, askedFrom, begins, between, byName, isEarly, less, partName, sameFile, standing, unexplained,
  without } from "./held.mjs";
import { seqOf, startOf } from "./leaf.mjs";
import { failing, hold, least, most, sameBytes, sha, tell, told } from "./lib.mjs";
import { Log } from "./log.mjs";
import { misnamed, provenTree, segment, treesIn } from "./segment.mjs";
import { cameraOf } from "./signed.mjs";
import { keyOf, leadTo, rootOf } from "./tree.mjs";

const byFirst = (a, b) => a.first - b.first;
const namesOf = (list) => list.map(({ name }) => name);
const continues = (tree, { head }) => Boolean(tree && head) && keyOf(tree) === keyOf(head.tree);

// One file of each content: under the same name it is a backup, under another it claims to be what it is not.
function withoutCopies(files) {
  const kept = new Map(), stem = (head) => (head?.recording ? partName(head.recording, head.seq) : "e");
  const isOwn = ({ head, name }) => name.startsWith(stem(head));
  for (const file of [...files].sort((a, b) => isOwn(b) - isOwn(a))) {
    const { name } = kept.get(file.sha256) ?? kept.set(file.sha256, file).get(file.sha256);
    hold(name === file.name, "repeated-segment", file.name, `the same bytes as ${name}`);
  }
  return [...kept.values()].sort(byFirst);
}

// Of several segments for the same leaves the one with the lowest rank is followed: by the largest head that was
// cosigned to which its history leads, by how far that goes, by its bytes.
function rank(files, heads) {
  const best = new Map(); // of the histories that go on from a tree
  const isHead = ({ size }, root) => heads.some((head) => head.size === size && sameBytes(head.root, root));
  for (const file of [...files].sort(byFirst).reverse()) {
    const trees = file.head?.first === file.first ? [file.head.tree, ...treesIn(file)] : []; // else it leads nowhere
    const [begin, end] = [trees[0], trees.at(-1)].map((tree) => tree && keyOf(tree)), other = best.get(begin);
    const leads = trees.slice(1).filter((tree) => isHead(tree, rootOf(tree))).map((tree) => -tree.size);
    const [led, size] = best.get(end) ?? [0, 0];
    const own = [Math.min(led, ...leads), Math.min(size, -(trees.at(-1)?.size ?? file.first))];
    file.rank = [...own, file.sha256];
    if (begin) best.set(begin, other && less(other, own) ? other : own);
  }
}

// `placed` are the segments of the history that is followed, in order; `all` those of any; `beside` what lies in
// another, which `tips` lead on; `purged` what notes explain, and `behind` what others have behind the end.
export class History {
  placed = [];
  all = [];
  beside = [];
  missed = []; // leaves that a head in cosigned/ says to be missing
  tips = new Set();

  // The heads of this log that a station `cosigned`, those `byIdentity`, the `notes` of purges;
  // whether it is that of a `spool`, of which what others have may be gone.
  constructor(origin, files, { cosigned, byIdentity, notes }, spool) {
    const own = (list) => list.filter((one) => one.origin === origin);
    Object.assign(this, { origin, log: new Log(origin), left: withoutCopies(files), spool });
    Object.assign(this, { cosigned: own(cosigned), byIdentity: own(byIdentity), notes: own(notes) });
    this.exports = [...new Set(files.map(({ place }) => place))].map((place) => {
      const firsts = files.filter((one) => one.place === place).map(({ first }) => first);
      return { low: least(firsts), high: most(firsts) };
    });
    if (new Set(this.left.map(({ first }) => first)).size < this.left.length) rank(this.left, this.cosigned);
  }

  get end() { return most([0, ...this.placed.map(({ end }) => end)]); }

  has({ size, root }) { return this.log.roots.has(size) && sameBytes(this.log.roots.get(size), root); }

  // ---- histories ----

  goesOn(tree) { // whether a segment with an entry continues it, or the identity key signed it beside the segments
    const isSigned = (head) => head.size === tree.size && sameBytes(head.root, rootOf(tree));
    return this.byIdentity.some(isSigned) || this.left.some((file) => file.end > file.first && continues(tree, file));
  }

  alone(file, root) { // checked by itself: of one in open/ how many leaves it has, of others whether anything fails
    const count = told.length;
    let end = -1;
    try { ({ end } = segment(file, root, new Log(this.origin), () => false)); } catch { /* it has none */ }
    if (told.splice(count).length > 0) end = -1;
    return file.open ? -end : Number(end < 0);
  }

  next(before, root) {
    const here = this.left.filter(({ first }) => first === this.left[0].first);
    const order = (file, [led, ...others]) =>
      [Number(!this.follows(before, file)), led, Number(file.open), this.alone(file, root), ...others];
    const ranked = here.length === 1 ? [here] : here.map((file) => [file, order(file, file.rank)]);
    const [best] = ranked.reduce((one, other) => (less(other[1], one[1]) ? other : one));
    this.left.splice(this.left.indexOf(best), 1);
    return best;
  }

  follows(before, file) { return continues(before?.after, file) || continues(before?.led, file); }

  run(root) {
    while (this.left.length > 0) {
      const before = this.placed.at(-1), one = this.next(before, root), follows = this.follows(before, one);
      const { led } = before ?? {}, inTail = led?.size <= one.first && one.first < before.end; // which nothing proves
      if (inTail && provenTree(one, root)) Object.assign(before, { end: led.size, after: led, gaveWay: true });
      const rival = this.placed.find(({ first, end }) => first <= one.first && one.first < end);
      const aside = rival || (one.head && !follows && this.tips.has(keyOf(one.head.tree)));
      const count = told.length;
      const fails = (but) => told.slice(count).some(({ what, where }) => where === one.name && what !== but);
      try {
        Object.assign(one, segment(one, root, aside ? new Log(this.origin) : this.log, (tree) => this.goesOn(tree)));
        one.spoiled = fails(); // whether anything fails in it, beside that it is of another history
        if (aside) this.besides(one, rival);
        else {
          misnamed(one, before);
          const parted = before?.end === one.first && before.after && !follows && !fails();
          hold(!parted, "fork", one.name, "it continues another history than the segment before it");
        }
      } catch (error) {
        tell(error.what ?? "altered-bytes", one.name, error.message);
        if (error.nothing) tell("not-a-segment", one.name, "it holds no whole entry");
        one.led = provenTree(one, root);
      }
      Object.assign(one, { fails: fails(), spoiled: fails("fork") });
      if (one.open && one.end === one.first) continue; // no entry of it is whole: it is none of those given
      this.all.push(one);
      if (!aside && Number.isFinite(one.first)) this.placed.push(one);
    }
    this.purged = standing(this.notes.flatMap(({ gone }) => gone), this.placed, this.log.seals);
    return this;
  }

  besides(one, rival) { // a second segment for the same leaves, or one that goes on with another history
    if (rival?.spoiled) return;
    const end = Math.min(one.end, rival?.end ?? one.end);
    const there = (file) => keyOf([file.head.tree, ...treesIn(file)].slice(0, end - file.head.tree.size + 1).at(-1));
    const parted = !rival || there(one) !== there(rival) || (!one.spoiled && one.end > end);
    if (parted) this.tips.add(keyOf(one.after)); // whatever else fails in it
    if (one.spoiled || (!parted && one.open)) return; // what is open may be an earlier copy
    tell(parted ? "fork" : "repeated-segment", one.name, `it stands beside ${rival?.name ?? "what is followed"}`);
    if (parted) this.beside.push(one);
  }

  // ---- across its segments ----

  runs() { // of segments of which each continues the one before
    const found = [];
    for (const one of this.placed) {
      if (continues(found.at(-1)?.at(-1).after, one)) found.at(-1).push(one);
      else found.push([one]);
    }
    return found;
  }

  // Whether the leaves below a size lead to a head by the proof beside it; undefined where they are not here.
  leads({ old, proof, ...head }) {
    const root = this.log.roots.get(old);
    return root && old <= head.size && leadTo({ size: old, root }, head, proof);
  }

  // Who vouches for leaves without the identity's signature (2): what follows, or a head that it signed, for those
  // below its size (`sizes`: of those that leaves lead to by a proof), where they lead to it without a gap. The last
  // leaf of a file in open/ may still be signed.
  settle(sizes) {
    const heads = [...sizes, ...this.byIdentity.filter((head) => this.has(head)).map(({ size }) => size)];
    for (const run of this.runs()) {
      const { after, end } = run.at(-1), vouched = most([0, ...heads.filter((size) => after && size <= end)]);
      const waiting = run.reduce((found, one) =>
        [...(one.vouches ? [] : found), ...(one.waits ?? []).map((index) => [one, index])], []);
      for (const [{ name, tail }, index] of waiting) {
        hold(index < vouched || index === tail, "missing-signature", name, `no identity vouches for leaf ${index}`);
      }
    }
  }

  // Of a camera that was revoked a leaf counts below a size, and only where it leads to what a station saw: the root
  // that is named, a head that it cosigned (of an export: `led`), or a segment whose bytes a receipt names.
  countsUpTo({ camera, logs }, led) {
    if (camera !== cameraOf(this.origin)) return;
    const counts = logs.get(this.origin) ?? { size: 0, root: sha("") };
    const stored = this.cosigned.flatMap((one) => one.stored.map(({ sha256 }) => sha256));
    const heads = [...this.cosigned, counts].filter((head) => this.has(head)).map(({ size }) => size);
    const saw = [...led, ...heads, ...this.placed.filter((one) => stored.includes(one.sha256)).map(({ end }) => end)];
    hold(this.end <= counts.size, "revoked", "", `of ${this.origin}, revoked, ${counts.size} leaves count`);
    for (const run of this.runs()) {
      const { end } = run.at(-1), seen = most([run[0].first, ...saw.filter((size) => size <= end)]);
      const unseen = `no station saw what leaves ${seen} to ${end - 1} of ${this.origin} lead to`;
      hold(seen >= Math.min(end, counts.size), "revoked", "", unseen);
    }
  }

  checkSeals() {
    for (const seal of this.log.seals) {
      for (const one of this.placed.filter(({ first, end }) => first <= seal.first && seal.first < end)) {
        // A failure of its own says more; but of two histories the seal says which one it is of.
        const parted = told.some(({ what, where }) => what === "fork" && where === one.name);
        const copied = isEarly(one, seal) && one.end <= seal.end && begins(one, seal); // before it was sealed
        const right = alike(one, seal) || copied || (failing(one.name) && !parted);
        hold(right, "seal-mismatch", one.name, "not the file its seal leaf names");
      }
    }
  }

  // Whether leaves start <= i < end are none that an excerpt asks for (9): each recording is whole before or behind
  // them that an export is of, and any other, where one export has segments on both sides.
  apart(from, end) {
    const [[start] = [end]] = without(this.purged, from, end); // what was purged before that is not looked for
    const joined = this.exports.some(({ low, high }) => low < start && end <= high);
    return [...this.log.recordings].every(([name, { ended, cut, last }]) => {
      if (startOf(name) >= end || !(joined || this.claims(name))) return true;
      const own = most([last + 1, ...this.gone(name).map((one) => one.end)]);
      const lacks = joined ? this.gone(name).length === 0 : this.wentOn(name); // one export would have its end
      return (own <= start && (ended || !lacks)) || (cut && this.of(name).every((one) => one.end <= start));
    });
  }

  claims(name) { // whether an export is of it
    const holds = ({ first, end }, index) => first <= index && index < end;
    const starts = [...this.log.recordings.keys()].map(startOf);
    const claim = this.placed.filter((one) => one.head?.recording || starts.some((start) => holds(one, start)));
    const leads = this.exports.flatMap((all) => claim.find((one) => all.low < one.end && one.first <= all.high) ?? []);
    return leads.some((one) => one.head?.recording === name || holds(one, startOf(name)));
  }

  holding(index) { return this.placed.find(({ first, end }) => first <= index && index < end); }
  of(name) { return this.placed.filter(({ head }) => head?.recording === name); }
  gone(name) { return this.purged.filter((one) => one.name.startsWith(`${name}-`)); }

  wentOn(name) { // whether a seal leaf or a receipt names a later segment of a recording than those here or purged
    const there = namesOf([...this.of(name), ...this.gone(name)]);
    const names = namesOf([...this.log.seals, ...this.cosigned.flatMap(({ stored }) => stored)]);
    const isLater = (one) => one.startsWith(`${name}-`) && there.every((other) => seqOf(other) < seqOf(one));
    return there.length === 0 || names.some(isLater);
  }

  lacks(name) { // whether more of a recording is named than is here, and is not purged
    return this.gone(name).length === 0 && !this.log.recordings.get(name).ended && this.wentOn(name);
  }

  // Of segments that are here, that a seal leaf names, or that were purged.
  names() { return new Set(namesOf([...this.all, ...this.purged, ...this.log.seals])); }

  // Leaves that no segment holds, by the segment that a seal leaf gives them to; a file that could not be read says so
  // itself. Others have those in `elsewhere`, which a spool may lack.
  checkGaps(excerpt, elsewhere) {
    const { seals: own } = this.log, owned = namesOf(own), broken = namesOf(this.all.filter(({ head }) => !head));
    const seals = [...own, ...this.purged.filter(({ name }) => !owned.includes(name))].sort(byFirst);
    // Behind the end, what others have of which a receipt says which leaves it holds, and of which nothing else tells.
    const silent = ({ name }) => seals.every((seal) => seal.name !== name);
    const goesOn = (one) => one.first >= this.end || isEarly(this.placed.at(-1), one);
    const placed = elsewhere.filter((one) => goesOn(one) && silent(one));
    this.behind = this.spool ? standing(placed, this.placed, seals) : [];
    const begin = ({ head, first }) => (excerpt && head?.recording ? Math.min(first, startOf(head.recording)) : first);
    const named = byName(elsewhere, this.names()), lines = byName(elsewhere, new Set()), went = namesOf(this.purged);
    // Of an export what a recording begins with is asked for; where others have some, by what they have before it too.
    let asked = excerpt ? Math.min(...this.placed.map(begin)) : 0, before = null, last = null;
    let at = this.spool && asked < this.placed[0]?.first ? 0 : asked;
    const lost = (end, name, after, seal) => {
      for (const [from, to] of without(this.beside, at, end)) {
        if (before?.end === from && before.fails && !before.gaveWay) continue;
        const isHeld = this.spool && (!seal || elsewhere.some(sameFile(seal)));
        const { leaves } = (before?.end === from && lines.get(before.name)) || {};
        const known = before?.open && leaves?.first === before.first ? Math.max(from, leaves.end) : from;
        const guessed = isHeld && !seal ? unexplained(named, from, to, last, after, known) : [];
        for (const [one, two, lacks] of isHeld ? guessed : [[from, to, ""]]) {
          if (two <= asked) continue;
          tell("missing-segment", lacks || (two === to ? name : ""), `leaves ${one} to ${two - 1} are in no segment`);
        }
      }
      at = Math.max(at, end);
    };
    for (const one of this.placed) {
      if (excerpt && before && at < one.first && this.apart(at, one.first)) at = one.first;
      if (excerpt && before && at < one.first && this.spool) asked = askedFrom(this, at, one.first);
      for (const seal of seals) {
        if (seal.first >= one.first || seal.end <= at || at >= one.first) continue;
        lost(seal.first, between(before, seal.name, at), seal.name);
        const end = Math.min(one.first, seal.end), isCut = seal.first === before?.first && seal.first < before.end;
        const isHeld = went.includes(seal.name) || (this.spool && elsewhere.some(sameFile(seal)));
        const right = before?.fails || (isEarly(before, seal) && isHeld);
        if (isCut) hold(right, "missing-parts", before.name, `leaves ${at} to ${end - 1} are not in it`);
        else if (![...broken, ...went].includes(seal.name)) lost(end, seal.name, "", seal);
        [at, last] = [end, seal.name];
      }
      lost(one.first, between(before, one.name, at), one.name);
      [at, before, last] = [Math.max(at, one.end), one, one.name];
    }
  }
}
