// What is signed: certificates (6), checkpoints (2), receipts, revocations and purge notes (7).
import { verify as check, X509Certificate } from "node:crypto";
import { startOf } from "./leaf.mjs";
import { fail, hex, hold, named, need, sameBytes, sha, unbase64 } from "./lib.mjs";
import { splitOrigin } from "./log.mjs";
import { hashLines } from "./tree.mjs";

// ---- certificates (6): name of the role, path length where it is a CA ----

const ROOT = ["bodycam root", 2], ISSUING = ["bodycam issuing", 1], IDENTITY = ["bodycam camera identity", 0];
const SESSION = ["bodycam camera session", null], STATION = ["bodycam receipt", null];

function extension(der, oid) {
  const at = der.indexOf(Buffer.from([6, 3, 0x55, 0x1d, oid]));
  if (at < 0) return null;
  let value = at + 5;
  if (der[value] === 1) value += 3; // critical
  return der[value] === 4 ? der.subarray(value + 2, value + 2 + der[value + 1]) : null;
}

function nameIn(cert, issuer, [ou, pathLength]) { // its CN, where it has this role below this issuer
  const fields = Object.fromEntries(cert.subject.split("\n").map((l) => [l.slice(0, l.indexOf("=")), l.slice(l.indexOf("=") + 1)]));
  need(fields.OU === ou, `a certificate is of ${fields.OU}, not of ${ou}`);
  need(cert.issuer === issuer.subject && cert.verify(issuer.publicKey), `the certificate of ${ou} is not signed by its issuer`);
  const basic = extension(cert.raw, 19), usage = extension(cert.raw, 15), isCa = pathLength !== null;
  need(cert.ca === isCa && (usage !== null && (usage[3] & 4) !== 0) === isCa, `the certificate of ${ou} has another role`);
  need(!isCa || (basic && basic.at(-1) === pathLength && basic.at(-3) === 2), `path length of ${ou}`);
  need(cert.publicKey.asymmetricKeyType === (isCa ? "ec" : "ed25519"), `the key of ${ou} is of another kind`);
  return fields.CN;
}

function names(certs, root, roles) { // of a chain, lowest first
  nameIn(root, root, ROOT);
  return certs.map((cert, n) => nameIn(cert, certs[n + 1] ?? root, roles[n]));
}

function inPem(pem, count) { // each as OpenSSL writes it, which Node does too
  const text = pem.toString("latin1"), certs = text.split(/(?<=-----END CERTIFICATE-----\n)/).map((block) => new X509Certificate(block));
  need(certs.length === count && certs.join("") === text, `not ${count} certificates in their one spelling and nothing else`);
  return certs;
}

function inDer(data) {
  const cert = new X509Certificate(data);
  return sameBytes(cert.raw, data) ? cert : fail("a certificate is not in DER");
}

const chains = new Map(); // the same stand in every segment of a session, and are looked at once
const rawKey = (key) => Buffer.from(key.export({ format: "jwk" }).x, "base64url");

export function sessionIn(pem, root) { // chain.pem
  const key = [hex(pem), root.fingerprint256].join();
  if (!chains.has(key)) chains.set(key, session(pem, root));
  return chains.get(key);
}

function session(pem, root) {
  const certs = inPem(pem, 3), [session, identity] = certs, [name, camera] = names(certs, root, [SESSION, IDENTITY, ISSUING]);
  const [first, boot, more] = name.split(" ");
  need(first === camera && boot && more === undefined, "the session is of another camera");
  const { publicKey } = identity, identityId = sha(publicKey.export({ type: "spki", format: "der" })).subarray(0, 4);
  return { camera, boot, session: session.publicKey, raw: rawKey(session.publicKey), identity: publicKey, identityId, certificate: hex(session.raw) };
}

function station(certs, root) {
  need(certs.length === 2, "not the two certificates of a station");
  return { name: names(certs, root, [STATION, ISSUING])[0], key: certs[0].publicKey, raw: rawKey(certs[0].publicKey) };
}

export const stationIn = (pem, root) => station(inPem(pem, 2), root);

// ---- notes (2) ----

const noteId = (name, type, raw) => sha(name, Buffer.of(10, type), raw).subarray(0, 4);
const isOf = (signature, name, id) => signature && signature.name === name && sameBytes(signature.id, id);
const isOfSession = (signature, origin, who) => isOf(signature, origin, noteId(origin, 1, who.raw));

export function note(data) {
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

export function checkpoint(text) {
  const [origin, size, root, rest, more] = text.split("\n");
  need(rest === "" && more === undefined && /^(0|[1-9][0-9]*)$/.test(size), "not a checkpoint");
  return { origin, size: Number(size), root: unbase64(root) };
}

export const bySession = ({ text, signatures }, origin, who) =>
  isOfSession(signatures[0], origin, who) && check(null, Buffer.from(text), who.session, signatures[0].value);

const HALF_ORDER = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;

function ofIdentity({ text }, origin, who, signature) {
  need(isOf(signature, origin, who.identityId), "the second signature is not the identity's");
  need(check("sha256", Buffer.from(text), { key: who.identity, dsaEncoding: "der" }, signature.value), "the identity's signature is wrong");
  const s = signature.value.subarray(6 + signature.value[3]); // SEQUENCE { INTEGER r, INTEGER s }, which is valid by now
  need(BigInt(`0x${s.toString("hex")}`) <= HALF_ORDER, "the identity's signature is not in its one spelling");
  return true;
}

// Whether the identity key's signature follows the session's; no other does.
export function byIdentity(said, origin, who) {
  return named("bad-signature", () => {
    if (said.signatures.length > 1) ofIdentity(said, origin, who, said.signatures[1]);
    need(said.signatures.length <= 2, "there are more signatures than two");
    return said.signatures.length === 2;
  });
}

function cosigned(signature, text, { name, key, raw }) { // whether it is by this station; what is, and is wrong, fails
  if (!isOf(signature, name, noteId(name, 4, raw))) return false;
  const message = `cosignature/v1\ntime ${signature.value.readBigUInt64BE(0)}\n${text}`;
  return need(check(null, Buffer.from(message), key, signature.value.subarray(8)), "the cosignature is wrong", "bad-signature");
}

// The checkpoint of a range or beside a whole recording (9): by the camera of one of these chains, cosigned by the station or not.
export function signedHead(data, chains, station) {
  const { text, signatures } = named("altered-bytes", () => note(data)), point = named("altered-bytes", () => checkpoint(text));
  const byStation = station !== null && cosigned(signatures.at(-1), text, station);
  if (byStation) signatures.pop();
  const who = chains.find((one) => isOfSession(signatures[0], point.origin, one));
  need(who && who.camera === point.origin.split("/").at(-2), "no session of this camera, whose chain is here, signed it", "bad-signature");
  need(bySession({ text, signatures }, point.origin, who), "the session's signature is wrong", "bad-signature");
  const identity = byIdentity({ text, signatures }, point.origin, who);
  return { ...point, data, cosigned: byStation, identity, camera: who.camera };
}

// ---- what a station says (7) ----

function statement(data, root, magic) {
  const { text, signatures } = note(data), [first, ...lines] = text.slice(0, -1).split("\n"), of = {};
  need(first === magic, `not a ${magic}`);
  for (const line of lines) (of[line.split(" ")[0]] ??= []).push(line.slice(line.indexOf(" ") + 1));
  const by = station((of.certificate ?? []).map((c) => inDer(unbase64(c))), root);
  need(by.name === of.station?.[0] && isOf(signatures[0], by.name, noteId(by.name, 1, by.raw)), "it is not this station's");
  need(check(null, Buffer.from(text), by.key, signatures[0].value), "its signature is wrong");
  return { text, of, by };
}

const NUMBER = "(0|[1-9][0-9]{0,17})", NAME = "[^\\s+]+", PRINTS = "[^\\p{C}\\p{Z}]";
const STORED = `[0-9a-f]{64} ${NUMBER} (r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8}) [!-~]{1,200} ${NUMBER}( [0-9a-f]{32})?`;
const HOLDS = `( ${NUMBER} ${NUMBER})?`; // which leaves
const RECEIPT = new RegExp(`^bodycam-receipt/v1\\nstation ${NAME}\\norigin ${NAME}\\ncamera [a-z0-9-]{1,27}\\n` +
  `issued ${NUMBER}\\n(segment ${STORED}${HOLDS}\\n)*(kept ${STORED}\\n)*checkpoint [^ \\n]+\\n(certificate [^ \\n]+\\n){2}$`);

function leavesIn(name, size, [first, entries]) { // which leaves a segment holds, where a line says it, and whether it can
  if (first === undefined) return {};
  const begins = name.startsWith("e") ? first === startOf(name) : first >= startOf(name) + 1 + Number(name.slice(21));
  need(begins && entries > 0 && entries * 3072 <= size, `${name} cannot hold so many leaves, or not begin there`);
  return { first, end: first + entries };
}

export function receipt(data, root) {
  const { text, of, by } = statement(data, root, "bodycam-receipt/v1"), { segment = [], kept = [] } = of;
  need(RECEIPT.test(text) && text.length <= 65536 && segment.length + kept.length <= 256, "a receipt in another form, or too long");
  const signed = unbase64(of.checkpoint[0]), head = note(signed), point = checkpoint(head.text);
  need(cosigned(head.signatures.at(-1), head.text, by), "the checkpoint is not cosigned by the station");
  need(point.origin === of.origin[0], "the receipt and its checkpoint are of two logs");
  const read = (lines) => lines.map((line) => line.split(" ")).map(([sha256, size, name, , until, ...more]) =>
    ({ sha256, size: Number(size), name, until: Number(until), ...leavesIn(name, Number(size), more.slice(more.length % 2).map(Number)) }));
  const [station, camera] = [by.name, of.camera[0]];
  return { ...point, signed, stored: read(segment), kept: read(kept), station, camera, issued: Number(of.issued[0]) };
}

const REASON = `${PRINTS}((${PRINTS}| ){0,198}${PRINTS})?`;
const REVOCATION = new RegExp(`^bodycam-revocation/v1\\nstation ${NAME}\\ncamera [a-z0-9-]{1,27}\\nissued ${NUMBER}\\nreason ${REASON}\\n` +
  `(log ${NAME} ${NUMBER} [^ \\n]{44}\\n){0,256}(certificate [^ \\n]+\\n){2}$`, "u");

export function revocation(data, root) {
  const { text, of } = statement(data, root, "bodycam-revocation/v1"), logs = (of.log ?? []).map((line) => line.split(" "));
  const told = "what the revocation names";
  const counts = new Map(logs.map(([origin, size, root]) => [origin, { origin, size: Number(size), root: unbase64(root), told }]));
  need(REVOCATION.test(text) && text.length <= 65536 && counts.size === logs.length, "a revocation in another form, or too long");
  return { camera: of.camera[0], logs: counts };
}

const LINE = `segment [0-9a-f]{64} ${NUMBER} r[0-9]{10}-[0-9a-f]{8}-[0-9]{4} ${NUMBER} ${NUMBER}\\n`;
const PURGE = new RegExp(`^bodycam-purge/v1\\nstation ${NAME}\\norigin ${NAME}\\ncamera [a-z0-9-]{1,27}\\nrecording r[0-9]{10}-[0-9a-f]{8}\\n` +
  `until ${NUMBER}\\npurged ${NUMBER}\\n(${LINE}){1,256}(certificate [^ \\n]+\\n){2}$`);

// What a station deleted: names and leaves. No receipt of it that was signed by then says that it keeps these bytes for longer.
export function purge(data, root, receipts) {
  const { text, of, by } = statement(data, root, "bodycam-purge/v1");
  need(PURGE.test(text) && text.length <= 65536, "a purge note in another form, or too long");
  const [origin, camera, recording, until, purged] = ["origin", "camera", "recording", "until", "purged"].map((key) => of[key][0]);
  need(splitOrigin(origin).stem.split("/").at(-1) === camera, "a purge note of a log of another camera");
  need(Number(until) > 0 && Number(until) <= Number(purged), "purged before the end to which it was to be kept");
  const gone = of.segment.map((line) => line.split(" ")).map(([sha256, size, name, first, entries]) =>
    ({ sha256, name, size: Number(size), ...leavesIn(name, Number(size), [Number(first), Number(entries)]) }));
  for (const [n, { sha256, name, first }] of gone.entries()) {
    need(name.startsWith(recording), `${name} cannot be of it`);
    need(n === 0 || (gone[n - 1].name < name && gone[n - 1].end <= first), "its segments are not in the order of the log");
    const promised = receipts.filter(({ station, issued }) => station === by.name && issued <= Number(purged)).flatMap(({ stored, kept }) => [...stored, ...kept]);
    const longer = promised.some((one) => one.name === name && one.sha256 === sha256 && (one.until === 0 || one.until > Number(purged)));
    need(!longer, `${name} was deleted before the end that a receipt names`);
  }
  return { origin, gone };
}

// Of the logs of a camera that the agency trusts no more a leaf counts below a size, and only where it is led to what a station saw.
function* runs(history) { // leaves of segments of which each continues the one before
  let first = null;
  for (const [n, one] of history.placed.entries()) {
    first ??= one.first;
    if (history.followed(n)) continue;
    yield [first, one.end];
    first = null;
  }
}

// What a station saw: the root that is named, a head that it cosigned (of a receipt; of an export, for the leaves below `led`), or a
// segment whose bytes a receipt names.
export function countsUpTo(history, revoked) {
  const { origin, log, placed, cosigned: receipts, led } = history, counts = revoked.logs.get(origin) ?? { size: 0, root: sha("") };
  if (revoked.camera !== origin.split("/").at(-2)) return;
  hold(history.end <= counts.size, "revoked", "", `the camera was revoked: of ${origin} ${counts.size} leaves count`);
  const stored = new Set(receipts.flatMap(({ stored }) => stored.map(({ sha256 }) => sha256))), isAt = ({ size, root }) => log.roots.has(size) && sameBytes(log.roots.get(size), root);
  const saw = [led, ...[...receipts, counts].filter(isAt).map(({ size }) => size), ...placed.filter(({ digest }) => stored.has(digest)).map(({ end }) => end)];
  for (const [first, end] of runs(history)) {
    const seen = Math.max(first, ...saw.filter((size) => size <= end));
    hold(seen >= Math.min(end, counts.size), "revoked", "", `no station saw what leaves ${seen} to ${end - 1} of ${origin} lead to`);
  }
}

// A later head (8): a checkpoint signed by a camera whose chain is at hand, all of whose signatures by its keys are valid; or a receipt.
export function cameraHead(data, cameras) {
  const said = note(data), point = checkpoint(said.text), { origin } = point, camera = origin.split("/").at(-2);
  const by = said.signatures.flatMap((one) => cameras.filter((who) => who.camera === camera).flatMap((who) => {
    if (isOfSession(one, origin, who)) return bySession({ ...said, signatures: [one] }, origin, who);
    return isOf(one, origin, who.identityId) ? ofIdentity(said, origin, who, one) : [];
  }));
  need(by.length > 0 && by.every((valid) => valid), "no camera at hand signed the later head, or not rightly");
  return { ...point, identity: said.signatures.some((one) => cameras.some((who) => isOf(one, origin, who.identityId))) };
}

// The head that a purge keeps (7): what leads to it from the leaves below a size, and the checkpoint, which the identity signed.
export function keptHead(data, cameras) {
  const text = data.toString("latin1"), split = text.indexOf("\n\n") + 1;
  const [line, old] = /^old ([1-9][0-9]{0,17})\n/.exec(text.slice(0, split)) ?? fail("no old size in a kept head");
  const proof = hashLines(text.slice(line.length, split)), signed = data.subarray(split + 1), point = cameraHead(signed, cameras);
  need(split <= 16384 && signed.length <= 8192 && note(signed).signatures.length > 0 && point.identity, "a kept head that the identity did not sign, or too long");
  return { ...point, old: Number(old), proof };
}

export const laterHead = (data, root, cameras) =>
  (note(data).text.startsWith("bodycam-receipt/") ? receipt(data, root) : cameraHead(data, cameras));
