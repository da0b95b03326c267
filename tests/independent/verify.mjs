// A second verifier, written from docs/evidence-format.md alone, in another language, on Node's own library; npm's age-encryption
// opens what is sealed.
//
//   node verify.mjs --trust ROOT.pem [--head NOTE|RECEIPT]... [--revoked REVOCATION] [--key IDENTITIES] DIR|PROOF...
//
// Each DIR holds the segments of one camera (*.tar), receipts, revocations, purge notes and logs (tile/ beside checkpoint); each PROOF is that of an
// export (*.proof.tar), its MP4 beside it or not. With --key, an age identity file, what is sealed in a PROOF that holds is opened too.
// It says "DIR verified", or for each failure "DIR FAIL name, segment: what", by the names of the page (8), the segment where it is of
// one. Of a segment's bytes it says the first that is wrong, and what the leaves say that it has proven. Exit status 0 where all
// verify, else 1. It shares no code with the product and is no part of it: where the two disagree, the page or one of them is wrong. A
// number like (5) is a section of the page. Here: what is held against what across segments and logs, and a whole recording (9); one
// segment, one log, one range, and what is signed have files of their own.
import { X509Certificate } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { attempt, failing, fail, hex, hold, need, orTell, renamed, sameBytes, stemOf, tell, told } from "./lib.mjs";
import { checkExport, identities } from "./keyed.mjs";
import { parseLeaf, startOf } from "./leaf.mjs";
import { purgedOf, spoolsIn, unexplained, unpackedIn } from "./held.mjs";
import { Log, splitOrigin } from "./log.mjs";
import { askedFor, headerSize, range } from "./range.mjs";
import { leavesFrom, members, peek, provenTree, readHead, segment, unpack } from "./segment.mjs";
import { cameraHead, countsUpTo, laterHead, purge, receipt, revocation, sessionIn, signedHead, stationIn } from "./signed.mjs";
import { append, consistency, hashLines, keyOf, rootOf } from "./tree.mjs";

const logOf = (origin) => attempt(() => splitOrigin(origin) && origin, "?");
const partName = (recording, seq) => `${recording}-${String(seq).padStart(4, "0")}`;

// ---- files (8) ----

// One file of each content: under the same name it is a backup, under another it claims to be what it is not.
function withoutCopies(files) {
  const kept = new Map(), own = ({ head, name }) => name.startsWith(head?.recording ? partName(head.recording, head.seq) : "e");
  const headed = files.map((file) => ({ ...file, head: attempt(() => readHead(unpack(file).json), null), digest: hex(file.data) }));
  for (const file of headed.sort((a, b) => own(b) - own(a))) {
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
class History {
  placed = [];
  all = [];
  beside = [];
  tips = new Set();

  // `signed` are those of the identity key; of a `spool` what others have may be gone, and what `notes` of a purge name anywhere.
  constructor(origin, files, heads, signed, spool, notes) {
    Object.assign(this, { origin, log: new Log(origin), left: withoutCopies(files), signed, spool, elsewhere: heads, notes, purged: [] });
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
    const ends = alike.length > 1 ? alike.map((file) => this.alone(file, root)) : [0], most = Math.max(...ends);
    const best = alike[first.open ? ends.indexOf(most) : Math.max(0, ends.findIndex((end) => end >= 0))];
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

  // Who vouches for leaves without the identity's signature (2): what follows, or a head that it signed, for those below its size
  // (of one in an export: `covered`), where they lead to it without a gap. The last leaf of a file in open/ may still be signed.
  settle(covered) {
    const led = ({ size, root }) => this.log.roots.has(size) && sameBytes(this.log.roots.get(size), root);
    const sizes = [covered, ...this.signed.filter(led).map(({ size }) => size)];
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
    for (const { segment: name, sha256, size, first, entries } of this.log.seals) {
      for (const one of this.placed.filter((one) => one.first <= first && first < one.end)) {
        const bytes = one.name === name && one.digest === sha256 && one.data.length === size;
        // A failure of its own says more; but of two histories the seal says which one it is of.
        const parted = told.some(({ what, where }) => what === "fork" && where === one.name);
        const right = (bytes && one.first === first && one.end === first + entries) || (failing(one.name) && !parted);
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
  names() { return [...[...this.all, ...this.purged].map(({ name }) => name), ...this.log.seals.map((seal) => seal.segment)]; }

  // What a spool may lack: as a receipt names it, else a deletion leaf. By name, but for those that are here or that a seal leaf names.
  gone() {
    const stored = this.elsewhere.flatMap(({ stored, size }) => stored.map((one) => ({ ...one, most: size }))), known = (one) => stored.some(({ name, sha256 }) => name === one.segment && sha256 === one.sha256);
    const deleted = this.log.deleted.filter((one) => !known(one)).map(({ segment: name, sha256 }) => ({ name, sha256, size: 0, most: Infinity }));
    const all = this.spool ? [...stored, ...deleted] : [], here = new Set(this.names());
    return { has: (seal) => all.some(({ name, sha256 }) => name === seal.name && sha256 === seal.sha256),
      named: all.filter(({ name }) => !here.has(name)).reduce((found, { name, size, most }) => {
        const { size: before = 0, most: limit = Infinity } = found.get(name) ?? {};
        return found.set(name, { size: Math.max(before, Number(size)), most: Math.min(limit, Number(most)) });
      }, new Map()) };
  }

  // Leaves that no segment holds, by the segment that a seal leaf gives them to; a file that could not be read says so itself.
  checkGaps(excerpt) {
    const broken = new Set(this.all.filter((one) => !one.head).map((one) => one.name));
    const span = (seal) => ({ ...seal, name: seal.segment, first: Number(seal.first), end: Number(seal.first) + Number(seal.entries) });
    const sealed = this.log.seals.map((seal) => ({ ...span(seal), size: Number(seal.size) })), own = (line) => sealed.some(({ name }) => name === line.name);
    this.purged = purgedOf(this.notes, this.placed, sealed);
    const seals = [...sealed, ...this.purged.filter((line) => !own(line))].sort((a, b) => a.first - b.first), went = new Set(this.purged.map(({ name }) => name));
    const begin = ({ head, first }) => (excerpt && head?.recording ? Math.min(first, startOf(head.recording)) : first);
    let at = excerpt ? Math.min(...this.placed.map(begin)) : 0, before = null, last = null;
    const { has, named } = this.gone();
    const lost = (end, name, after, seal) => {
      for (const [from, to] of without(this.beside, at, end)) {
        if (before?.end === from && before.fails && !before.gaveWay) continue;
        const holes = !this.spool || (seal && !has(seal)) ? [[from, to, ""]] : seal ? [] : unexplained(named, from, to, last, after);
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

  leadsTo(head, text, excerpt) { // where damage hides the root, that is a failure of its own
    const root = this.log.roots.get(head.size), known = this.names(), spans = [...this.beside, ...this.purged.map(({ first, end }) => [first, end])];
    const gone = [...new Set(head.stored?.map(({ name }) => name))].filter((name) => !known.includes(name));
    if (root) hold(sameBytes(root, head.root), "fork", "", text);
    else if (!excerpt && !(this.placed.length > 0 && failing(this.placed.at(-1).name))) {
      if (!without(spans, this.end, head.size).next().done) tell("missing-segment", gone.length === 1 ? gone[0] : "", text);
    }
  }

  followed(n) { // whether the segment behind this one continues it
    const [one, next] = this.placed.slice(n);
    return next?.head && one.after && keyOf(next.head.tree) === keyOf(one.after);
  }
}

// ---- one camera (8) ----

const later = (what, run) => [orTell(what, run)].filter((found) => found !== null);

// Of each log given, the checkpoint beside its tiles, and who may have signed it. The tiles themselves, like seal records, prove nothing.
function besideTiles(given, root) {
  const isLog = (place) => lstatSync(join(place, "tile"), { throwIfNoEntry: false })?.isDirectory();
  const heads = given.filter(({ path }) => basename(path) === "checkpoint" && isLog(dirname(path))), logs = heads.map(({ path }) => dirname(path));
  const chains = given.filter(({ path }) => path.endsWith(".pem") && logs.some((log) => [log, join(log, "chain")].includes(dirname(path))));
  return { heads, sessions: chains.flatMap(({ data }) => attempt(() => [sessionIn(data, root)], [])) };
}

// `given`: { path, data } of every file. In a `proof` nothing is asked for beside its recordings. `cosigned` are what exports have in
// that folder. What a receipt has may be gone from `spools`.
function camera(given, root, heads, revoked, { proof = false, cosigned: folders = [], spools = [], unpacked = [] }) {
  const found = (history) => folders.flatMap((held) => attempt(() => [vouched(held, new Map([[history.origin, history]]), root)], []));
  const tars = given.filter(({ path }) => path.endsWith(".tar")), inOpen = (path) => basename(dirname(path)) === "open";
  const inSpool = ({ place }) => ["open", "sealed", "delivered"].includes(basename(place)) && spools.includes(dirname(place));
  const files = tars.map(({ path, data }) => ({ ...peek({ data, name: basename(path, ".tar"), open: inOpen(path) }), place: dirname(path) }))
    .filter(({ open, first }) => !open || Number.isFinite(first)).sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  const excerpt = proof || (files.length > 0 && files.every(({ place }) => basename(place) === "segments" && unpacked.includes(dirname(place))));
  const home = files.map((file) => logOf(file.origin)).find((origin) => origin !== "?") ?? "unknown/1", logs = new Map();
  for (const file of files) if (logOf(file.origin) === "?") file.origin = home;
  const receipts = given.filter(({ path }) => path.endsWith(".receipt"))
    .flatMap(({ data }) => later("bad-receipt", () => receipt(data, root)));
  const beside = besideTiles(given, root), inFiles = files.flatMap(({ chain }) => attempt(() => [sessionIn(chain, root)], []));
  const sessions = [...inFiles, ...beside.sessions], stand = beside.heads.flatMap(({ data }) => later("bad-head", () => cameraHead(data, sessions)));
  const asked = heads.flatMap((data) => later("bad-head", () => laterHead(data, root, sessions)));
  const cosigned = [...receipts, ...asked.filter((head) => head.stored)], inThem = cosigned.flatMap(({ signed }) => attempt(() => [cameraHead(signed, sessions)], []));
  const signed = [...asked, ...stand, ...inThem].filter((head) => head.identity);
  const notes = given.filter(({ path }) => path.endsWith(".purge")).flatMap(({ data }) => later("bad-purge", () => purge(data, root, cosigned)));
  for (const origin of new Set(files.map((file) => file.origin))) {
    const own = (list) => list.filter((one) => one.origin === origin);
    const history = new History(origin, own(files), own(cosigned), own(signed), own(files).some(inSpool), own(notes)).run(root);
    history.checkGaps(excerpt);
    const beyond = found(history), most = (list) => Math.max(0, ...list.map(({ size }) => size));
    history.settle(most(beyond.filter(({ identity }) => identity)));
    Object.assign(history, { led: most(beyond), receipts: own(cosigned) });
    history.checkSeals();
    logs.set(origin, history);
  }
  for (const { origin, log } of logs.values()) if (log.follows) epochs(origin, log.follows, logs, [...asked, ...stand, ...receipts], excerpt);
  for (const head of asked) hold(logs.has(head.origin), "bad-head", "", "a later head is of another log");
  for (const head of [...asked, ...stand, ...receipts]) logs.get(head.origin)?.leadsTo(head, "the leaves do not lead to the later head", excerpt);
  const lost = given.filter(({ path }) => path.endsWith(".revocation")).flatMap(({ data }) => later("bad-revocation", () => revocation(data, root)));
  for (const history of logs.values()) for (const one of [...revoked, ...lost]) countsUpTo(history, one, excerpt);
  for (const held of folders) orTell("bad-head", () => vouched(held, logs, root));
}

function epochs(origin, follows, logs, heads, excerpt) { // the log that this one follows
  if (follows.size === 0 || (excerpt && !logs.has(follows.origin))) return;
  const against = heads.some((head) => head.origin === follows.origin && head.size === follows.size && !sameBytes(head.root, follows.root));
  hold(!against, "bad-epoch", "", `${origin} follows a head that another one contradicts`);
  const old = logs.get(follows.origin);
  if (!hold(old, "missing-segment", "", `the log that ${origin} follows is missing`)) return;
  old.leadsTo(follows, `${follows.origin} does not lead to what ${origin} follows`);
  hold(old.end <= follows.size, "fork", "", `${follows.origin} goes on after ${origin} says that it ended`);
}

// ---- exports (9) ----

const SEGMENT = /^segments\/[^/]*\.tar$/;

function whole(held, root, revoked) {
  const members = [...held].filter(([name]) => SEGMENT.test(name) || /^(receipts\/[^/]*\.receipt|purges\/[^/]*\.purge)$/.test(name));
  const given = members.map(([path, data]) => ({ path, data }));
  need([...held.keys()].some((name) => name.startsWith("segments/")), "it holds neither segments nor the entries of a range", "not-a-segment");
  const cosigned = [...held.keys()].some((name) => name.startsWith("cosigned/")) ? [held] : [];
  camera(given, root, [], revoked, { proof: true, cosigned });
}

function besideUnpacked(given, place) { // what an export that somebody unpacked has in cosigned/
  const names = ["checkpoint", "consistency", "station.pem", "chain.pem"].map((name) => join(place, "cosigned", name));
  return new Map(given.filter(({ path }) => names.includes(path)).map(({ path, data }) => [`cosigned/${basename(path)}`, data]));
}

function vouched(held, logs, root) { // the leaves below a size lead to the head in cosigned/, which the identity signed or not
  const member = (name, limit) => {
    const data = held.get(`cosigned/${name}`);
    return data && data.length <= limit ? data : fail(`cosigned/${name} is not there, or too long`);
  };
  const point = renamed("bad-head", () => {
    const chain = sessionIn(member("chain.pem", 65536), root), station = stationIn(member("station.pem", 65536), root);
    return signedHead(member("checkpoint", 8192), [chain], station);
  });
  need(point.cosigned, "no station cosigned cosigned/checkpoint");
  const text = member("consistency", 16384).toString("latin1"), [line, old] = /^old ([1-9][0-9]{0,15})\n/.exec(text) ?? fail("no old size");
  const size = Number(old), proof = hashLines(text.slice(line.length));
  const history = logs.get(point.origin) ?? fail(`no segment of ${point.origin} is here`), known = history.log.roots.get(size);
  need(known || size <= history.end, `the leaves below ${size} of ${point.origin} are not all here`, "missing-segment");
  const same = size === point.size && proof.length === 0 && known && sameBytes(known, point.root);
  need(same || (known && consistency({ size, root: known }, point, proof)), "the leaves do not lead to cosigned/checkpoint");
  return { size, identity: point.identity };
}

function split(name, leaf, data, own) { // a sealed file: its header and the camera's beside it, if it was rewrapped; its payload
  const size = headerSize(data);
  return { name, leaf, headers: [data.subarray(0, size), ...(own ? [own] : [])], payload: data.subarray(size) };
}

function* sealedIn(held, recording, whole) {
  for (const [name, data] of held) {
    const stem = /^(init|entries\/[0-9]{10})\.age$/.exec(name)?.[1];
    if (stem) yield split(name, stem === "init" ? null : parseLeaf(held.get(`${stem}.json`)), data, held.get(`${stem}.header`));
    if (!whole || !SEGMENT.test(name)) continue;
    const file = { data, name: basename(name) }, { init, entries } = unpack(file);
    if (init && file.name.startsWith(`${recording}-`)) yield split(`${name}: init.age`, null, init);
    for (const { index, leaf, sealed } of entries) yield split(`${name}: entry ${index}`, parseLeaf(leaf), sealed);
  }
}

async function proof(path, root, revoked, opener) {
  const held = new Map(), all = renamed("not-a-segment", () => members(readFileSync(path)));
  need(all.length <= 800_000, "the proof has too many members", "not-a-segment");
  for (const { name, data } of all) if (hold(!held.has(name), "repeated-entry", "", `${name} stands twice`)) held.set(name, data);
  const isRange = [...held.keys()].some((name) => name === "checkpoint" || name.startsWith("entries/"));
  (isRange ? range : whole)(held, root, revoked);
  if (told.length > 0) return;
  const said = attempt(() => askedFor(held.get("report.json")), null);
  await checkExport(path, said, [...sealedIn(held, said?.recording, !isRange)], opener);
}

// ---- the command ----

const filesBelow = (directory) => readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? filesBelow(join(directory, entry.name)) : entry.isFile() ? [join(directory, entry.name)] : []);

const [words, options, heads] = [process.argv.slice(2), {}, []];
while (words[0]?.startsWith("--")) {
  const name = words.shift().slice(2), value = words.shift();
  if (name === "head") heads.push(value);
  else options[name] = value;
}
const root = new X509Certificate(readFileSync(options.trust)), opener = options.key ? await identities(options.key) : null;
const read = (path) => ({ path, data: readFileSync(path) }), plain = (text) => text.replace(/[^ -~]/g, "?");
for (const place of words) {
  told.length = 0;
  try {
    const revoked = options.revoked ? later("bad-revocation", () => revocation(readFileSync(options.revoked), root)) : [];
    if (place.endsWith(".proof.tar")) await proof(place, root, revoked, opener);
    else {
      const given = filesBelow(place).map(read), unpacked = unpackedIn(place), cosigned = unpacked.map((one) => besideUnpacked(given, one)).filter(({ size }) => size > 0);
      camera(given, root, heads.map((path) => readFileSync(path)), revoked, { spools: spoolsIn(place), unpacked, cosigned });
    }
  } catch (error) { tell(error.what ?? "altered-export", "", error.message); }
  for (const { what, where, text } of told) console.log(plain(`${place} FAIL ${what}, ${where}: ${text}`));
  if (told.length === 0) console.log(`${plain(place)} verified`);
  else process.exitCode = 1;
}
