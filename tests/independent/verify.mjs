// A second verifier, written from docs/evidence-format.md alone, in another language, on Node's own library; npm's age-encryption opens what is sealed.
//
//   node verify.mjs --trust ROOT.pem [--head NOTE|RECEIPT]... [--revoked REVOCATION] [--key IDENTITIES] DIR|PROOF...
//
// Each DIR holds the segments of one camera (*.tar), and receipts (*.receipt); each PROOF is that of an export (*.proof.tar), its MP4 beside it or not.
// With --key, an age identity file, what is sealed in a PROOF is opened too. It says "DIR verified", or for each failure
// "DIR FAIL name, segment: what", by the names of the page (8), the segment where it is of one. Of a segment's bytes it
// says the first that is wrong, and what the leaves say that it has proven; of a PROOF of a range the first of all.
// Exit status 0 where all verify, else 1. It shares no code with the product and is no part of it: where the two
// disagree, the page or one of them is wrong. A number like (5) is a section of the page.
import { createHash, verify as check, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseJson } from "./json.mjs";
import { checkExport, identities } from "./keyed.mjs";
import { parseLeaf } from "./leaf.mjs";

const sha = (...parts) => { const h = createHash("sha256"); parts.forEach((p) => h.update(p)); return h.digest(); };
const hex = (data) => sha(data).toString("hex");
const fail = (text, what) => { throw Object.assign(new Error(text), { what }); };
const need = (truth, text, what) => truth || fail(text, what);
const renamed = (what, run) => { try { return run(); } catch (error) { return fail(error.message, what); } };
const named = (what, run) => { try { return run(); } catch (error) { error.what ??= what; throw error; } };

let told = []; // failures: their name, the segment or "", words
const tell = (what, where, text) => told.push({ what, where, text });
const hold = (truth, what, where, text) => truth || (tell(what, where, text), false);
const failing = (name) => told.some(({ where }) => where === name);
const spoiled = (name) => told.some(({ what, where }) => where === name && what !== "fork");
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

function members(data, found = []) { // `found` holds those before the first that is wrong
  const zero = (from, to) => from >= 0 && to <= data.length && data.subarray(from, to).every((b) => b === 0);
  for (let at = 0; ;) {
    const block = data.subarray(at, at + 512), left = data.length - at;
    if (zero(at, at + 512)) {
      need(left >= 1024, "the file ends in half a trailer", "truncated-segment");
      need(zero(at, at + 1024), "the trailer is not zero", "altered-bytes");
      need(left === 1024, "bytes follow the trailer", "inserted-bytes");
      return found;
    }
    const name = block.toString("latin1", 0, 100).replace(/\0+$/, ""), size = parseInt(block.toString("latin1", 124, 135), 8);
    const legible = left >= 512 && size >= 0, whole = left === 1024 || zero(data.length - 1024, data.length);
    need(legible || whole, "the file ends where a header or its trailer belongs", "truncated-segment");
    need(legible && sameBytes(header(name, size), block), `header at ${at} is not in the one spelling`, "altered-bytes");
    const end = at + 512 + size, next = end + ((512 - (size % 512)) % 512);
    need(next <= data.length, `the file ends inside ${name}`, "truncated-segment");
    need(zero(end, next), `${name} is badly padded`, "altered-bytes");
    found.push({ name, data: data.subarray(at + 512, end) });
    at = next;
  }
}

const STEM = /^([0-9]{10})\.(age|json|note)$/;
const stemsIn = (all) => [...new Set(all.map(({ name }) => STEM.exec(name)?.[1]).filter((stem) => stem))].sort();

// Of a file in open/, which ends anywhere, the members that stand in their order, up to the last whole entry (8).
function wholePrefix(data, media) {
  const all = [], lead = media ? 3 : 2;
  attempt(() => members(data, all));
  const first = Number(STEM.exec(all[lead]?.name ?? "")?.[1]), wanted = (n) => `${String(first + Math.floor(n / 3)).padStart(10, "0")}.${["age", "json", "note"][n % 3]}`;
  const end = all.slice(lead).findIndex(({ name }, n) => name !== wanted(n)), count = end < 0 ? Math.max(0, all.length - lead) : end;
  return all.slice(0, count < 3 ? 0 : lead + count - (count % 3));
}

function unpack(data, name, open = false) {
  const all = open ? wholePrefix(data, name.startsWith("r")) : [];
  if (!open) try { members(data, all); } catch (error) {
    const whole = stemsIn(all).some((stem) => all.filter(({ name }) => name.startsWith(stem)).length === 3);
    throw Object.assign(error, { nothing: error.what === "truncated-segment" && !whole });
  }
  const held = new Map(all.map((m) => [m.name, m.data])), media = attempt(() => readHead(held.get("segment.json")).recording !== null, name.startsWith("r"));
  const lead = [...(media ? ["init.age"] : []), "segment.json", "chain.pem"], stems = stemsIn(all), first = Number(stems[0]), own = all.filter(({ name }) => lead.includes(name));
  for (const { name } of all) need(lead.includes(name) || STEM.test(name), `${name} does not belong in this segment`, "inserted-bytes");
  need(own.length === new Set(own.map(({ name }) => name)).size, "a member before the entries stands twice", "inserted-bytes");
  for (const name of lead) need(held.has(name), `${name} is missing`, "altered-bytes");
  need(stems.length > 0, "it holds no entry", "not-a-segment");
  need(held.size === all.length, "an entry, or a member of one, stands twice", "repeated-entry");
  const wanted = stems.flatMap((stem) => ["age", "json", "note"].map((kind) => `${stem}.${kind}`));
  need(wanted.every((name) => held.has(name)) && Number(stems.at(-1)) === first + stems.length - 1, "an entry, or a member of one, is missing", "missing-parts");
  need(all.map(({ name }) => name).join() === [...lead, ...wanted].join(), "the members stand in another order", "swapped-entries");
  const entries = stems.map((stem, n) => {
    const [sealed, leaf, note] = ["age", "json", "note"].map((kind) => held.get(`${stem}.${kind}`));
    need(sealed.length <= 32 << 20 && leaf.length <= 16384 && note.length <= 8192, `entry ${stem} is too large`);
    return { index: first + n, sealed, leaf, note };
  });
  need(held.get("segment.json").length <= 65536 && held.get("chain.pem").length <= 65536, "segment.json or chain.pem is too large");
  return { init: held.get("init.age") ?? null, json: held.get("segment.json"), chain: held.get("chain.pem"), entries };
}

const attempt = (run, otherwise) => { try { return run(); } catch { return otherwise; } };

// A leaf or a checkpoint says of which entry it is. One that is another's stands for it, or once more.
function places(entries, name) {
  for (const [kind, of] of [["leaf", (data) => Number(parseJson(data).index)], ["note", (data) => checkpoint(note(data).text).size - 1]]) {
    const said = entries.map((entry) => attempt(() => of(entry[kind]), entry.index));
    for (const [n, entry] of entries.entries()) {
      const at = said[n] - entries[0].index, there = entries[at], text = `the ${kind} of entry ${entry.index} is that of entry ${said[n]}`;
      if (said[n] === entry.index || !there) continue;
      need(said[at] === there.index, text, "swapped-entries");
      if (!sameBytes(there[kind], entry[kind])) continue;
      tell("repeated-entry", name, text);
      fail(`entry ${entry.index} has no ${kind} of its own`, "missing-parts");
    }
  }
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

function byCamera(said, origin, who, strong) { return named("bad-signature", () => signatures(said, origin, who, strong)); }

function signatures({ text, signatures }, origin, who, strong) {
  need(signed(signatures[0], origin, noteId(origin, 1, who.session)), "the first signature is not the session's");
  need(check(null, Buffer.from(text), who.session, signatures[0].value), "the session's signature is wrong");
  const der = who.identity.export({ type: "spki", format: "der" });
  if (signatures.length > 1) {
    need(signed(signatures[1], origin, sha(der).subarray(0, 4)), "the second signature is not the identity's");
    need(check("sha256", Buffer.from(text), { key: who.identity, dsaEncoding: "der" }, signatures[1].value), "the identity's signature is wrong");
    need(lowS(signatures[1].value), "the identity's signature is not in its one spelling");
  }
  need(signatures.length <= 2, "there are more signatures than two");
  need(!strong || signatures.length === 2, "the identity's signature is missing", "missing-signature");
}

const STORED = "[0-9a-f]{64} (0|[1-9][0-9]{0,17}) (r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8}) [!-~]{1,200} (0|[1-9][0-9]{0,17})( [0-9a-f]{32})?\\n";
const RECEIPT = new RegExp(`^bodycam-receipt/v1\\nstation [^ \\n]+\\norigin [^ \\n]+\\ncamera [a-z0-9-]{1,27}\\nissued (0|[1-9][0-9]{0,17})\\n(segment ${STORED})*(kept ${STORED})*checkpoint [^ \\n]+\\n(certificate [^ \\n]+\\n){2}$`);

function receipt(data, root) {
  const { text, signatures } = note(data), lines = text.slice(0, -1).split("\n"), of = {};
  need(lines.shift() === "bodycam-receipt/v1" && RECEIPT.test(text) && text.length <= 65536, "not a receipt, or in another form");
  need(text.match(/^(segment|kept) /gm) === null || text.match(/^(segment|kept) /gm).length <= 256, "a receipt of more than 256 lines");
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
  return { ...point, stored: (of.segment ?? []).map((line) => line.split(" ")[2]) };
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

function readHead(json) {
  const head = parseJson(json);
  const spelled = `{"v":1,"origin":${JSON.stringify(head.origin)},"camera":${JSON.stringify(head.camera)},"recording":${JSON.stringify(head.recording)},` +
    `"seq":${head.seq},"first":${head.first},"frontier":${JSON.stringify(head.frontier)}}\n`;
  need(head.v === 1 && spelled === json.toString("latin1"), "segment.json is not in its one spelling");
  const hashes = head.frontier.map(unbase64), ones = [...head.first.toString(2)].filter((bit) => bit === "1").length;
  need(hashes.length === ones && hashes.every((h) => h.length === 32), "the frontier does not fit the first leaf");
  need(head.recording === null ? head.seq === 0 : RECORDING.test(head.recording), "segment.json is of no segment");
  need(head.origin.split("/").length === 3 && head.origin.split("/")[1] === head.camera && /^[a-z0-9-]{1,27}$/.test(head.camera), "origin or camera");
  return { ...head, tree: { size: head.first, hashes } };
}

function checkSealed(sealed, said) {
  const mark = sealed.indexOf("\n---") + 1, size = mark > 0 ? sealed.indexOf("\n", mark) + 1 : 0;
  need(said.sha256 === hex(sealed) && said.header.size === size && said.payload.size === sealed.length - size, "sealed bytes are not those of the leaf");
  need(said.header.sha256 === hex(sealed.subarray(0, size)) && said.payload.sha256 === hex(sealed.subarray(size)), "header or payload is not that of the leaf");
}

// What stands before the entries is altered where it fits none of them (8); one that does not fit is wrong where others do.
function fits(head, { init, chain, entries }) {
  const leaves = entries.map(({ leaf }) => attempt(() => parseLeaf(leaf), null)).filter((leaf) => leaf), media = leaves.filter((leaf) => leaf.class === "media");
  const points = entries.map((entry) => attempt(() => checkpoint(note(entry.note).text), null)).filter((point) => point);
  const some = (list, is, text) => need(list.length === 0 || list.some(is), `${text} is not the one that the entries name`, "altered-bytes");
  some(points, (point) => point.origin === head.origin, "the log in segment.json");
  some(leaves, (leaf) => leaf.camera === head.camera, "the camera in segment.json");
  some(media, (leaf) => leaf.recording === head.recording, "the recording in segment.json");
  some(leaves, (leaf) => leaf.chain === hex(chain), "chain.pem");
  some(media, (leaf) => init && leaf.init === hex(init), "init.age");
  need(head.first <= entries[0].index, "segment.json says that it begins later than it does", "altered-bytes");
  need(head.first === entries[0].index, `leaf ${head.first} is not in its segment`, "missing-parts");
  return new Map(leaves.map((leaf) => [leaf.sealed.sha256, Number(leaf.index)]));
}

function proven(entry, tree, head, who) { // the leaf, once the checkpoint shows that it is the one that was signed
  const said = named("altered-bytes", () => note(entry.note)), point = named("altered-bytes", () => checkpoint(said.text));
  const right = `${head.origin}\n${tree.size}\n${rootOf(tree).toString("base64")}\n`, first = said.signatures[0];
  const by = (text) => signed(first, head.origin, noteId(head.origin, 1, who.session)) && check(null, Buffer.from(text), who.session, first.value);
  need(by(said.text), `the session's signature of checkpoint ${entry.index} is wrong`, by(right) ? "altered-bytes" : "bad-signature");
  need(point.origin === head.origin && point.size === tree.size, `the checkpoint of leaf ${entry.index} is of another place`, "bad-root");
  need(said.text === right, `the root after leaf ${entry.index} is another`, "altered-bytes");
  const leaf = named("bad-leaf", () => parseLeaf(entry.leaf));
  byCamera(said, head.origin, who, STRONG.has(leaf.kind));
  return leaf;
}

const torn = (entry, tree, head, who) => attempt(() => checkSealed(entry.sealed, proven(entry, append(tree, entry.leaf), head, who).sealed) ?? false, true);

function segment({ name, path, open }, root, log) {
  const data = read(path), all = named("altered-bytes", () => unpack(data, name, open)), { init, json, chain, entries } = all;
  places(entries, name);
  const head = named("altered-bytes", () => readHead(json)), sealedBy = fits(head, all), who = named("untrusted-chain", () => trusted(chain, root));
  need(who.camera === head.camera, "the chain is of another camera", "other-camera");
  let tree = head.tree;
  for (const entry of entries) {
    if (open && entry === entries.at(-1) && torn(entry, tree, head, who)) break; // its blocks may have come in any order
    const before = tree;
    tree = append(tree, entry.leaf);
    const leaf = proven(entry, tree, head, who), at = `leaf ${entry.index}`;
    log.roots.set(before.size, rootOf(before)); // the frontier, which this signature proves
    need(leaf.v === 1 && leaf.index === entry.index, `${at} says that it is another`, "bad-leaf");
    hold(leaf.camera === head.camera, "other-camera", name, `${at} is of another camera`);
    hold(leaf.boot === who.boot, "bad-session", name, `${at} is of another boot than its session`);
    hold(leaf.chain === hex(chain), "bad-leaf", name, `${at} names another chain`);
    try { checkSealed(entry.sealed, leaf.sealed); } catch (error) {
      tell((sealedBy.get(hex(entry.sealed)) ?? entry.index) === entry.index ? "altered-bytes" : "swapped-entries", name, `${at}: ${error.message}`);
    }
    const media = leaf.class === "media";
    if (media) hold(leaf.init === hex(init ?? ""), "bad-leaf", name, `${at} names another init`);
    if (hold(!media || leaf.recording === head.recording, "bad-leaf", name, `${at} is of another recording than its segment`)) log.hear(leaf, who, name);
    else log.next = leaf.index + 1;
    log.roots.set(tree.size, rootOf(tree));
  }
  return { head, who, after: tree, end: tree.size, sha256: hex(data), size: data.length };
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
  where = ""; // the segment whose leaves are heard

  constructor(origin) { this.own = splitOrigin(origin); this.origin = origin; }

  hold(truth, what, text) { return hold(truth, what, this.where, text); }

  count({ index, facts: { counter } }) {
    if (counter === undefined) return;
    if (!this.hold(/^(bigint|number)$/.test(typeof counter) && counter > 0 && counter < 1n << 63n, "bad-leaf", `the counter of leaf ${index} is no number`)) return;
    const value = BigInt(counter), last = this.counter ?? value - 1n;
    this.hold(value <= last + 1n, "counter-jump", `the start counter goes up by more than one at leaf ${index}`);
    this.hold(value > last, "counter-back", `the start counter does not go up at leaf ${index}`);
    this.counter = value;
  }

  epochs(leaf) { // what it says of earlier ones (2)
    if (leaf.kind === "kept") this.hold(leaf.facts.segments.every((one) => one.epoch < this.own.epoch), "bad-leaf", `leaf ${leaf.index} names as kept what is of no earlier epoch`);
    const fact = leaf.facts.epoch ?? null;
    if (leaf.index > 0 || this.own.epoch === 1) return this.hold(!("epoch" in leaf.facts), "bad-epoch", `leaf ${leaf.index} says that it begins a later epoch`);
    try {
      need(leaf.kind === "session" && fact && ["damaged", "behind"].includes(fact.reason), "the first leaf does not say which log it follows, and why");
      if (fact.left != null) headOf(fact.left, this.own);
      this.follows = headOf(fact.follows, this.own);
    } catch (error) { this.hold(false, "bad-epoch", error.message); }
  }

  resume({ index, facts: { resumes } }) { // the log before this leaf, whose root a range does not know
    const said = resumes?.size ?? 0, root = this.roots.get(said);
    const fits = (resumes === null) === (index === 0) && said === index && (!resumes || !root || resumes.root === root.toString("base64"));
    this.hold(fits, "bad-session", `the session leaf ${index} does not say which log it continues, or another`);
  }

  at(index) {
    if (index !== this.next && index > 0) {
      [this.from, this.session, this.counter] = [index, undefined, null];
      for (const recording of this.recordings.values()) Object.assign(recording, { next: null, owed: false, unsure: true });
    }
    this.next = index + 1;
  }

  of(leaf) { // the recording it is of; its start may lie before what is known here
    const name = leaf.recording, known = this.recordings.get(name), ok = RECORDING.test(name) && Number(name.slice(1, 11)) < this.from;
    if (!known) this.recordings.set(name, { next: null, ended: false, session: this.session, unsure: true });
    this.hold(known || ok, "bad-leaf", `leaf ${leaf.index} is of a recording that never started`);
    return this.recordings.get(name);
  }

  sessions(leaf, who) {
    const opens = leaf.kind === "session", own = this.session === undefined || this.session === who.certificate;
    if (opens) {
      this.hold(leaf.facts.session_cert === who.certificate, "bad-session", "the session leaf names another certificate");
      this.count(leaf);
      this.resume(leaf);
    } else this.hold(leaf.index > 0 && own, "bad-session", `leaf ${leaf.index} is of a session that no leaf opened, or that is over`);
    this.session = leaf.kind === "shutdown" ? null : who.certificate;
  }

  hear(leaf, who, where) {
    this.where = where;
    this.at(leaf.index);
    this.owed(leaf);
    const last = this.clocks.get(leaf.boot);
    this.hold(!last || (leaf.mono_ns >= last.mono_ns && leaf.boottime_ns >= last.boottime_ns), "clock-went-back", `a clock goes back at leaf ${leaf.index}`);
    this.clocks.set(leaf.boot, leaf);
    if (leaf.class === "event") this.epochs(leaf);
    this.sessions(leaf, who);
    if (leaf.kind === "seal") this.seals.push(leaf.facts);
    if (leaf.kind === "start") {
      this.count(leaf);
      this.hold(RECORDING.test(leaf.recording) && Number(leaf.recording.slice(1, 11)) === leaf.index, "bad-leaf", "a recording is not named after its start");
      this.recordings.set(leaf.recording, { next: 0, ended: false, session: who.certificate });
    }
    if (leaf.class === "media") this.part(leaf, this.of(leaf), who);
    else if (leaf.kind === "stop" || (leaf.kind === "recovery" && leaf.facts.interrupted === true)) this.end(leaf, this.of(leaf), who);
  }

  part(leaf, recording, who) {
    const line = [leaf.zero_mono_ns, leaf.init].join(), next = recording.next ?? leaf.part;
    this.hold(!recording.ended && (recording.session ?? who.certificate) === who.certificate, "bad-leaf", `part ${leaf.part} comes after the end, or from another session`);
    this.hold(leaf.part >= next, "bad-leaf", `part ${leaf.part} where part ${next} belongs`);
    this.hold(leaf.part <= next, "missing-parts", `part ${leaf.part} where part ${next} belongs`);
    this.hold((recording.line ??= line) === line, "bad-leaf", "a part has another timeline or init");
    recording.next = Math.max(next, Number(leaf.part) + 1);
  }

  end(leaf, recording, who) {
    this.hold(!recording.ended, "bad-leaf", "a recording ends twice");
    hold(Number(leaf.facts.parts) === (recording.next ?? Number(leaf.facts.parts)), "missing-parts", "", "a recording ends with another number of parts");
    this.hold(leaf.kind === "recovery" || (recording.session ?? who.certificate) === who.certificate, "bad-leaf", "a stop from another session");
    recording.ended = true;
  }

  owed(leaf) { // a session says first what was cut before it; where leaves are missing, that is not known
    const open = [...this.recordings.values()].filter((recording) => !recording.ended && !recording.unsure);
    if (leaf.kind === "session") for (const recording of open) recording.owed = true;
    if (OWED.has(leaf.kind)) return;
    for (const recording of open.filter((one) => one.owed)) {
      hold(false, "no-end", "", `leaf ${leaf.index} comes before its session says that a recording was cut`);
      recording.owed = false;
    }
  }
}

// Where a segment says that it stands, whatever else is wrong with it: the log of its first checkpoint, its first leaf, and the end.
function peek(path) {
  const name = basename(path, ".tar"), open = basename(dirname(path)) === "open", all = open ? wholePrefix(read(path), name.startsWith("r")) : [];
  if (!open) attempt(() => members(read(path), all));
  const data = (name) => all.find((m) => m.name === name)?.data, stems = stemsIn(all), head = attempt(() => readHead(data("segment.json")), null);
  const origin = attempt(() => checkpoint(note(data(`${stems[0]}.note`)).text).origin, head?.origin), first = Math.min(head?.first ?? Infinity, Number(stems[0] ?? Infinity));
  return { path, name, open, origin: attempt(() => splitOrigin(origin) && origin, "?"), first, end: stems.length ? Number(stems.at(-1)) + 1 : first };
}

// One file of each content: under the same name it is a backup, under another it claims to be what it is not.
function withoutCopies(files) {
  const kept = new Map(), own = ({ head, name }) => name.startsWith(head?.recording ? `${head.recording}-${String(head.seq).padStart(4, "0")}` : "e");
  const headed = files.map((file) => ({ ...file, head: attempt(() => readHead(unpack(read(file.path), file.name, file.open).json), null) }));
  for (const file of headed.sort((a, b) => own(b) - own(a))) {
    const twin = kept.get(hex(read(file.path)));
    if (!twin) kept.set(hex(read(file.path)), file);
    else if (twin.name !== file.name) tell("repeated-segment", file.name, `the same bytes as ${twin.name}`);
  }
  return [...kept.values()].sort((a, b) => a.first - b.first);
}

function misnamed({ name, head, before }) { // the name of its file, what it says itself, and its place in the log
  const follows = before?.end === head.first && before.head?.recording === head.recording, seq = follows ? before.head.seq + 1 : 0, number = (n) => `${head.recording}-${String(n).padStart(4, "0")}`;
  const right = head.recording ? name === number(head.seq) : new RegExp(`^e${String(head.first).padStart(10, "0")}-[0-9a-f]{8}$`).test(name);
  if (right) return;
  tell(head.recording && name === number(seq) ? "altered-bytes" : "swapped-segments", name, "the file holds another segment than its name says");
}

const keyOf = (tree) => `${tree.size} ${hex(rootOf(tree))}`;

// Of several segments for the same leaves the one with the lowest rank is followed (8, "Histories").
function rank(files, heads) {
  const after = new Map(), most = (a, b = [0, 0]) => (b[0] > a[0] || (b[0] === a[0] && b[1] > a[1]) ? b : a);
  for (const file of [...files].sort((a, b) => b.first - a.first)) {
    let tree = file.head?.tree ?? { size: file.first, hashes: [] }, led = 0;
    const before = keyOf(tree), all = [];
    attempt(() => members(read(file.path), all));
    const leaves = new Map(file.head ? all.reverse().map(({ name, data }) => [name, data]) : []);
    for (let leaf; (leaf = leaves.get(`${String(tree.size).padStart(10, "0")}.json`)); ) {
      tree = append(tree, leaf);
      if (heads.some((head) => head.size === tree.size && sameBytes(head.root, rootOf(tree)))) led = tree.size;
    }
    const [further, end] = after.get(keyOf(tree)) ?? [0, 0], found = [Math.max(led, further), Math.max(tree.size, end)];
    if (file.head) after.set(before, most(found, after.get(before)));
    file.rank = [-found[0], -found[1], hex(read(file.path))];
  }
}

function* without(spans, start, end) { // runs of start <= i < end that lie in none of the spans
  for (const [first, last] of [...spans.sort((a, b) => a[0] - b[0]), [end, end]]) {
    if (start < Math.min(first, end)) yield [start, Math.min(first, end)];
    start = Math.max(start, last);
  }
}

function log(origin, files, root, excerpt, heads) {
  const state = new Log(origin), found = [], all = [], tips = new Set();
  state.beside = [];
  const left = withoutCopies(files);
  rank(left, heads);
  while (left.length > 0) {
    const before = found.at(-1), goesOnFrom = ({ head }) => before?.after && head && sameBytes(rootOf(before.after), rootOf(head.tree));
    const order = (file) => [Number(!goesOnFrom(file)), Number(file.open), ...file.rank], here = left.filter((file) => file.first === left[0].first);
    const less = (a, b) => { const n = a.findIndex((value, at) => value !== b[at]); return n >= 0 && a[n] < b[n]; };
    const file = here.reduce((best, other) => (less(order(other), order(best)) ? other : best)), one = { ...file, before };
    left.splice(left.indexOf(file), 1);
    const rival = found.find((one) => one.first <= file.first && file.first < one.end);
    const continues = file.head && !goesOnFrom(file) && tips.has(keyOf(file.head.tree)), aside = rival || continues;
    try {
      Object.assign(one, segment(one, root, aside ? new Log(origin) : state));
      if (!aside) misnamed(one);
      hold(aside || before?.end !== one.first || !before.after || goesOnFrom(one) || failing(one.name), "fork", one.name, "it continues another history than the segment before it");
      const same = rival?.after && one.end === rival.end && sameBytes(rootOf(rival.after), rootOf(one.after));
      if (aside && !spoiled(one.name) && !(rival && spoiled(rival.name)) && !(one.open && rival && !rival.open)) {
        tell(same ? "repeated-segment" : "fork", one.name, rival ? `the leaves of ${rival.name} stand here again` : "it continues a history that is not followed");
        if (!same) { state.beside.push([one.first, one.end]); tips.add(keyOf(one.after)); }
      }
    } catch (error) {
      tell(error.what ?? "altered-bytes", one.name, error.message);
      if (error.nothing) tell("not-a-segment", one.name, "it holds no whole entry");
    }
    all.push(one);
    if (Number.isFinite(one.first) && !aside) found.push(one);
  }
  missing(state, found, new Set(all.filter((one) => !Number.isFinite(one.first)).map((one) => one.name)), excerpt);
  for (const seal of state.seals) for (const one of found.filter(({ first, end }) => first <= seal.first && seal.first < end)) {
    const as = one.name === seal.segment && one.sha256 === seal.sha256 && one.size === seal.size && one.first === seal.first && one.end === seal.first + seal.entries;
    // A failure of its own says more; but of two histories the seal says which one it is of.
    hold(as || (failing(one.name) && !told.some(({ what, where }) => what === "fork" && where === one.name)), "seal-mismatch", one.name, "not the file its seal leaf names");
  }
  state.end = Math.max(0, ...found.map((one) => one.end));
  state.cut = found.length > 0 && failing(found.at(-1).name);
  state.cameras = all.filter((one) => one.who).map((one) => one.who);
  state.names = new Set([...all.map((one) => one.name), ...state.seals.map((seal) => seal.segment)]);
  return state;
}

// The one segment of a recording whose number is missing before `after`, or none.
function numbered(after, at, found) {
  if (!after.startsWith("r") || Number(after.slice(1, 11)) >= at) return "";
  const held = found.filter(({ name, end }) => end <= at && name.startsWith(after.slice(0, 20))).map(({ name }) => Number(name.slice(21)));
  const seq = Math.max(-1, ...held) + 1;
  return seq === Number(after.slice(21)) - 1 ? `${after.slice(0, 20)}-${String(seq).padStart(4, "0")}` : "";
}

// Leaves that no segment holds, by the segment that a seal leaf gives them to; a file that could not be read says so itself.
function missing(state, found, broken, excerpt) {
  const seals = state.seals.map(({ segment, first, entries }) => ({ segment, first: Number(first), end: Number(first) + Number(entries) })).sort((a, b) => a.first - b.first);
  const begin = ({ head, first }) => (excerpt && head?.recording ? Math.min(first, Number(head.recording.slice(1, 11))) : first);
  let at = excerpt ? Math.min(...found.map(begin)) : 0, before = null;
  for (const one of found) {
    const lost = (end, segment) => {
      for (const [from, to] of without(state.beside, at, end)) {
        if (!(before?.end === from && failing(before.name))) tell("missing-segment", segment, `leaves ${from} to ${to - 1} are in no segment`);
      }
      at = Math.max(at, end);
    };
    for (const seal of seals) {
      if (seal.first >= one.first || seal.end <= at || at >= one.first) continue;
      lost(seal.first, numbered(seal.segment, at, found));
      const end = Math.min(one.first, seal.end);
      if (before && seal.first < before.end && seal.first === before.first) hold(failing(before.name), "missing-parts", before.name, `leaves ${at} to ${end - 1} are not in it`);
      else if (!broken.has(seal.segment)) lost(end, seal.segment);
      at = end;
    }
    lost(one.first, numbered(one.name, at, found));
    [at, before] = [Math.max(at, one.end), one];
  }
}

function leadsTo(state, head, text, excerpt = false) { // where damage hides the root, that is a failure of its own
  const root = state.roots.get(head.size), gone = [...new Set(head.stored ?? [])].filter((name) => !state.names.has(name));
  if (root) hold(sameBytes(root, head.root), "fork", "", text);
  else if (!without(state.beside, state.end, head.size).next().done && !excerpt && !state.cut) tell("missing-segment", gone.length === 1 ? gone[0] : "", text);
}

function trustedUpTo(origin, state, revoked, excerpt) {
  if (revoked?.camera !== origin.split("/").at(-2)) return;
  const counts = revoked.logs.get(origin) ?? { size: 0, root: sha("") };
  hold(state.end <= counts.size, "revoked", "", `the camera was revoked: of ${origin} ${counts.size} leaves count`);
  leadsTo(state, counts, "the leaves do not lead to what the revocation names", excerpt);
}

function later(what, run) { // a head that others tell of; one that is no head is a failure, and says nothing
  try { return [run()]; } catch (error) { tell(error.what ?? what, "", error.message); return []; }
}

function camera(given, root, heads, revoked, excerpt = false) {
  const files = given.filter((p) => p.endsWith(".tar")).sort().map(peek).filter(({ open, first }) => !open || Number.isFinite(first)).sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name))), logs = new Map();
  const home = files.find((f) => f.origin !== "?")?.origin ?? "unknown/1", originOf = (f) => (f.origin === "?" ? home : f.origin);
  const receipts = given.filter((p) => p.endsWith(".receipt")).flatMap((path) => later("bad-receipt", () => receipt(read(path), root)));
  const cosigned = [...receipts, ...heads.flatMap((data) => attempt(() => [receipt(data, root)], []))];
  for (const origin of new Set(files.map(originOf))) {
    logs.set(origin, log(origin, files.filter((f) => originOf(f) === origin), root, excerpt, cosigned.filter((head) => head.origin === origin)));
  }
  const cameras = [...logs.values()].flatMap((state) => state.cameras), asked = heads.flatMap((data) => later("bad-head", () => laterHead(data, root, cameras)));
  for (const { origin, follows } of logs.values()) {
    if (!follows || follows.size === 0 || (excerpt && !logs.has(follows.origin))) continue;
    const against = [...asked, ...receipts].some((head) => head.origin === follows.origin && head.size === follows.size && !sameBytes(head.root, follows.root));
    hold(!against, "bad-epoch", "", `${origin} follows a head that another one contradicts`);
    const old = logs.get(follows.origin);
    if (!hold(old, "missing-segment", "", `the log that ${origin} follows is missing`)) continue;
    leadsTo(old, follows, `${follows.origin} does not lead to what ${origin} follows`);
    hold(old.end <= follows.size, "fork", "", `${follows.origin} goes on after ${origin} says that it ended`);
  }
  for (const head of asked) hold(logs.has(head.origin), "bad-head", "", "a later head is of another log");
  for (const head of [...asked, ...receipts]) if (logs.has(head.origin)) leadsTo(logs.get(head.origin), head, "the leaves do not lead to the later head", excerpt);
  for (const [origin, state] of logs) trustedUpTo(origin, state, revoked, excerpt);
  return logs;
}

// ---- a whole recording (9) ----

function whole(path, held, root, revoked) {
  const paths = [...held.keys()].filter((name) => /^(segments\/[^/]+\.tar|receipts\/[^/]+\.receipt)$/.test(name)).map((name) => join(path, name));
  for (const name of paths) inner.set(name, held.get(name.slice(path.length + 1)));
  need(paths.some((name) => name.endsWith(".tar")), "it holds neither segments nor the entries of a range", "not-a-segment");
  const logs = camera(paths, root, [], revoked, true), beside = [...held.keys()].filter((name) => name.startsWith("cosigned/"));
  if (beside.length > 0) named("bad-head", () => vouched(held, logs, root));
}

function vouched(held, logs, root) {
  const [data, text, station, chain] = [["checkpoint", 8192], ["consistency", 16384], ["station.pem", 65536], ["chain.pem", 65536]].map(([name, limit]) => {
    const member = held.get(`cosigned/${name}`);
    return member && member.length <= limit ? member : fail(`cosigned/${name} is not there, or too long`);
  });
  const point = renamed("bad-head", () => signedHead(data, new Map([["", trusted(chain, root)]]), stationOf(station, root)));
  need(point.cosigned, "no station cosigned cosigned/checkpoint");
  const [line, old] = /^old ([1-9][0-9]{0,15})\n/.exec(text.toString("latin1")) ?? fail("cosigned/consistency does not say from which size"), size = Number(old);
  const proof = hashLines(text.toString("latin1", line.length)), state = logs.get(point.origin) ?? fail(`no segment of ${point.origin} is here`), known = state.roots.get(size);
  need(known || size <= state.end, `the leaves below ${size} of ${point.origin} are not all here`, "missing-segment");
  need(known && (size === point.size ? proof.length === 0 && sameBytes(known, point.root) : consistency({ size, root: known }, point, proof)), "the leaves do not lead to cosigned/checkpoint");
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
  const { text, signatures } = named("altered-bytes", () => note(data)), point = named("altered-bytes", () => checkpoint(text)), last = signatures.at(-1);
  let cosigned = false;
  if (station && signed(last, station.name, noteId(station.name, 4, station.key))) {
    const message = `cosignature/v1\ntime ${last.value.readBigUInt64BE(0)}\n${text}`;
    need(check(null, Buffer.from(message), station.key, last.value.subarray(8)), "the cosignature is wrong", "bad-signature");
    signatures.pop();
    cosigned = true;
  }
  const who = [...chains.values()].find((one) => signed(signatures[0], point.origin, noteId(point.origin, 1, one.session)));
  need(who && who.camera === point.origin.split("/").at(-2), "no session of this camera, whose chain is here, signed the checkpoint", "bad-signature");
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
  need(split > 0 && magic === "c2sp.org/tlog-proof@v1", `the proof of leaf ${index} is not one`);
  need(where === `index ${index}`, `the proof of leaf ${index} is of another`, /^index [0-9]{1,10}$/.test(where) ? "swapped-entries" : "altered-bytes");
  need(sameBytes(data.subarray(split + 2), point.data), `the proof of leaf ${index} has another checkpoint`, "bad-root");
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
  const all = renamed("not-a-segment", () => members(readFileSync(path)));
  need(all.length <= 800_000, "the proof has too many members", "not-a-segment");
  for (const { name, data } of all) { need(!held.has(name), `${name} stands twice`, "repeated-entry"); held.set(name, data); }
  if ([...held.keys()].some((name) => name === "checkpoint" || name.startsWith("entries/"))) named("altered-bytes", () => range(held, root, revoked));
  else whole(path, held, root, revoked);
  const report = held.get("report.json"), said = report && attempt(() => JSON.parse(report).export, null);
  await checkExport(path, said, [...(held.has("init.age") ? sealedInRange(held) : sealedInSegments(held, said?.recording))], opener);
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
    const { init, entries } = unpack(data, basename(name));
    if (init && basename(name).startsWith(`${recording}-`)) yield split(`${name}: init.age`, null, init);
    for (const { index, leaf, sealed } of entries) yield split(`${name}: entry ${index}`, parseLeaf(leaf), sealed);
  }
}

function range(held, root, revoked) {
  const member = (name, limit, what) => { const data = held.get(name); need(data && data.length <= limit, `${name} is not there, or too long`, what); return data; };
  const chains = new Map();
  for (const [name, data] of held) {
    if (!name.startsWith("chains/")) continue;
    need(name === `chains/${hex(data)}.pem`, `${name} is another chain`, "altered-bytes");
    chains.set(hex(data), named("untrusted-chain", () => trusted(data, root)));
  }
  const station = held.has("station.pem") ? named("bad-signature", () => stationOf(held.get("station.pem"), root)) : null;
  const point = signedHead(member("checkpoint", 8192), chains, station);
  point.data = held.get("checkpoint");
  let cosigned = point.cosigned, seen = 0;
  if (held.has("earlier/checkpoint") || held.has("earlier/consistency")) {
    seen = named("bad-head", () => {
      const old = renamed("bad-head", () => signedHead(member("earlier/checkpoint", 8192), chains, station));
      const proof = hashLines(member("earlier/consistency", 16384).toString("latin1"));
      need(old.cosigned && old.origin === point.origin && consistency(old, point, proof), "the earlier checkpoint is no cosigned prefix");
      return old.size;
    });
    cosigned = true;
  }
  need(!station || cosigned, "station.pem is there for nothing", "bad-signature");
  if (held.has("timestamp.tsr")) need(sameBytes(imprint(member("timestamp.tsr", 65536)), sha(point.data)), "timestamp.tsr is of another checkpoint");
  const sealed = (name) => {
    const data = member(`${name}.age`, 32 << 20, "missing-parts"), own = held.get(`${name}.header`);
    if (!own) return data;
    need(headerSize(own) === own.length, `${name}.header is not an age header`);
    return Buffer.concat([own, data.subarray(headerSize(data))]);
  };
  const last = rangeLeaves(held, member, sealed, point, chains);
  if (revoked?.camera !== point.camera) return;
  const counts = revoked.logs.get(point.origin) ?? { size: 0, root: sha("") };
  if (point.cosigned || (counts.size === point.size && sameBytes(counts.root, point.root))) seen = point.size;
  need(last < counts.size && last < seen, "the camera was revoked: a leaf does not count, or leads to no head that a station saw", "revoked");
}

function rangeLeaves(held, member, sealed, point, chains) {
  const asked = named("altered-export", () => JSON.parse(member("report.json", 4 << 20)).export), { recording, first_part: first, last_part: last, mp4_sha256: mp4 } = asked ?? {};
  need(RECORDING.test(recording) && [first, last].every((n) => Number.isSafeInteger(n) && n >= 0) && typeof mp4 === "string", "report.json does not say", "altered-export");
  const found = [...held.keys()].map((name) => name.match(/^entries\/([0-9]{10})\.(age|json|tlog-proof|header)$/)?.[1]).filter((name) => name);
  const init = hex(sealed("init")), log = new Log(point.origin), stems = [...new Set(found)].sort();
  const digests = new Map(stems.map((stem) => [attempt(() => parseLeaf(held.get(`entries/${stem}.json`)).sealed.sha256, ""), stem]));
  let want = first, before = null, started = false;
  for (const stem of stems) {
    const index = Number(stem), name = `entries/${stem}`, data = member(`${name}.json`, 16384, "missing-parts");
    const path = pathOf(member(`${name}.tlog-proof`, 16384, "missing-parts"), index, point), said = attempt(() => Number(parseJson(data).index), index);
    need(said === index || !stems.includes(String(said).padStart(10, "0")), `leaf ${said} is under the name of leaf ${index}`, "swapped-entries");
    need(inclusion(data, index, point.size, path, point.root), `leaf ${index} is not in the tree`, "altered-bytes");
    const leaf = named("bad-leaf", () => parseLeaf(data)), who = chains.get(leaf.chain);
    need(leaf.v === 1 && leaf.index === index, `leaf ${index} is of another place`, "bad-leaf");
    need(leaf.camera === point.camera, `leaf ${index} is of another camera`, "other-camera");
    need(who, `the chain of leaf ${index} is not here`, "untrusted-chain");
    need(who.camera === leaf.camera && who.boot === leaf.boot, `leaf ${index} is of another session than its chain`, "bad-session");
    const bytes = sealed(name);
    named((digests.get(hex(bytes)) ?? stem) === stem ? "altered-bytes" : "swapped-entries", () => checkSealed(bytes, leaf.sealed));
    log.hear(leaf, who, "");
    started ||= leaf.kind === "start" && leaf.recording === recording;
    need(before === null || want > last || index === before + 1, `leaf ${before + 1}, between two parts, is not here`, "missing-parts");
    if (leaf.class === "media") {
      need(leaf.recording === recording && leaf.part <= last, `part ${leaf.part} of ${leaf.recording} is not of what report.json names`, "altered-export");
      need(leaf.part === want, `part ${leaf.part} where part ${want} belongs`, "missing-parts");
      need(leaf.init === init, "a part has another init", "altered-bytes");
      want += 1;
    } else if (leaf.kind === "stop" || (leaf.kind === "recovery" && leaf.facts.interrupted === true)) {
      need(leaf.recording !== recording || Number(leaf.facts.parts) === last + 1, "the recording ends with another number of parts", "missing-parts");
    }
    if (before !== null || leaf.class === "media") before = index;
  }
  need(started, "the recording's start leaf is not here", "missing-parts");
  need(want === last + 1, `part ${want} is not here`, "missing-parts");
  return before;
}

const filesBelow = (directory) => readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? filesBelow(join(directory, entry.name)) : entry.isFile() ? [join(directory, entry.name)] : []);

const [words, options, heads] = [process.argv.slice(2), {}, []];
while (words[0]?.startsWith("--")) {
  const name = words.shift().slice(2), value = words.shift();
  if (name === "head") heads.push(value); else options[name] = value;
}
const root = new X509Certificate(readFileSync(options.trust));
const opener = options.key ? await identities(options.key) : null;
const plain = (text) => text.replace(/[^ -~]/g, "?");
for (const directory of words) {
  told = [];
  try {
    const revoked = options.revoked ? later("bad-revocation", () => revocation(readFileSync(options.revoked), root))[0] : null;
    if (directory.endsWith(".proof.tar")) await proof(directory, root, revoked, opener);
    else camera(filesBelow(directory), root, heads.map((path) => readFileSync(path)), revoked);
  } catch (error) { tell(error.what ?? "altered-export", "", error.message); }
  for (const { what, where, text } of told) console.log(plain(`${directory} FAIL ${what}, ${where}: ${text}`));
  if (told.length === 0) console.log(plain(`${directory} verified`));
  else process.exitCode = 1;
}
