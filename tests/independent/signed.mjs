// What is signed: certificates (6), notes and checkpoints (2), later heads (8), and what a station says (7).
import { verify, X509Certificate } from "node:crypto";
import { seqOf, startOf } from "./leaf.mjs";
import { fail, hex, named, need, sameBytes, sha, unbase64 } from "./lib.mjs";
import { hashLines } from "./tree.mjs";

export const cameraOf = (origin) => origin.split("/").at(-2);

export function splitOrigin(origin) {
  const [, stem, epoch] = /^(.+)\/([1-9][0-9]{0,5})$/s.exec(origin) ?? fail(`not the name of a log: ${origin}`);
  return { stem, epoch: Number(epoch) };
}

// ---- certificates (6): of each role its OU, and the path length where it is a CA ----

const ROOT = ["bodycam root", 2], ISSUING = ["bodycam issuing", 1], IDENTITY = ["bodycam camera identity", 0];
const SESSION = ["bodycam camera session", null], STATION = ["bodycam receipt", null];
// In DER: the extension's name, whether it is critical, its value: the path length of a CA, or the bits of usage.
const CONSTRAINTS = /\x06\x03\x55\x1d\x13(?:\x01\x01\xff)?\x04.\x30.\x01\x01\xff\x02\x01(.)/s;
const USAGE = /\x06\x03\x55\x1d\x0f(?:\x01\x01\xff)?\x04.\x03..(.)/s, SIGNS_CERTIFICATES = 4;

function nameIn(cert, issuer, [ou, pathLength]) { // its CN, where it has this role below this issuer
  const said = (key) => new RegExp(`^${key}=(.*)$`, "m").exec(cert.subject)?.[1], der = cert.raw.toString("latin1");
  const byte = (pattern) => pattern.exec(der)?.[1].charCodeAt(0) ?? null, isCa = pathLength !== null;
  const signs = (byte(USAGE) & SIGNS_CERTIFICATES) !== 0, kind = isCa ? "ec" : "ed25519";
  need(said("OU") === ou, `a certificate is of ${said("OU")}, not of ${ou}`);
  need(cert.issuer === issuer.subject && cert.verify(issuer.publicKey), `that of ${ou} is not by its issuer`);
  need(cert.ca === isCa && signs === isCa && byte(CONSTRAINTS) === pathLength, `that of ${ou} has another role`);
  need(cert.publicKey.asymmetricKeyType === kind, `the key of ${ou} is of another kind`);
  return said("CN");
}

function names(certs, root, roles) { // of a chain, lowest first
  nameIn(root, root, ROOT);
  need(certs.length === roles.length, `not ${roles.length} certificates`);
  return certs.map((cert, n) => nameIn(cert, certs[n + 1] ?? root, roles[n]));
}

function inPem(pem) { // each as OpenSSL writes it, which Node does too
  return pem.toString("latin1").split(/(?<=-----END CERTIFICATE-----\n)/).map((text) => {
    const cert = new X509Certificate(text);
    return need(cert.toString() === text, "not certificates in their one spelling and nothing else") && cert;
  });
}

const chains = new Map(); // the same stand in every segment of a session, and are looked at once

export function sessionIn(pem, root) { // chain.pem: who signs
  const key = [hex(pem), root.fingerprint256].join();
  if (!chains.has(key)) chains.set(key, session(inPem(pem), root));
  return chains.get(key);
}

function session(certs, root) {
  const [name, camera] = names(certs, root, [SESSION, IDENTITY, ISSUING]), [first, boot, more] = name.split(" ");
  need(first === camera && boot && more === undefined, "the session is of another camera");
  const [own, identity] = certs.map((cert) => cert.publicKey);
  return { camera, boot, certificate: hex(certs[0].raw), session: ed25519(own), identity: ecdsa(identity) };
}

function station(certs, root) {
  const [name] = names(certs, root, [STATION, ISSUING]), by = ed25519(certs[0].publicKey);
  return { name, certs, signer: by(name), cosigner: by(name, COSIGNATURE) };
}

export const stationIn = (pem, root) => station(inPem(pem), root);

// ---- notes (2): who may sign one, under a name and a key id ----

const COSIGNATURE = 4, HALF_ORDER = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;
const idOf = (...parts) => sha(...parts).subarray(0, 4);

function ed25519(key) {
  const raw = Buffer.from(key.export({ format: "jwk" }).x, "base64url");
  return (name, type = 1) => ({ name, id: idOf(name, Buffer.of(10, type), raw), valid(text, value) {
    if (type !== COSIGNATURE) return verify(null, Buffer.from(text), key, value);
    const message = `cosignature/v1\ntime ${value.readBigUInt64BE(0)}\n${text}`;
    return verify(null, Buffer.from(message), key, value.subarray(8));
  } });
}

function ecdsa(key) {
  const id = idOf(key.export({ type: "spki", format: "der" }));
  return (name) => ({ name, id, valid(text, value) {
    const s = value.subarray(6 + value[3]); // SEQUENCE { INTEGER r, INTEGER s }, where it is valid
    return verify("sha256", Buffer.from(text), key, value) && BigInt(`0x${s.toString("hex")}`) <= HALF_ORDER;
  } });
}

const isBy = (signer, signature) => signature?.name === signer.name && sameBytes(signature.id, signer.id);

// Of each signature whose it is: `role`, `who`, and whether it is `valid`. A camera's keys sign in a log's name.
export function signers({ text, signatures }, origin, cameras, station = null) {
  const keysOf = (who) => ["session", "identity"].map((role) => ({ role, who, key: who[role](origin) }));
  const known = cameras.flatMap(keysOf);
  if (station) known.push({ role: "station", who: station, key: station.cosigner });
  return signatures.map((one) => {
    const { key, ...whose } = known.find(({ key }) => isBy(key, one)) ?? { role: "nobody" };
    return { ...whose, valid: key !== undefined && key.valid(text, one.value) };
  });
}

export function note(data) {
  const all = data.toString("utf8"), split = all.indexOf("\n\n");
  need(split > 0 && all.endsWith("\n") && sameBytes(Buffer.from(all), data), "not a signed note");
  const signatures = all.slice(split + 2, -1).split("\n").map((line) => {
    const [, name, value] = /^— ([^ ]+) ([^ ]+)$/.exec(line) ?? fail("not a signature line"), bytes = unbase64(value);
    return { name, id: bytes.subarray(0, 4), value: bytes.subarray(4) };
  });
  return { text: all.slice(0, split + 1), signatures };
}

export function checkpoint(data) {
  const said = note(data), [origin, size, root, ...rest] = said.text.split("\n");
  need(rest.join() === "" && rest.length === 1 && /^(0|[1-9][0-9]*)$/.test(size), "not a checkpoint");
  return { ...said, origin, size: Number(size), root: unbase64(root) };
}

// The checkpoint of a range or beside a whole recording (9): by the camera of one of these chains, cosigned or not.
export function signedHead(data, chains, station) {
  const point = named("altered-bytes", () => checkpoint(data)), camera = cameraOf(point.origin);
  return named("bad-signature", () => {
    const own = chains.find((who) => isBy(who.session(point.origin), point.signatures[0]));
    const by = signers(point, point.origin, own ? [own] : [], station), roles = by.map(({ role }) => role);
    need(own?.camera === camera && by.every(({ valid }) => valid), "a signature is not valid, or of no chain here");
    need(/^session(,identity)?(,station)?$/.test(roles), `it is signed by ${roles}`);
    return { ...point, data, camera, cosigned: roles.includes("station"), identity: roles.includes("identity") };
  });
}

// A later head (8): by a camera whose chain is at hand, all of whose signatures by its keys are valid; or a receipt.
export function cameraHead(data, cameras) {
  const point = checkpoint(data), own = cameras.filter(({ camera }) => camera === cameraOf(point.origin));
  const by = signers(point, point.origin, own).filter(({ who }) => who);
  need(by.length > 0 && by.every(({ valid }) => valid), "no camera at hand signed the later head, or not rightly");
  return { ...point, identity: by.some(({ role }) => role === "identity") };
}

export const laterHead = (data, root, cameras) =>
  (note(data).text.startsWith("bodycam-receipt/") ? receipt(data, root) : cameraHead(data, cameras));

export function oldIn(data) { // of how many leaves a tree was, and the proof that leads on from it
  const [, old, lines] = /^old ([1-9][0-9]{0,17})\n(.*)$/s.exec(data.toString("latin1")) ?? fail("no old size");
  return { old: Number(old), proof: hashLines(lines) };
}

// The head that a purge keeps (7): what leads to it from the leaves below a size, and the checkpoint.
export function keptHead(data, cameras) {
  const split = data.indexOf("\n\n") + 1, own = data.subarray(split + 1), point = cameraHead(own, cameras);
  need(split <= 16384 && own.length <= 8192 && point.identity, "the identity did not sign it, or it is too long");
  return { ...point, ...oldIn(data.subarray(0, split)) };
}

// ---- what a station says (7): which lines, in order, how often each; words in capitals are of one of these forms ----

const WORDS = {
  BYTES: "HASH NUMBER SEGMENT [!-~]{1,200} NUMBER( [0-9a-f]{32})?", NUMBER: "(0|[1-9][0-9]{0,17})",
  SEGMENT: "(RECORDING-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})", RECORDING: "r[0-9]{10}-[0-9a-f]{8}",
  HASH: "[0-9a-f]{64}", CAMERA: "[a-z0-9-]{1,27}", NAME: "[^\\s+]+", BASE64: "[^ \\n]+",
  REASON: "PRINTS((PRINTS| ){0,198}PRINTS)?", PRINTS: "[^\\p{C}\\p{Z}]",
};
const form = (kind, ...lines) => {
  const all = [`bodycam-${kind}/v1`, "station NAME", ...lines, "certificate BASE64{2}"];
  const text = all.map((line) => line.replace(/^(.*?)([*]|[{][0-9,]+[}])?$/, "($1\n)$2")).join("");
  return new RegExp(`^${Object.entries(WORDS).reduce((all, [word, form]) => all.replaceAll(word, form), text)}$`, "u");
};
const RECEIPT = form("receipt", "origin NAME", "camera CAMERA", "issued NUMBER", "segment BYTES( NUMBER NUMBER)?*",
  "kept BYTES*", "checkpoint BASE64");
const REVOCATION = form("revocation", "camera CAMERA", "issued NUMBER", "reason REASON",
  "log NAME NUMBER BASE64{0,256}");
const PURGE = form("purge", "origin NAME", "camera CAMERA", "recording RECORDING", "until NUMBER", "purged NUMBER",
  "segment HASH NUMBER RECORDING-[0-9]{4} NUMBER NUMBER{1,256}");

function statement(data, root, form) { // of each first word the rests of its lines; and whose it is
  const { text, signatures } = note(data), of = { segment: [], kept: [], log: [] };
  need(form.test(text) && text.length <= 65536, "it has another form, or is too long");
  for (const [, word, rest] of text.matchAll(/^([a-z]+) (.*)$/gm)) (of[word] ??= []).push(rest);
  const by = station(of.certificate.map((der) => new X509Certificate(unbase64(der))), root);
  need(of.certificate.every((der, n) => by.certs[n].raw.toString("base64") === der), "a certificate is not in DER");
  const valid = isBy(by.signer, signatures[0]) && by.signer.valid(text, signatures[0].value);
  need(by.name === of.station[0] && valid, "it is not this station's");
  return { of, by };
}

function bytesIn(sha256, size, name, first, entries) { // a segment, and which leaves it holds, where a line says it
  const bytes = { sha256, name, size: Number(size) }, [begins, count] = [first, entries].map(Number);
  if (first === undefined) return bytes;
  const lowest = startOf(name) + 1 + seqOf(name), can = name.startsWith("e") ? begins === lowest : begins >= lowest;
  need(can && count > 0 && count * 3072 <= bytes.size, `${name} cannot hold so many leaves, or not begin there`);
  return { ...bytes, first: begins, end: begins + count };
}

export function receipt(data, root) {
  const { of, by } = statement(data, root, RECEIPT), head = unbase64(of.checkpoint[0]), point = checkpoint(head);
  need(signers(point, "", [], by).at(-1).valid, "the checkpoint is not cosigned by the station");
  need(point.origin === of.origin[0], "the receipt and its checkpoint are of two logs");
  const [stored, kept] = [of.segment, of.kept].map((lines) => lines.map((line) => {
    const [sha256, size, name, , until, ...more] = line.split(" "); // an answer (7), or none, stands before the leaves
    return { ...bytesIn(sha256, size, name, ...more.slice(more.length % 2)), until: Number(until) };
  }));
  need(stored.length + kept.length <= 256, "a receipt of too many lines");
  return { ...point, head, stored, kept, station: by.name, camera: of.camera[0], issued: Number(of.issued[0]) };
}

export function revocation(data, root) {
  const { of } = statement(data, root, REVOCATION), said = "what the revocation names";
  const logs = of.log.map((line) => line.split(" ")).map(([origin, size, root]) =>
    ({ origin, size: Number(size), root: unbase64(root), told: said }));
  const counts = new Map(logs.map((log) => [log.origin, log]));
  need(counts.size === logs.length && logs.every(({ root }) => root.length === 32), "a log stands twice, or no root");
  return { camera: of.camera[0], logs: counts };
}

// What a station deleted: names and leaves. No receipt of it that was signed by then says that it keeps them longer.
export function purge(data, root, receipts) {
  const { of, by } = statement(data, root, PURGE), [until, purged] = [of.until, of.purged].map(Number);
  need(cameraOf(of.origin[0]) === of.camera[0] && splitOrigin(of.origin[0]), "a purge note of a log of another camera");
  need(until > 0 && until <= purged, "purged before the end to which it was to be kept");
  const gone = of.segment.map((line) => bytesIn(...line.split(" ")));
  const promised = receipts.filter(({ station, issued }) => station === by.name && issued <= purged)
    .flatMap(({ stored, kept }) => [...stored, ...kept]).filter((one) => one.until === 0 || one.until > purged);
  for (const [n, { sha256, name, first }] of gone.entries()) {
    need(name.startsWith(of.recording[0]), `${name} cannot be of it`);
    need(n === 0 || (gone[n - 1].name < name && gone[n - 1].end <= first), "its segments are in another order");
    const longer = promised.some((one) => one.name === name && one.sha256 === sha256);
    need(!longer, `${name} was deleted before the end that a receipt names`);
  }
  return { origin: of.origin[0], gone };
}
