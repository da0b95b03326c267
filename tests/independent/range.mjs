// The proof of a range (9): every leaf led to one signed checkpoint by a path of its own. All that fails is told.
import { attempt, fail, hex, hold, most, named, need, orTell, reader, renamed, sameBytes, sha, stemOf, tell }
  from "./lib.mjs";
import { isDeeper, parseLeaf, RECORDING, startOf } from "./leaf.mjs";
import { Log } from "./log.mjs";
import { checkSealed, STRONG } from "./segment.mjs";
import { sessionIn, signedHead, stationIn } from "./signed.mjs";
import { hashLines, inclusion, leadTo } from "./tree.mjs";

// c2sp.org/age: version, stanzas, MAC; each base64 in its one spelling, without padding.
const STANZAS = "((?:-> [!-~]+(?: [!-~]+)*\\n(?:[A-Za-z0-9+/]{64}\\n)*[A-Za-z0-9+/]{0,63}\\n)+)";
const AGE = new RegExp(`^age-encryption\\.org/v1\\n${STANZAS}--- ([A-Za-z0-9+/]{43})\\n`);

export function headerSize(sealed) {
  const [header, stanzas, mac] = AGE.exec(sealed.toString("latin1", 0, 65536)) ?? fail("not an age file");
  const bodies = stanzas.split(/^-> .*\n/m).slice(1).map((body) => body.replaceAll("\n", ""));
  const isSpelled = (text) => Buffer.from(text, "base64").toString("base64").replace(/=+$/, "") === text;
  return need([...bodies, mac].every(isSpelled), "an age header is misspelled") && header.length;
}

// RFC 3161: the TSTInfo lies in an OCTET STRING of the signed data; in it version, policy, and the imprint.
function imprint(data) {
  const der = (bytes, tag) => { // what is in it, what is behind it
    const long = bytes[1] & 0x80 ? bytes[1] & 0x7f : 0, start = 2 + long;
    const end = start + (long ? bytes.readUIntBE(2, long) : bytes[1]);
    need(bytes[0] === tag && end <= bytes.length, "timestamp.tsr is not a timestamp");
    return [bytes.subarray(start, end), bytes.subarray(end)];
  };
  const into = (bytes, ...tags) => tags.reduce((found, tag) => der(found, tag)[0], bytes);
  const after = (bytes, ...tags) => tags.reduce((found, tag) => der(found, tag)[1], bytes);
  const response = into(data, 0x30), status = into(response, 0x30, 2), signed = into(after(response, 0x30), 0x30);
  need(after(data, 0x30).length === 0 && status.length === 1 && status[0] < 2, "timestamp.tsr was not granted");
  const info = into(after(into(after(signed, 6), 0xa0, 0x30), 2, 0x31), 0x30);
  const stamp = into(after(info, 6), 0xa0, 4, 0x30);
  const said = into(after(stamp, 2, 6), 0x30);
  need(sameBytes(into(said, 0x30, 6), SHA256), "timestamp.tsr is not over a SHA-256");
  return into(after(said, 0x30), 4);
}

const SHA256 = Buffer.from("608648016503040201", "hex"); // 2.16.840.1.101.3.4.2.1

// A head, and the proof beside it that leads from the smaller to the larger of it and `point`.
function ledHead(member, name, chains, station, point) {
  const head = signedHead(member(`${name}checkpoint`, 8192), chains, station);
  const proof = hashLines(member(`${name}consistency`, 16384).toString("latin1"));
  return need(head.origin === point.origin && leadTo(head, point, proof), `${name} is of another log`) && head;
}

// The checkpoint that all leads to, or null; of how many leaves a station saw; below which the identity key vouches.
function headIn(held, member, chains, root) {
  const pem = held.get("station.pem"), station = pem ? orTell("untrusted-chain", () => stationIn(pem, root)) : null;
  const point = orTell("bad-signature", () => signedHead(member("checkpoint", 8192), chains, station));
  if (held.has("timestamp.tsr")) orTell("altered-bytes", () => {
    const right = sameBytes(imprint(member("timestamp.tsr", 65536)), sha(held.get("checkpoint") ?? ""));
    need(right, "timestamp.tsr is of another checkpoint");
  });
  if (!point) return { point, seen: 0, vouched: 0 };
  const tell = (run) => orTell("bad-head", () => renamed("bad-head", run)), names = [...held.keys()];
  const earlier = names.some((name) => /^earlier\/(checkpoint|consistency)$/.test(name)) ? tell(() => {
    const old = ledHead(member, "earlier/", chains, station, point);
    return need(old.cosigned && old.size < point.size, "the earlier checkpoint is no cosigned prefix") && old;
  }) : null;
  const inIdentity = /^(identity\/[0-9]{10}\.)(checkpoint|consistency)$/;
  const stems = [...new Set(names.flatMap((name) => inIdentity.exec(name)?.[1] ?? []))].sort();
  const others = stems.slice(0, 8).map((stem) => tell(() => {
    const one = ledHead(member, stem, chains, null, point);
    const right = one.identity && stem === `identity/${stemOf(one.size)}.` && one.size > 0;
    return need(right, `${stem} is not what it must be`) && one;
  }));
  hold(stems.length <= 8, "bad-head", "", "more than 8 heads in identity/");
  hold(!pem || point.cosigned || earlier, "bad-signature", "", "station.pem is there for nothing");
  const vouched = most([0, ...[point, earlier, ...others].map((one) => (one?.identity ? one.size : 0))]);
  return { point, seen: point.cosigned ? point.size : (earlier?.size ?? 0), vouched };
}

function pathOf(data, index, point) {
  const text = data.toString("latin1"), split = text.indexOf("\n\n");
  const form = /^c2sp\.org\/tlog-proof@v1\n(index [0-9]{1,10})\n(.*)$/s;
  const [, where, path] = form.exec(text.slice(0, split + 1)) ?? fail("no proof");
  const hashes = hashLines(path);
  need(where === `index ${index}`, `the proof of leaf ${index} is of another`, "swapped-entries");
  need(sameBytes(data.subarray(split + 2), point.data), `the proof of leaf ${index} has another head`, "bad-root");
  return hashes;
}

// The sealed bytes as the camera wrote them: where they were rewrapped, its own header and the payload.
function sealedIn(held, member, name) {
  const data = member(`${name}.age`, 32 << 20), own = held.get(`${name}.header`);
  need(!own || headerSize(own) === own.length, `${name}.header is not an age header`);
  return own ? Buffer.concat([own, data.subarray(headerSize(data))]) : data;
}

class Range {
  leaves = new Map(); // the proven by index
  accused = new Map(); // of others which part each says that it is: -1 where it is none, null where it does not say

  constructor(held, point, chains) {
    const inEntries = /^entries\/([0-9]{10})\.(age|json|tlog-proof|header)$/;
    const stems = [...held.keys()].flatMap((name) => inEntries.exec(name)?.[1] ?? []);
    const indexes = [...new Set(stems)].sort().map(Number), log = point && new Log(point.origin);
    const digest = (index) => attempt(() => parseLeaf(held.get(`entries/${stemOf(index)}.json`)).sealed.sha256, "");
    Object.assign(this, { held, member: reader(held), point, chains, log });
    this.sealedBy = new Map(indexes.map((index) => [digest(index), index]));
    for (const index of indexes) this.entry(index, `entries/${stemOf(index)}`);
  }

  entry(index, name) {
    const { held, member, point, log } = this, said = attempt(() => parseLeaf(held.get(`${name}.json`)));
    try {
      const data = member(`${name}.json`, 16384), proof = member(`${name}.tlog-proof`, 16384);
      if (!point) return;
      const path = named("altered-bytes", () => pathOf(proof, index, point)), other = Number(said?.index ?? index);
      const isIn = attempt(() => inclusion(data, index, point.size, path, point.root), false);
      need(isIn, `leaf ${index} is not in the tree`, other === index ? "altered-bytes" : "swapped-entries");
      need(parseLeaf(data).index === index, `leaf ${index} is of another place`);
    } catch (error) { // it is here, and not proven; what it says that it is spares it a second failure
      tell(error.what ?? "bad-leaf", "", error.message);
      this.accused.set(index, Number(said?.index) !== index ? null : said.class === "media" ? Number(said.part) : -1);
      return;
    }
    this.leaves.set(index, said);
    orTell("altered-bytes", () => {
      const bytes = sealedIn(held, member, name), own = (this.sealedBy.get(hex(bytes)) ?? index) === index;
      named(own ? "altered-bytes" : "swapped-entries", () => checkSealed(bytes, said.sealed));
    });
    const who = this.chains.get(said.chain);
    const is = (truth, what, text) => hold(truth, what, "", `leaf ${index}: ${text}`);
    is(said.camera === point.camera, "other-camera", "it is of another camera");
    if (!is(who, "untrusted-chain", "its chain is not here")) return;
    is(who.boot === said.boot, "bad-session", "it is of another boot than its session");
    log.hear(said, who, "");
  }

  get media() { return [...this.leaves.values()].filter((leaf) => leaf.class === "media"); }

  checkWhole({ recording, first_part: first, last_part: last }) { // what report.json names is here, and belongs to it
    const parts = new Map(this.media.map((leaf) => [Number(leaf.part), Number(leaf.index)]));
    const isAsked = (part) => part >= first && part <= last, is = (truth, what, text) => hold(truth, what, "", text);
    const isOwn = this.media.every((leaf) => leaf.recording === recording);
    if (!is(isOwn, "altered-export", "the parts are of another recording")) return;
    const start = startOf(recording), there = this.leaves.get(start), known = this.log.recordings.get(recording);
    const begins = (there?.kind === "start" && there.recording === recording) || this.accused.has(start);
    is(begins, "missing-parts", "the recording's start leaf is not here");
    is(!known?.ended || known.parts === last + 1, "missing-parts", "the recording ends with another number of parts");
    is([...parts.keys()].every(isAsked), "altered-export", "report.json does not name each part");
    // Of entries that are here, are not proven and do not say what they are, each may be a part.
    const claims = [...this.accused.values()];
    const held = new Set([...parts.keys(), ...claims.filter((part) => part !== null)].filter(isAsked));
    const lost = last + 1 - first - held.size;
    is(lost <= claims.filter((part) => part === null).length, "missing-parts", `${lost} parts are not here`);
    const here = [...this.leaves.keys(), ...this.accused.keys()].sort((a, b) => a - b);
    const place = new Map(here.map((index, n) => [index, n]));
    for (const [part, index] of parts) {
      const next = parts.get(part + 1) ?? index, between = place.get(next) - place.get(index);
      is(next < index || between === next - index, "missing-parts", `a leaf between ${index} and ${next} is not here`);
    }
  }
}

export function askedFor(data) { // what report.json says; JSON.parse takes no byte order mark and no NaN
  need(data.length <= 4 << 20, "report.json is too long");
  const report = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
  const asked = report.export;
  const { recording, mp4_sha256: digest, first_part: first, last_part: last, shift_s: shift = 0 } = asked;
  const isText = [recording, digest].every((text) => typeof text === "string") && RECORDING.test(recording);
  need(!isDeeper(report, 50) && isText && typeof shift === "number", "report.json is none");
  const isRun = [first, last].every((n) => Number.isSafeInteger(n) && n >= 0) && first <= last;
  need(isRun, "report.json does not say which parts are here");
  return asked;
}

export function range(held, root, revoked) {
  const member = reader(held), chains = new Map();
  for (const [name, data] of held) {
    if (!name.startsWith("chains/")) continue;
    const own = hold(name === `chains/${hex(data)}.pem`, "altered-bytes", "", `${name} is another chain`);
    if (own) orTell("untrusted-chain", () => chains.set(hex(data), sessionIn(data, root)));
  }
  const { point, seen, vouched } = headIn(held, member, [...chains.values()], root);
  const asked = orTell("", () => renamed("altered-export", () => askedFor(member("report.json", Infinity))));
  const found = new Range(held, point, chains), last = most(found.leaves.keys());
  if (found.media.length > 0) orTell("altered-bytes", () => {
    need(hex(sealedIn(held, member, "init")) === found.media[0].init, "init.age is not that of the parts");
  });
  if (asked && point) found.checkWhole(asked);
  for (const { index, kind } of found.leaves.values()) {
    hold(!STRONG.includes(kind) || index < vouched, "missing-signature", "", `no identity vouches for leaf ${index}`);
  }
  for (const { logs } of revoked.filter(({ camera }) => camera === point?.camera)) {
    const counts = logs.get(point.origin) ?? { size: 0, root: sha("") };
    const led = counts.size === point.size && sameBytes(counts.root, point.root) ? point.size : seen;
    hold(last < Math.min(counts.size, led), "revoked", "", "a leaf does not count, or no station saw it");
  }
}
