// A second verifier, written from docs/evidence-format.md alone, in another language, on Node's own library; npm's age-encryption opens what is sealed.
//
//   node verify.mjs --trust ROOT.pem [--head NOTE|RECEIPT]... [--revoked REVOCATION] [--key IDENTITIES] DIR|PROOF...
//
// Each DIR holds the segments of one camera (*.tar), and receipts (*.receipt); each PROOF is that of an export (*.proof.tar), its MP4 beside it or not.
// With --key, an age identity file, what is sealed in a PROOF is opened too. One line for each: "DIR verified",
// or "DIR FAIL segment: what". Exit status 0 where all verify, else 1. It shares no
// code with the product and is no part of it: where the two disagree, the page or one of them is wrong. A number like (5)
// is a section of the page.
import { createHash, verify as check, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseJson } from "./json.mjs";
import { checkExport, identities } from "./keyed.mjs";
import { parseLeaf } from "./leaf.mjs";

const sha = (...parts) => { const h = createHash("sha256"); parts.forEach((p) => h.update(p)); return h.digest(); };
const hex = (data) => sha(data).toString("hex");
const fail = (text) => { throw new Error(text); };
const need = (truth, text) => truth || fail(text);
const sameBytes = (a, b) => Buffer.compare(a, b) === 0;

const inner = new Map(); // what an export holds, by a path of its own
const read = (path) => inner.get(path) ?? readFileSync(path);

function unbase64(text) {
  const data = Buffer.from(text, "base64");
  return data.toString("base64") === text ? data : fail(`not canonical base64: ${text.slice(0, 40)}`);
}

// ---- ustar (5) ----

function header(name, size) {
  const block = Buffer.alloc(512);
  const put = (at, text) => block.write(text, at, "latin1");
  put(0, name); put(100, "0000644\0" + "0000000\0".repeat(2)); put(124, size.toString(8).padStart(11, "0") + "\0");
  put(136, "0".repeat(11) + "\0"); put(148, " ".repeat(8)); put(156, "0"); put(257, "ustar\0" + "00");
  put(329, "0000000\0".repeat(2));
  put(148, block.reduce((a, b) => a + b).toString(8).padStart(6, "0") + "\0 ");
  return block;
}

function members(data) {
  const found = [];
  for (let at = 0; ;) {
    need(at + 512 <= data.length, "the file is cut short");
    const block = data.subarray(at, at + 512);
    if (block.every((b) => b === 0)) {
      need(data.length === at + 1024 && data.subarray(at).every((b) => b === 0), "not 1,024 zero bytes at the end");
      return found;
    }
    const name = block.toString("latin1", 0, 100).replace(/\0+$/, ""), size = parseInt(block.toString("latin1", 124, 135), 8);
    need(size >= 0 && sameBytes(header(name, size), block), `header at ${at} is not in the one spelling`);
    const end = at + 512 + size, next = end + ((512 - (size % 512)) % 512);
    need(next <= data.length && data.subarray(end, next).every((b) => b === 0), `${name} is cut short or badly padded`);
    found.push({ name, data: data.subarray(at + 512, end) });
    at = next;
  }
}

function unpack(data, media) {
  const all = members(data), names = all.map((m) => m.name), lead = media ? 3 : 2;
  need(names.slice(0, lead).join() === (media ? "init.age," : "") + "segment.json,chain.pem", "the first members are others");
  const count = (all.length - lead) / 3, first = Number((names[lead] ?? "").slice(0, 10));
  need(Number.isInteger(count) && count > 0, "no whole entries");
  const entries = [];
  for (let n = 0; n < count; n++) {
    const stem = String(first + n).padStart(10, "0"), at = lead + 3 * n;
    need(names.slice(at, at + 3).join() === `${stem}.age,${stem}.json,${stem}.note`, `entry ${stem} is not where it belongs`);
    const [sealed, leaf, note] = all.slice(at, at + 3).map((m) => m.data);
    need(sealed.length <= 32 << 20 && leaf.length <= 16384 && note.length <= 8192, `entry ${stem} is too large`);
    entries.push({ index: first + n, sealed, leaf, note });
  }
  need(all[lead - 2].data.length <= 65536 && all[lead - 1].data.length <= 65536, "segment.json or chain.pem is too large");
  return { init: media ? all[0].data : null, json: all[lead - 2].data, chain: all[lead - 1].data, entries };
}

// ---- the tree (2), RFC 6962 ----

const node = (left, right) => sha(Buffer.of(1), left, right);

function append(tree, leaf) {
  const hashes = [...tree.hashes, sha(Buffer.of(0), leaf)];
  for (let size = tree.size; size % 2 === 1; size = (size - 1) / 2) { const right = hashes.pop(); hashes.push(node(hashes.pop(), right)); }
  return { size: tree.size + 1, hashes };
}

const rootOf = (tree) => tree.hashes.length ? tree.hashes.reduceRight((right, left) => node(left, right)) : sha("");

// ---- certificates (6) ----

function extension(der, oid) {
  const at = der.indexOf(Buffer.from([6, 3, 0x55, 0x1d, oid]));
  if (at < 0) return null;
  let value = at + 5;
  if (der[value] === 1) value += 3; // critical
  return der[value] === 4 ? der.subarray(value + 2, value + 2 + der[value + 1]) : null;
}

function certificate(cert, issuer, ou, pathLength) {
  const fields = Object.fromEntries(cert.subject.split("\n").map((l) => [l.slice(0, l.indexOf("=")), l.slice(l.indexOf("=") + 1)]));
  need(fields.OU === ou, `a certificate is of ${fields.OU}, not of ${ou}`);
  need(cert.issuer === issuer.subject && cert.verify(issuer.publicKey), `the certificate of ${ou} is not signed by its issuer`);
  const basic = extension(cert.raw, 19), usage = extension(cert.raw, 15);
  const signs = usage !== null && (usage[3] & 4) !== 0;
  need(cert.ca === (pathLength !== null) && signs === (pathLength !== null), `the certificate of ${ou} has another role`);
  need(pathLength === null || (basic && basic[basic.length - 1] === pathLength && basic[basic.length - 3] === 2), `path length of ${ou}`);
  const kind = pathLength === null ? "ed25519" : "ec";
  need(cert.publicKey.asymmetricKeyType === kind, `the key of ${ou} is no ${kind}`);
  return fields.CN;
}

function trusted(pem, root) {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? [];
  need(blocks.length === 3 && blocks.join("") === pem.toString("latin1"), "chain.pem does not hold three certificates");
  const [session, identity, issuing] = blocks.map((block) => new X509Certificate(block));
  certificate(root, root, "bodycam root", 2);
  certificate(issuing, root, "bodycam issuing", 1);
  const camera = certificate(identity, issuing, "bodycam camera identity", 0);
  const [name, boot, more] = certificate(session, identity, "bodycam camera session", null).split(" ");
  need(name === camera && boot && more === undefined, "the session is of another camera");
  return { camera, boot, session: session.publicKey, identity: identity.publicKey, certificate: hex(session.raw) };
}

// ---- notes (2), receipts (7) ----

const rawKey = (key) => Buffer.from(key.export({ format: "jwk" }).x, "base64url");
const noteId = (name, type, key) => sha(name, Buffer.of(10, type), rawKey(key)).subarray(0, 4);

function note(data) {
  const text = data.toString("utf8"), split = text.indexOf("\n\n");
  need(split > 0 && text.endsWith("\n") && sameBytes(Buffer.from(text), data), "not a signed note");
  const signatures = text.slice(split + 2, -1).split("\n").map((line) => {
    const [dash, name, value, more] = line.split(" ");
    need(dash === "—" && value && more === undefined, "not a signature line");
    const bytes = unbase64(value);
    return { name, id: bytes.subarray(0, 4), value: bytes.subarray(4) };
  });
  return { text: text.slice(0, split + 1), signatures };
}

function checkpoint(text) {
  const [origin, size, root, rest, more] = text.split("\n");
  need(rest === "" && more === undefined && /^(0|[1-9][0-9]*)$/.test(size), "not a checkpoint");
  return { origin, size: Number(size), root: unbase64(root) };
}

const signed = (signature, name, id) => signature && signature.name === name && sameBytes(signature.id, id);

const HALF_ORDER = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;

function lowS(der) { // SEQUENCE { INTEGER r, INTEGER s }, which is valid by now
  const s = der.subarray(6 + der[3]);
  return BigInt("0x" + s.toString("hex")) <= HALF_ORDER;
}

function byCamera({ text, signatures }, origin, who, strong) {
  need(signed(signatures[0], origin, noteId(origin, 1, who.session)), "the first signature is not the session's");
  need(check(null, Buffer.from(text), who.session, signatures[0].value), "the session's signature is wrong");
  const der = who.identity.export({ type: "spki", format: "der" });
  if (signatures.length > 1) {
    need(signed(signatures[1], origin, sha(der).subarray(0, 4)), "the second signature is not the identity's");
    need(check("sha256", Buffer.from(text), { key: who.identity, dsaEncoding: "der" }, signatures[1].value), "the identity's signature is wrong");
    need(lowS(signatures[1].value), "the identity's signature is not in its one spelling");
  }
  need(signatures.length <= 2 && (!strong || signatures.length === 2), "the identity's signature is missing, or there are too many");
}

function receipt(data, root) {
  const { text, signatures } = note(data), lines = text.slice(0, -1).split("\n"), of = {};
  need(lines.shift() === "bodycam-receipt/v1", "not a receipt");
  for (const line of lines) (of[line.split(" ")[0]] ??= []).push(line.slice(line.indexOf(" ") + 1));
  const [own, issuing] = of.certificate.map((c) => new X509Certificate(unbase64(c)));
  certificate(root, root, "bodycam root", 2);
  certificate(issuing, root, "bodycam issuing", 1);
  const station = certificate(own, issuing, "bodycam receipt", null);
  need(station === of.station[0] && signed(signatures[0], station, noteId(station, 1, own.publicKey)), "the receipt is not this station's");
  need(check(null, Buffer.from(text), own.publicKey, signatures[0].value), "the receipt's signature is wrong");
  const head = note(unbase64(of.checkpoint[0])), last = head.signatures.at(-1);
  need(signed(last, station, noteId(station, 4, own.publicKey)), "the checkpoint is not cosigned by the station");
  const message = `cosignature/v1\ntime ${last.value.readBigUInt64BE(0)}\n${head.text}`;
  need(check(null, Buffer.from(message), own.publicKey, last.value.subarray(8)), "the cosignature is wrong");
  const point = checkpoint(head.text);
  need(point.origin === of.origin[0], "the receipt and its checkpoint are of two logs");
  return point;
}

// A later head (8) is a receipt, or a checkpoint signed by a camera whose chain is at hand.
function laterHead(data, root, cameras) {
  const { text, signatures } = note(data);
  if (text.startsWith("bodycam-receipt/")) return receipt(data, root);
  const point = checkpoint(text), name = point.origin, bytes = Buffer.from(text);
  const by = (who) => signatures.some((s) =>
    (signed(s, name, noteId(name, 1, who.session)) && check(null, bytes, who.session, s.value)) ||
    (signed(s, name, sha(who.identity.export({ type: "spki", format: "der" })).subarray(0, 4)) &&
      check("sha256", bytes, { key: who.identity, dsaEncoding: "der" }, s.value)));
  need(cameras.some((who) => who.camera === name.split("/").at(-2) && by(who)), "no camera at hand signed the later head");
  return point;
}

function revocation(data, root) {
  const { text, signatures } = note(data), lines = text.slice(0, -1).split("\n"), of = {};
  need(lines.shift() === "bodycam-revocation/v1", "not a revocation");
  for (const line of lines) (of[line.split(" ")[0]] ??= []).push(line.slice(line.indexOf(" ") + 1));
  const [own, issuing] = of.certificate.map((c) => new X509Certificate(unbase64(c)));
  certificate(root, root, "bodycam root", 2);
  certificate(issuing, root, "bodycam issuing", 1);
  const station = certificate(own, issuing, "bodycam receipt", null);
  need(station === of.station[0] && signed(signatures[0], station, noteId(station, 1, own.publicKey)), "the revocation is not this station's");
  need(check(null, Buffer.from(text), own.publicKey, signatures[0].value), "the revocation's signature is wrong");
  return { camera: of.camera[0], logs: new Map((of.log ?? []).map((l) => l.split(" ")).map(([origin, size, root]) => [origin, { size: Number(size), root: unbase64(root) }])) };
}

// ---- one segment (8) ----

const STRONG = new Set(["session", "start", "stop", "recovery", "shutdown"]);
const RECORDING = /^r[0-9]{10}-[0-9a-f]{8}$/;

function readHead(json, name) {
  const head = parseJson(json);
  const spelled = `{"v":1,"origin":${JSON.stringify(head.origin)},"camera":${JSON.stringify(head.camera)},"recording":${JSON.stringify(head.recording)},` +
    `"seq":${head.seq},"first":${head.first},"frontier":${JSON.stringify(head.frontier)}}\n`;
  need(head.v === 1 && spelled === json.toString("latin1"), "segment.json is not in its one spelling");
  const hashes = head.frontier.map(unbase64), ones = [...head.first.toString(2)].filter((bit) => bit === "1").length;
  need(hashes.length === ones && hashes.every((h) => h.length === 32), "the frontier does not fit the first leaf");
  need(head.recording === null ? head.seq === 0 && new RegExp(`^e${String(head.first).padStart(10, "0")}-[0-9a-f]{8}$`).test(name)
    : RECORDING.test(head.recording) && name === `${head.recording}-${String(head.seq).padStart(4, "0")}`, "segment.json is of another name");
  need(head.origin.split("/").length === 3 && head.origin.split("/")[1] === head.camera && /^[a-z0-9-]{1,27}$/.test(head.camera), "origin or camera");
  return { ...head, tree: { size: head.first, hashes } };
}

function checkSealed(sealed, said) {
  const mark = sealed.indexOf("\n---") + 1, size = mark > 0 ? sealed.indexOf("\n", mark) + 1 : 0;
  need(said.sha256 === hex(sealed) && said.header.size === size && said.payload.size === sealed.length - size, "sealed bytes are not those of the leaf");
  need(said.header.sha256 === hex(sealed.subarray(0, size)) && said.payload.sha256 === hex(sealed.subarray(size)), "header or payload is not that of the leaf");
}

function segment(path, root, log) {
  const name = basename(path, ".tar"), data = read(path), { init, json, chain, entries } = unpack(data, name.startsWith("r"));
  const head = readHead(json, name), who = trusted(chain, root);
  need(who.camera === head.camera, "the chain is of another camera");
  let tree = head.tree;
  for (const entry of entries) {
    const leaf = parseLeaf(entry.leaf);
    need(leaf.v === 1 && leaf.index === entry.index && entry.index === tree.size, `leaf ${entry.index} is not the next one`);
    need(leaf.camera === head.camera && leaf.chain === hex(chain) && leaf.boot === who.boot, `leaf ${entry.index} is of another camera or session`);
    checkSealed(entry.sealed, leaf.sealed);
    tree = append(tree, entry.leaf);
    const said = note(entry.note), point = checkpoint(said.text);
    need(point.origin === head.origin && point.size === tree.size && sameBytes(point.root, rootOf(tree)), `the root after leaf ${entry.index} is another`);
    byCamera(said, head.origin, who, STRONG.has(leaf.kind));
    need(leaf.class === "media" ? leaf.init === hex(init ?? "") && leaf.recording === head.recording : leaf.class === "event", `leaf ${entry.index} is of no class`);
    log.owed(leaf);
    log.leaf(leaf, who);
    log.roots.set(tree.size, rootOf(tree));
  }
  return { name, head, who, after: tree, sha256: hex(data), size: data.length };
}

// ---- a log (8) ----

const OWED = new Set(["session", "seal", "recovery"]);
const EPOCH = /^[1-9][0-9]{0,5}$/;

function splitOrigin(origin) {
  const at = origin.lastIndexOf("/"), number = origin.slice(at + 1);
  need(at > 0 && EPOCH.test(number), `not the name of a log: ${origin}`);
  return { stem: origin.slice(0, at), epoch: Number(number) };
}

function headOf(value, own) { // an earlier head, as the first leaf of an epoch names it (2)
  need(value && typeof value.origin === "string" && Number.isInteger(value.size) && value.size >= 0 && typeof value.root === "string", "a head that is none");
  const { stem, epoch } = splitOrigin(value.origin), root = unbase64(value.root);
  need(stem === own.stem && epoch < own.epoch && root.length === 32, "a head of no earlier epoch of this log");
  return { origin: value.origin, size: value.size, root };
}

class Log { // leaf after leaf; where some are not here, what is said of what they held is not known
  roots = new Map([[0, sha("")]]);
  recordings = new Map();
  seals = [];
  clocks = new Map();
  session = null;
  counter = null;
  follows = null;
  next = -1;
  from = 0; // from this leaf on none is missing

  constructor(origin) { this.own = splitOrigin(origin); this.origin = origin; }

  count(leaf) {
    if (!("counter" in leaf.facts)) return;
    need(/^(bigint|number)$/.test(typeof leaf.facts.counter), "the counter is no number");
    const value = BigInt(leaf.facts.counter);
    need(value > 0n && value < 1n << 63n && (this.counter === null || value === this.counter + 1n), `the start counter does not go up by one at leaf ${leaf.index}`);
    this.counter = value;
  }

  epochs(leaf) { // what it says of earlier ones (2)
    if (leaf.kind === "kept") need(leaf.facts.segments.every((one) => one.epoch < this.own.epoch), `leaf ${leaf.index} names as kept what is of no earlier epoch`);
    const fact = leaf.facts.epoch ?? null;
    if (leaf.index > 0 || this.own.epoch === 1) return need(!("epoch" in leaf.facts), `leaf ${leaf.index} says that it begins a later epoch`);
    need(leaf.kind === "session" && fact && ["damaged", "behind"].includes(fact.reason), "the first leaf does not say which log it follows, and why");
    this.follows = headOf(fact.follows, this.own);
    if (fact.left != null) headOf(fact.left, this.own);
  }

  resume({ index, facts: { resumes } }) { // the log before this leaf, whose root a range does not know
    const said = resumes?.size ?? 0, root = this.roots.get(said);
    need((resumes === null) === (index === 0) && said === index, `the session leaf ${index} does not say which log it continues`);
    need(!resumes || !root || sameBytes(unbase64(resumes.root), root), `the session leaf ${index} continues another log`);
  }

  gap(index) {
    [this.from, this.session, this.counter] = [index, undefined, null];
    for (const recording of this.recordings.values()) recording.next = null;
  }

  of(leaf) { // the recording it is of; its start may lie before what is known here
    const name = leaf.recording, known = this.recordings.get(name);
    need(known || (RECORDING.test(name) && Number(name.slice(1, 11)) < this.from), `leaf ${leaf.index} is of a recording that never started`);
    if (!known) this.recordings.set(name, { next: null, ended: false, session: this.session });
    return this.recordings.get(name);
  }

  sessions(leaf, who) {
    need(leaf.index > 0 || leaf.kind === "session", "the log begins without a session");
    if (leaf.kind === "session") {
      need(leaf.facts.session_cert === who.certificate, "the session leaf names another certificate");
      this.count(leaf);
      this.resume(leaf);
      this.session = who.certificate;
    }
    this.session = this.session === undefined ? who.certificate : this.session;
    need(this.session === who.certificate, `leaf ${leaf.index} is of a session that no leaf opened, or that is over`);
    if (leaf.kind === "shutdown") this.session = null;
  }

  leaf(leaf, who) {
    if (leaf.index !== this.next && leaf.index > 0) this.gap(leaf.index);
    this.next = leaf.index + 1;
    const last = this.clocks.get(leaf.boot);
    need(!last || (leaf.mono_ns >= last.mono_ns && leaf.boottime_ns >= last.boottime_ns), `a clock goes back at leaf ${leaf.index}`);
    this.clocks.set(leaf.boot, leaf);
    if (leaf.class === "event") this.epochs(leaf);
    this.sessions(leaf, who);
    if (leaf.kind === "seal") this.seals.push(leaf.facts);
    if (leaf.kind === "start") {
      this.count(leaf);
      need(RECORDING.test(leaf.recording) && Number(leaf.recording.slice(1, 11)) === leaf.index, "a recording is not named after its start");
      this.recordings.set(leaf.recording, { next: 0, ended: false, session: this.session });
    }
    if (leaf.class === "media") {
      const recording = this.of(leaf), one = [leaf.zero_mono_ns, leaf.init].join();
      need(!recording.ended && recording.session === this.session, `part ${leaf.part} comes after the end, or from another session`);
      need(leaf.part === (recording.next ?? leaf.part), `part ${leaf.part} is not the next of its recording`);
      recording.next = leaf.part + 1;
      need((recording.line ??= one) === one, "a part has another timeline or init");
    } else if (leaf.kind === "stop" || (leaf.kind === "recovery" && leaf.facts.interrupted === true)) {
      const recording = this.of(leaf);
      need(!recording.ended && leaf.facts.parts === (recording.next ?? leaf.facts.parts), "a recording ends twice, or with another number of parts");
      need(leaf.kind === "recovery" || recording.session === this.session, "a stop from another session");
      recording.ended = true;
    }
  }

  owed(leaf) { // a session says first what was cut before it
    const open = [...this.recordings.values()].filter((recording) => !recording.ended);
    if (leaf.kind === "session") for (const recording of open) recording.owed = true;
    need(OWED.has(leaf.kind) || !open.some((recording) => recording.owed), `leaf ${leaf.index} comes before its session says what was cut`);
  }
}

const headIn = (path) => { try { return readHead(members(read(path)).find((m) => m.name === "segment.json").data, basename(path, ".tar")); } catch { return { origin: "?", first: -1 }; } };

function log(origin, paths, root, excerpt) {
  const state = new Log(origin), found = [];
  for (const path of paths) {
    try {
      const one = segment(path, root, state), before = found.at(-1);
      need(one.head.first === (before?.after.size ?? (excerpt ? one.head.first : 0)), "a segment before it is missing, or given twice");
      need(!before || (before.head.origin === one.head.origin && sameBytes(rootOf(before.after), rootOf(one.head.tree))), "it continues another log");
      found.push(one);
    } catch (error) { throw new Error(`${basename(path, ".tar")}: ${error.message}`); }
  }
  for (const seal of state.seals) {
    const one = found.find((s) => s.name === seal.segment);
    if (excerpt && !one && !found.some((s) => s.head.recording === seal.segment.slice(0, 20))) continue;
    need(one && one.sha256 === seal.sha256 && one.size === seal.size && one.head.first === seal.first && one.after.size === seal.first + seal.entries,
      `${seal.segment}: not the file its seal leaf names`);
  }
  state.end = found.at(-1)?.after.size ?? 0;
  state.cameras = found.map((s) => s.who);
  return state;
}

const leadsTo = (state, head, text) => need(state.roots.has(head.size) && sameBytes(state.roots.get(head.size), head.root), text);

function trustedUpTo(origin, state, revoked, excerpt) {
  if (revoked?.camera !== origin.split("/").at(-2)) return;
  const counts = revoked.logs.get(origin) ?? { size: 0, root: sha("") };
  need(state.end <= counts.size, `the camera was revoked: of ${origin} ${counts.size} leaves count`);
  if (excerpt && !state.roots.has(counts.size)) return;
  leadsTo(state, counts, "the leaves do not lead to what the revocation names");
}

function camera(given, root, heads, revoked, excerpt = false) {
  const paths = given.filter((p) => p.endsWith(".tar")), receipts = given.filter((p) => p.endsWith(".receipt"));
  const files = paths.map((path) => ({ path, ...headIn(path) })).sort((a, b) => a.first - b.first), logs = new Map();
  const home = files.find((f) => f.origin !== "?")?.origin ?? "?", originOf = (f) => (f.origin === "?" ? home : f.origin);
  for (const origin of new Set(files.map(originOf))) logs.set(origin, log(origin, files.filter((f) => originOf(f) === origin).map((f) => f.path), root, excerpt));
  for (const { origin, follows } of logs.values()) {
    if (!follows || follows.size === 0 || (excerpt && !logs.has(follows.origin))) continue;
    const old = logs.get(follows.origin) ?? fail(`the log that ${origin} follows is missing`);
    leadsTo(old, follows, `${follows.origin} does not lead to what ${origin} follows`);
    need(old.end === follows.size, `${follows.origin} goes on after ${origin} says that it ended`);
  }
  const asked = heads.map((data) => laterHead(data, root, [...logs.values()].flatMap((state) => state.cameras)));
  for (const head of asked) need(logs.has(head.origin), "a later head is of another log");
  for (const head of [...asked, ...receipts.map((path) => receipt(read(path), root))]) {
    if (excerpt && !logs.get(head.origin)?.roots.has(head.size)) continue;
    if (logs.has(head.origin)) leadsTo(logs.get(head.origin), head, "the leaves do not lead to the later head");
  }
  for (const [origin, state] of logs) trustedUpTo(origin, state, revoked, excerpt);
  return logs;
}

// ---- a whole recording (9) ----

function whole(path, held, root, revoked) {
  const paths = [...held.keys()].filter((name) => /^(segments\/[^/]+\.tar|receipts\/[^/]+\.receipt)$/.test(name)).map((name) => join(path, name));
  for (const name of paths) inner.set(name, held.get(name.slice(path.length + 1)));
  need(paths.some((name) => name.endsWith(".tar")), "it holds neither segments nor the entries of a range");
  const logs = camera(paths, root, [], revoked, true), beside = [...held.keys()].filter((name) => name.startsWith("cosigned/"));
  if (beside.length === 0) return;
  const [data, text, station, chain] = [["checkpoint", 8192], ["consistency", 16384], ["station.pem", 65536], ["chain.pem", 65536]].map(([name, limit]) => {
    const member = held.get(`cosigned/${name}`);
    return member && member.length <= limit ? member : fail(`cosigned/${name} is not there, or too long`);
  });
  const point = signedHead(data, new Map([["", trusted(chain, root)]]), stationOf(station, root));
  need(point.cosigned, "no station cosigned cosigned/checkpoint");
  const [line, old] = /^old ([1-9][0-9]{0,15})\n/.exec(text.toString("latin1")) ?? fail("cosigned/consistency does not say from which size"), size = Number(old);
  const proof = hashLines(text.toString("latin1", line.length)), known = logs.get(point.origin)?.roots.get(size);
  need(known, `the leaves below ${size} of ${point.origin} are not all here`);
  need(size === point.size ? proof.length === 0 && sameBytes(known, point.root) : consistency({ size, root: known }, point, proof), "the leaves do not lead to cosigned/checkpoint");
}

// ---- a range (9) ----

function stationOf(pem, root) {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? [];
  need(blocks.length === 2 && blocks.join("") === pem.toString("latin1"), "station.pem does not hold two certificates");
  const [own, issuing] = blocks.map((block) => new X509Certificate(block));
  certificate(root, root, "bodycam root", 2);
  certificate(issuing, root, "bodycam issuing", 1);
  return { name: certificate(own, issuing, "bodycam receipt", null), key: own.publicKey };
}

function signedHead(data, chains, station) {
  const { text, signatures } = note(data), point = checkpoint(text), last = signatures.at(-1);
  let cosigned = false;
  if (station && signed(last, station.name, noteId(station.name, 4, station.key))) {
    const message = `cosignature/v1\ntime ${last.value.readBigUInt64BE(0)}\n${text}`;
    need(check(null, Buffer.from(message), station.key, last.value.subarray(8)), "the cosignature is wrong");
    signatures.pop();
    cosigned = true;
  }
  const who = [...chains.values()].find((one) => signed(signatures[0], point.origin, noteId(point.origin, 1, one.session)));
  need(who && who.camera === point.origin.split("/").at(-2), "no session of this camera, whose chain is here, signed the checkpoint");
  byCamera({ text, signatures }, point.origin, who, false);
  return { ...point, cosigned, camera: who.camera };
}

// RFC 9162: 2.1.3.2 and 2.1.4.2. Numbers beyond 32 bits are no place for >> and &.
const half = (n) => Math.floor(n / 2);

function inclusion(leaf, index, size, path, root) {
  let [fn, sn, r] = [index, size - 1, sha(Buffer.of(0), leaf)];
  if (index >= size) return false;
  for (const p of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      r = node(p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else r = node(r, p);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && sameBytes(r, root);
}

function consistency(old, now, proof) {
  if (!(old.size > 0 && old.size < now.size)) return false;
  let [fn, sn] = [old.size - 1, now.size - 1];
  while (fn % 2 === 1) [fn, sn] = [half(fn), half(sn)];
  const path = fn === 0 ? [old.root, ...proof] : [...proof];
  let fr = path.shift(), sr = fr;
  if (!fr) return false;
  for (const c of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      [fr, sr] = [node(c, fr), node(c, sr)];
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else sr = node(sr, c);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && sameBytes(fr, old.root) && sameBytes(sr, now.root);
}

function hashLines(text) {
  const hashes = text === "" ? [] : text.replace(/\n$/, "").split("\n").map(unbase64);
  need((text === "" || text.endsWith("\n")) && hashes.length <= 64 && hashes.every((h) => h.length === 32), "not hashes, one a line");
  return hashes;
}

function pathOf(data, index, point) {
  const text = data.toString("latin1"), split = text.indexOf("\n\n"), [magic, where, ...lines] = text.slice(0, split).split("\n");
  need(split > 0 && magic === "c2sp.org/tlog-proof@v1" && where === `index ${index}`, `the proof of leaf ${index} is not one`);
  need(sameBytes(data.subarray(split + 2), point.data), `the proof of leaf ${index} has another checkpoint`);
  return hashLines(lines.map((line) => `${line}\n`).join(""));
}

// c2sp.org/age: version, stanzas, MAC; each base64 in its one spelling, without padding.
const AGE = /^age-encryption\.org\/v1\n((?:-> [!-~]+(?: [!-~]+)*\n(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)+)--- ([A-Za-z0-9+/]{43})\n/;

function headerSize(sealed) {
  const found = AGE.exec(sealed.toString("latin1", 0, 65536));
  need(found, "not an age file");
  const bodies = found[1].split(/^-> .*\n/m).slice(1).map((body) => body.replace(/\n/g, ""));
  for (const text of [...bodies, found[2]]) need(Buffer.from(text, "base64").toString("base64").replace(/=+$/, "") === text, "an age header is misspelled");
  return found[0].length;
}

// RFC 3161: the TSTInfo lies in an OCTET STRING of the signed data; in it version, policy, and the imprint.
function imprint(data) {
  const der = (bytes, tag) => {
    const long = bytes[1] & 0x80 ? bytes[1] & 0x7f : 0, size = long ? bytes.readUIntBE(2, long) : bytes[1], start = 2 + long;
    need(bytes[0] === tag && start + size <= bytes.length, "timestamp.tsr is not a timestamp");
    return [bytes.subarray(start, start + size), bytes.subarray(start + size)];
  };
  const [response, more] = der(data, 0x30), [status, token] = der(response, 0x30);
  need(more.length === 0 && der(status, 2)[0].length === 1 && der(status, 2)[0][0] < 2, "timestamp.tsr was not granted");
  const signed = der(der(der(der(token, 0x30)[0], 6)[1], 0xa0)[0], 0x30)[0];
  const inner = der(der(der(signed, 2)[1], 0x31)[1], 0x30)[0], info = der(der(der(inner, 6)[1], 0xa0)[0], 4)[0];
  const said = der(der(der(der(info, 0x30)[0], 2)[1], 6)[1], 0x30)[0];
  need(der(der(said, 0x30)[0], 6)[0].toString("hex") === "608648016503040201", "timestamp.tsr is not over a SHA-256");
  return der(der(said, 0x30)[1], 4)[0];
}

async function proof(path, root, revoked, opener) {
  const held = new Map();
  for (const { name, data } of members(readFileSync(path))) { need(!held.has(name), `${name} stands twice`); held.set(name, data); }
  need(held.size <= 800_000, "the proof has too many members");
  if ([...held.keys()].some((name) => name === "checkpoint" || name.startsWith("entries/"))) range(held, root, revoked);
  else whole(path, held, root, revoked);
  const report = held.get("report.json"), told = report && JSON.parse(report).export;
  await checkExport(path, told, [...(held.has("init.age") ? sealedInRange(held) : sealedInSegments(held, told?.recording))], opener);
}

const split = (name, leaf, data, own) => {
  const size = headerSize(data);
  return { name, leaf, headers: [data.subarray(0, size), ...(own ? [own] : [])], payload: data.subarray(size) };
};

function* sealedInRange(held) {
  for (const [name, data] of held) {
    if (!/^(init|entries\/[0-9]{10})\.age$/.test(name)) continue;
    const stem = name.slice(0, -4);
    yield split(name, stem === "init" ? null : parseLeaf(held.get(`${stem}.json`)), data, held.get(`${stem}.header`));
  }
}

function* sealedInSegments(held, recording) {
  for (const [name, data] of held) {
    if (!name.startsWith("segments/")) continue;
    const { init, entries } = unpack(data, basename(name).startsWith("r"));
    if (init && basename(name).startsWith(`${recording}-`)) yield split(`${name}: init.age`, null, init);
    for (const { index, leaf, sealed } of entries) yield split(`${name}: entry ${index}`, parseLeaf(leaf), sealed);
  }
}

function range(held, root, revoked) {
  const member = (name, limit) => { const data = held.get(name); need(data && data.length <= limit, `${name} is not there, or too long`); return data; };
  const chains = new Map();
  for (const [name, data] of held) {
    if (!name.startsWith("chains/")) continue;
    need(name === `chains/${hex(data)}.pem`, `${name} is another chain`);
    chains.set(hex(data), trusted(data, root));
  }
  const station = held.has("station.pem") ? stationOf(held.get("station.pem"), root) : null;
  const point = signedHead(member("checkpoint", 8192), chains, station);
  point.data = held.get("checkpoint");
  let cosigned = point.cosigned, seen = 0;
  if (held.has("earlier/checkpoint") || held.has("earlier/consistency")) {
    const old = signedHead(member("earlier/checkpoint", 8192), chains, station);
    const proof = hashLines(member("earlier/consistency", 16384).toString("latin1"));
    need(old.cosigned && old.origin === point.origin && consistency(old, point, proof), "the earlier checkpoint is no cosigned prefix");
    cosigned = true;
    seen = old.size;
  }
  need(!station || cosigned, "station.pem is there for nothing");
  if (held.has("timestamp.tsr")) need(sameBytes(imprint(member("timestamp.tsr", 65536)), sha(point.data)), "timestamp.tsr is of another checkpoint");
  const sealed = (name) => {
    const data = member(`${name}.age`, 32 << 20), own = held.get(`${name}.header`);
    if (!own) return data;
    need(headerSize(own) === own.length, `${name}.header is not an age header`);
    return Buffer.concat([own, data.subarray(headerSize(data))]);
  };
  const last = rangeLeaves(held, member, sealed, point, chains);
  if (revoked?.camera !== point.camera) return;
  const counts = revoked.logs.get(point.origin) ?? { size: 0, root: sha("") };
  if (point.cosigned || (counts.size === point.size && sameBytes(counts.root, point.root))) seen = point.size;
  need(last < counts.size && last < seen, "the camera was revoked: a leaf does not count, or leads to no head that a station saw");
}

function rangeLeaves(held, member, sealed, point, chains) {
  const { recording, first_part: first, last_part: last, mp4_sha256: mp4 } = JSON.parse(member("report.json", 64 << 20)).export ?? {};
  need(RECORDING.test(recording) && [first, last].every((n) => Number.isSafeInteger(n) && n >= 0) && typeof mp4 === "string", "report.json does not say");
  const found = [...held.keys()].map((name) => name.match(/^entries\/([0-9]{10})\.(age|json|tlog-proof|header)$/)?.[1]).filter((name) => name);
  const init = hex(sealed("init")), log = new Log(point.origin);
  let want = first, before = null, started = false;
  for (const stem of [...new Set(found)].sort()) {
    const index = Number(stem), name = `entries/${stem}`, data = member(`${name}.json`, 16384);
    need(inclusion(data, index, point.size, pathOf(member(`${name}.tlog-proof`, 16384), index, point), point.root), `leaf ${index} is not in the tree`);
    const leaf = parseLeaf(data), who = chains.get(leaf.chain);
    need(leaf.v === 1 && leaf.index === index && leaf.camera === point.camera, `leaf ${index} is of another place or camera`);
    need(who && who.camera === leaf.camera && who.boot === leaf.boot, `leaf ${index} is of no session whose chain is here`);
    checkSealed(sealed(name), leaf.sealed);
    log.leaf(leaf, who);
    started ||= leaf.kind === "start" && leaf.recording === recording;
    need(before === null || want > last || index === before + 1, `leaf ${before + 1}, between two parts, is not here`);
    if (leaf.class === "media") {
      need(leaf.recording === recording && leaf.part === want && want <= last, `part ${leaf.part} where part ${want} of ${recording} belongs`);
      need(leaf.init === init, "a part has another init");
      want += 1;
    } else if (leaf.kind === "stop" || (leaf.kind === "recovery" && leaf.facts.interrupted === true)) {
      need(leaf.recording !== recording || leaf.facts.parts === last + 1, "the recording ends with another number of parts");
    }
    if (before !== null || leaf.class === "media") before = index;
  }
  need(started, "the recording's start leaf is not here");
  need(want === last + 1, `part ${want} is not here`);
  return before;
}

const filesBelow = (directory) => readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? filesBelow(join(directory, entry.name)) : entry.isFile() ? [join(directory, entry.name)] : []);

const [words, options, heads] = [process.argv.slice(2), {}, []];
while (words[0]?.startsWith("--")) {
  const name = words.shift().slice(2), value = words.shift();
  if (name === "head") heads.push(value); else options[name] = value;
}
const root = new X509Certificate(readFileSync(options.trust)), later = heads.map((path) => readFileSync(path));
const opener = options.key ? await identities(options.key) : null;
let failed = 0;
for (const directory of words) {
  let said = "verified";
  try {
    const revoked = options.revoked ? revocation(readFileSync(options.revoked), root) : null;
    if (directory.endsWith(".proof.tar")) await proof(directory, root, revoked, opener);
    else camera(filesBelow(directory), root, later, revoked);
  } catch (error) { said = `FAIL ${error.message}`; failed = 1; }
  console.log(`${directory} ${said.replace(/[^ -~]/g, "?")}`);
}
process.exitCode = failed;
