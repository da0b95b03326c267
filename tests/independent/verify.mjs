// A second verifier, written from docs/evidence-format.md alone, in another language, on Node's own library; npm's age-encryption
// opens what is sealed.
//
//   node verify.mjs --trust ROOT.pem [--head NOTE|RECEIPT]... [--revoked REVOCATION] [--key IDENTITIES] DIR|PROOF...
//
// Each DIR holds the segments of one camera (*.tar), receipts, revocations, purge notes and logs (tile/ beside checkpoint); each PROOF is that of an
// export (*.proof.tar), its MP4 beside it or not. With --key, an age identity file, what is sealed in a PROOF that holds is opened too.
// It says "DIR verified", or for each failure "DIR FAIL name, segment: what", by the names of the page (8), the segment where it is of
// one. Of a segment's bytes it says the first that is wrong, and what the leaves say that it has proven. Exit status 0 where all
// verify, else 1. Without any argument it reads such words from its input, a JSON list a line, and answers each with a line, a JSON
// list of [DIR, what it says]. It shares no code with the product and is no part of it: where the two disagree, the page or one of them is wrong. A
// number like (5) is a section of the page. Here: what is held against what across logs, and a whole recording (9); one
// segment, one log and its history, one range, and what is signed have files of their own.
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { createInterface } from "node:readline";
import { byName, elsewhere, same, unexplained, within } from "./held.mjs";
import { History } from "./history.mjs";
import { checkExport, identities } from "./keyed.mjs";
import { parseLeaf } from "./leaf.mjs";
import { attempt, fail, failing, hex, hold, most, need, orTell, reader, renamed, sameBytes, tell, told } from "./lib.mjs";
import { splitOrigin } from "./log.mjs";
import { askedFor, headerSize, range } from "./range.mjs";
import { members, opened, unpack } from "./segment.mjs";
import { cameraHead, countsUpTo, keptHead, laterHead, purge, receipt, revocation, sessionIn, signedHead, stationIn } from "./signed.mjs";
import { hashLines, leadTo } from "./tree.mjs";

const logOf = (origin) => attempt(() => splitOrigin(origin) && origin, "?");

// ---- one camera (8) ----

const later = (what, run) => [orTell(what, run)].filter((found) => found !== null);

// The checkpoint beside a log's tiles, and who may have signed it. The tiles themselves, like seal records, prove nothing.
function besideTiles(given, logs, root) {
  const heads = given.filter(({ path, place }) => basename(path) === "checkpoint" && logs.includes(place));
  const places = logs.flatMap((log) => [log, join(log, "chain")]);
  const chains = given.filter(({ path, place }) => path.endsWith(".pem") && places.includes(place));
  return { heads, sessions: chains.flatMap(({ data }) => attempt(() => [sessionIn(data, root)], [])) };
}

// `given`: { path, place, data } of every file. In a `proof` nothing is asked for beside its recordings. `cosigned` are what exports
// have in that folder, `logs`, `spools` and `unpacked` the directories that are a log, a spool (of which what others have may be gone),
// an export that somebody unpacked, `stations` what a station has: its own receipts do not excuse what lacks there.
function camera(given, root, { heads = [], revoked, proof = false, cosigned: folders = [], logs: tiled = [], spools = [], unpacked = [], stations = [] }) {
  const ending = (end) => given.filter(({ path }) => path.endsWith(end));
  const read = (end, what, of) => ending(end).flatMap(({ data, place }) => later(what, () => of(data, place)));
  const inOf = (kinds, dirs) => ({ place }) => kinds.includes(basename(place)) && dirs.includes(dirname(place));
  const inSpool = inOf(["open", "sealed", "delivered"], spools), inExport = inOf(["segments"], unpacked);
  const files = ending(".tar").map(({ path, place, data }) => ({ ...opened(data, basename(path, ".tar"), basename(place) === "open"), place }))
    .filter(({ open, first }) => !open || Number.isFinite(first)).sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  const excerpt = proof || (files.length > 0 && files.every(inExport)), histories = new Map();
  const home = files.map((file) => logOf(file.origin)).find((origin) => origin !== "?") ?? "unknown/1";
  for (const file of files) if (logOf(file.origin) === "?") file.origin = home;
  const receipts = read(".receipt", "bad-receipt", (data, place) => ({ ...receipt(data, root), place })), whose = ({ station, camera: name }) => `${station} ${name}`;
  const ownPlaces = stations.map((station) => [join(station, "receipts"), unpacked.includes(station)]);
  const atHome = ({ place }) => ownPlaces.some(([below, handed]) => place.startsWith(below + sep) || (place === below && !handed));
  const here = new Set(receipts.filter(atHome).map(whose));
  const beside = besideTiles(given, tiled, root), inFiles = files.flatMap(({ chain }) => attempt(() => [sessionIn(chain, root)], []));
  const sessions = [...inFiles, ...beside.sessions], stand = beside.heads.flatMap(({ data }) => later("bad-head", () => cameraHead(data, sessions)));
  const asked = heads.flatMap((data) => later("bad-head", () => laterHead(data, root, sessions)));
  const cosigned = [...receipts, ...asked.filter((head) => head.stored)], lost = [...revoked, ...read(".revocation", "bad-revocation", (data) => revocation(data, root))];
  for (const one of cosigned) one.excuses = !here.has(whose(one));
  const all = [...asked, ...stand, ...receipts, ...lost.flatMap(({ logs }) => [...logs.values()])];
  const inThem = cosigned.flatMap(({ signed }) => attempt(() => [cameraHead(signed, sessions)], []));
  const signed = [...asked, ...stand, ...inThem].filter((head) => head.identity);
  const kept = read(".vouched", "bad-head", (data) => keptHead(data, sessions));
  all.push(...kept);
  signed.push(...kept);
  const notes = read(".purge", "bad-purge", (data) => purge(data, root, cosigned));
  for (const origin of new Set(files.map((file) => file.origin))) {
    const own = (list) => list.filter((one) => one.origin === origin);
    const history = new History(origin, own(files), own(cosigned), own(signed), own(files).some(inSpool), own(notes)).run(root);
    histories.set(origin, history);
  }
  const others = (origin) => elsewhere(origin, cosigned, [...histories.values()]);
  for (const [origin, history] of histories) {
    history.checkGaps(excerpt, history.spool ? others(origin) : []);
    const beyond = folders.flatMap((held) => attempt(() => [vouched(held, new Map([[origin, history]]), root)], []));
    history.led = most([0, ...beyond.map(({ size }) => size)]);
    const by = history.ledTo(kept.filter((one) => one.origin === origin));
    history.settle([...beyond.filter(({ identity }) => identity).map(({ size }) => size), ...by]);
    history.checkSeals();
  }
  const next = [...histories.values()].filter(({ log }) => log.follows);
  for (const history of next) follows(history, histories, all, excerpt, history.spool ? others(history.log.follows.origin) : []);
  for (const head of asked) hold(histories.has(head.origin), "bad-head", "", "a later head is of another log");
  for (const { origin, log } of next) all.push({ ...log.follows, told: `what ${origin} follows` });
  for (const history of histories.values()) history.leadsTo(all.filter(({ origin }) => origin === history.origin), excerpt);
  for (const history of histories.values()) for (const one of lost) countsUpTo(history, one);
  for (const held of folders) orTell("bad-head", () => vouched(held, histories, root));
  for (const history of excerpt ? [] : next) checkKept(history, files, [...histories.values()], cosigned);
}

function follows({ origin, log }, histories, heads, excerpt, others) { // the log that this one follows; of which others have some
  const { follows: head } = log, old = histories.get(head.origin);
  if (head.size === 0 || (excerpt && !old)) return;
  const against = heads.some(({ origin: of, size, root }) => of === head.origin && size === head.size && !sameBytes(root, head.root));
  hold(!against, "bad-epoch", "", `${origin} follows a head that another one contradicts`);
  if (old) hold(old.end <= head.size, "fork", "", `${head.origin} goes on after ${origin} says that it ended`);
  if (old && !log.left && old.log.next === head.size) countsOn(old.log.counter, log);
  if (!old) for (const [first, end] of unexplained(byName(others, new Set()), 0, head.size, null, "")) {
    tell("missing-segment", "", `the log that ${origin} follows is missing: leaves ${first} to ${end - 1}`);
  }
}

function countsOn(last, { counted, origin }) { // what the hardware counts goes on from one log to the next (3)
  if (last === null || counted === undefined) return;
  hold(counted <= last + 1n, "counter-jump", "", `the start counter goes up by more than one to the first count of ${origin}`);
  hold(counted > last, "counter-back", "", `the start counter does not go up to the first count of ${origin}`);
}

// What was left over of earlier epochs is there (8), or others have it; or bytes that something signed names in its place are so. In
// which of them it is nobody signed: its name alone says of what.
function checkKept({ origin, log, spool }, files, histories, cosigned) {
  if (log.kept.length === 0) return;
  const { stem, epoch } = splitOrigin(origin), before = `${stem}/${epoch - 1}`, earlier = within(before, 1);
  const goneIn = (some) => some.flatMap(({ notes }) => notes.flatMap(({ gone }) => gone)), old = histories.filter(earlier);
  const had = [...goneIn(histories), ...(spool ? elsewhere(before, cosigned, histories, 1) : [])];
  const signed = [...old.flatMap((history) => history.log.seals), ...goneIn(old), ...cosigned.filter(earlier).flatMap((by) => by.stored)];
  for (const one of log.kept) {
    const own = files.filter(({ name }) => name === one.name), body = Number(one.size) - 1024;
    const begins = ({ data }) => one.whole && body > 0 && body < data.length && hex(data.subarray(0, body), Buffer.alloc(1024)) === one.sha256;
    const words = signed.filter(({ name }) => name === one.name);
    const accounted = (word) => own.some(({ digest }) => digest === word.sha256) || had.some(same(word));
    const whole = one.whole && own.some((file) => !file.open && earlier(file)); // and does not fail
    const there = own.some(begins) || whole || [one, ...words].some(accounted);
    hold(there || failing(one.name), "missing-segment", one.name, `what a kept leaf of ${origin} names is not here`);
  }
}

// ---- exports (9) ----

const SEGMENT = /^segments\/[^/]*\.tar$/;

function whole(held, root, revoked) {
  const members = [...held].filter(([name]) => SEGMENT.test(name) || /^(receipts\/[^/]*\.receipt|purges\/[^/]*\.(purge|vouched))$/.test(name));
  need([...held.keys()].some((name) => name.startsWith("segments/")), "it holds neither segments nor the entries of a range", "not-a-segment");
  const cosigned = [...held.keys()].some((name) => name.startsWith("cosigned/")) ? [held] : [];
  camera(members.map(([path, data]) => ({ path, place: dirname(path), data })), root, { revoked, proof: true, cosigned });
}

function vouched(held, histories, root) { // the leaves below a size lead to the head in cosigned/, which the identity signed or not
  const member = reader(held);
  const point = renamed("bad-head", () => {
    const chain = sessionIn(member("cosigned/chain.pem", 65536), root), station = stationIn(member("cosigned/station.pem", 65536), root);
    return signedHead(member("cosigned/checkpoint", 8192), [chain], station);
  });
  need(point.cosigned, "no station cosigned cosigned/checkpoint");
  const text = renamed("bad-head", () => member("cosigned/consistency", 16384)).toString("latin1");
  const [line, old] = /^old ([1-9][0-9]{0,15})\n/.exec(text) ?? fail("no old size"), size = Number(old), proof = hashLines(text.slice(line.length));
  const history = histories.get(point.origin) ?? fail(`no segment of ${point.origin} is here`), known = history.log.roots.get(size);
  need(known || size <= history.end, `the leaves below ${size} of ${point.origin} are not all here`, "missing-segment");
  need(known && size <= point.size && leadTo({ size, root: known }, point, proof), "the leaves do not lead to cosigned/checkpoint");
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
    const { init, entries } = unpack(opened(data, basename(name)));
    if (init && basename(name).startsWith(`${recording}-`)) yield split(`${name}: init.age`, null, init);
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

function walk(path) { // of it and all directories below it, which files and which directories are in it
  const inside = readdirSync(path, { withFileTypes: true }), named = (kind) => inside.filter((entry) => entry[kind]()).map(({ name }) => name);
  const found = { path, files: named("isFile"), directories: named("isDirectory") };
  return [found, ...found.directories.flatMap((name) => walk(join(path, name)))];
}

function directory(path, root, heads, revoked) {
  const all = walk(path), given = all.flatMap(({ path: place, files }) => files.map((name) => ({ path: join(place, name), place, data: readFileSync(join(place, name)) })));
  const having = (files, directories) => all.filter((one) =>
    files.every((name) => one.files.includes(name)) && directories.every((name) => one.directories.includes(name))).map((one) => one.path);
  const unpacked = having(["report.json"], ["segments", "trust"]), logs = having(["checkpoint"], ["tile"]);
  const segmented = having([], ["segments"]), spools = having([], ["sealed", "delivered"]).filter((place) => !segmented.includes(place));
  const stations = having([], ["segments", "receipts"]);
  const inside = (place) => given.filter((one) => one.place === join(place, "cosigned")).map((one) => [`cosigned/${basename(one.path)}`, one.data]);
  const names = ["checkpoint", "consistency", "station.pem", "chain.pem"].map((name) => `cosigned/${name}`);
  const cosigned = unpacked.map((place) => new Map(inside(place).filter(([name]) => names.includes(name)))).filter(({ size }) => size > 0);
  camera(given, root, { heads, revoked, cosigned, logs, spools, unpacked, stations });
}

const plain = (text) => text.replace(/[^ -~]/g, "?");

async function judged(words) { // [place, what it says of it] for each line
  const options = {}, heads = [], lines = [];
  while (words[0]?.startsWith("--")) {
    const name = words.shift().slice(2), value = words.shift();
    if (name === "head") heads.push(readFileSync(value));
    else options[name] = value;
  }
  const root = new X509Certificate(readFileSync(options.trust)), opener = options.key ? await identities(options.key) : null;
  for (const place of words) {
    told.length = 0;
    try {
      const revoked = options.revoked ? later("bad-revocation", () => revocation(readFileSync(options.revoked), root)) : [];
      if (place.endsWith(".proof.tar")) await proof(place, root, revoked, opener);
      else directory(place, root, heads, revoked);
    } catch (error) { tell(error.what ?? "altered-export", "", error.message); }
    const said = told.map(({ what, where, text }) => `FAIL ${what}, ${where}: ${text}`);
    lines.push(...(said.length ? said : ["verified"]).map((line) => [place, plain(line)]));
  }
  return lines;
}

if (process.argv.length > 2) {
  const lines = await judged(process.argv.slice(2));
  for (const [place, line] of lines) console.log(`${plain(place)} ${line}`);
  process.exitCode = Number(lines.some(([, line]) => line !== "verified"));
} else {
  for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await judged(JSON.parse(line))));
}
