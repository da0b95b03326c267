// The proof of a range (9): every leaf led to one signed checkpoint by a path of its own. What fails is told, and the rest looked at.
import { attempt, fail, hex, hold, most, named, need, orTell, reader, renamed, sameBytes, sha, stemOf, tell } from "./lib.mjs";
import { isDeeper } from "./json.mjs";
import { Log } from "./log.mjs";
import { parseLeaf, RECORDING, startOf } from "./leaf.mjs";
import { checkSealed, STRONG } from "./segment.mjs";
import { sessionIn, signedHead, stationIn } from "./signed.mjs";
import { consistency, hashLines, inclusion, leadTo } from "./tree.mjs";

// c2sp.org/age: version, stanzas, MAC; each base64 in its one spelling, without padding.
const STANZAS = "((?:-> [!-~]+(?: [!-~]+)*\\n(?:[A-Za-z0-9+/]{64}\\n)*[A-Za-z0-9+/]{0,63}\\n)+)";
const AGE = new RegExp(`^age-encryption\\.org/v1\\n${STANZAS}--- ([A-Za-z0-9+/]{43})\\n`);

export function headerSize(sealed) {
  const found = AGE.exec(sealed.toString("latin1", 0, 65536)) ?? fail("not an age file");
  const bodies = found[1].split(/^-> .*\n/m).slice(1).map((body) => body.replace(/\n/g, ""));
  const spelled = (text) => Buffer.from(text, "base64").toString("base64").replace(/=+$/, "") === text;
  need([...bodies, found[2]].every(spelled), "an age header is misspelled");
  return found[0].length;
}

// RFC 3161: the TSTInfo lies in an OCTET STRING of the signed data; in it version, policy, and the imprint.
function imprint(data) {
  const der = (bytes, tag) => {
    const long = bytes[1] & 0x80 ? bytes[1] & 0x7f : 0, size = long ? bytes.readUIntBE(2, long) : bytes[1], start = 2 + long;
    need(bytes[0] === tag && start + size <= bytes.length, "timestamp.tsr is not a timestamp");
    return [bytes.subarray(start, start + size), bytes.subarray(start + size)];
  };
  const into = (bytes, ...tags) => tags.reduce((found, tag) => der(found, tag)[0], bytes), after = (bytes, tag) => der(bytes, tag)[1];
  const [response, more] = der(data, 0x30), [status, token] = der(response, 0x30);
  need(more.length === 0 && into(status, 2).length === 1 && into(status, 2)[0] < 2, "timestamp.tsr was not granted");
  const signed = into(after(into(token, 0x30), 6), 0xa0, 0x30), inner = into(after(after(signed, 2), 0x31), 0x30);
  const info = into(after(inner, 6), 0xa0, 4), said = into(after(after(into(info, 0x30), 2), 6), 0x30);
  need(into(said, 0x30, 6).toString("hex") === "608648016503040201", "timestamp.tsr is not over a SHA-256");
  return into(after(said, 0x30), 4);
}

// Of how many leaves a head in identity/ has the word of the identity key, each one in `identity/`.
function* identityHeads(held, member, chains, point) {
  const stems = new Set([...held.keys()].flatMap((name) => /^(identity\/[0-9]{10})\.(checkpoint|consistency)$/.exec(name)?.[1] ?? []));
  hold(stems.size <= 8, "bad-head", "", "more than 8 heads in identity/");
  for (const stem of [...stems].sort().slice(0, 8)) {
    const read = () => {
      const one = signedHead(member(`${stem}.checkpoint`, 8192), [...chains.values()], null);
      const proof = hashLines(member(`${stem}.consistency`, 16384).toString("latin1"));
      need(one.identity && one.origin === point.origin && stem === `identity/${stemOf(one.size)}` && one.size > 0, `${stem} is not what it must be`);
      return need(leadTo(one, point, proof), `${stem} and the checkpoint are of two logs`) && one.size;
    };
    yield orTell("bad-head", () => renamed("bad-head", read)) ?? 0;
  }
}

// The checkpoint that everything leads to, or null; of how many leaves a station saw at least; below which the identity key vouches.
function headIn(held, member, chains, root) {
  const station = held.has("station.pem") ? orTell("untrusted-chain", () => stationIn(held.get("station.pem"), root)) : null;
  const signed = (name) => signedHead(member(name, 8192), [...chains.values()], station);
  const point = orTell("bad-signature", () => signed("checkpoint"));
  if (held.has("timestamp.tsr")) orTell("altered-bytes", () => {
    need(sameBytes(imprint(member("timestamp.tsr", 65536)), sha(held.get("checkpoint") ?? "")), "timestamp.tsr is of another checkpoint");
  });
  if (!point) return { point, seen: 0, vouched: 0 };
  const earlier = held.has("earlier/checkpoint") || held.has("earlier/consistency") ? orTell("bad-head", () => renamed("bad-head", () => {
    const old = signed("earlier/checkpoint"), proof = hashLines(member("earlier/consistency", 16384).toString("latin1"));
    need(old.cosigned && old.origin === point.origin && consistency(old, point, proof), "the earlier checkpoint is no cosigned prefix");
    return old;
  })) : null;
  hold(!held.has("station.pem") || point.cosigned || earlier, "bad-signature", "", "station.pem is there for nothing");
  const own = [point, earlier].filter((one) => one?.identity).map(({ size }) => size);
  const vouched = Math.max(0, ...own, ...identityHeads(held, member, chains, point));
  return { point, seen: point.cosigned ? point.size : (earlier?.size ?? 0), vouched };
}

function pathOf(data, index, point) {
  const text = data.toString("latin1"), split = text.indexOf("\n\n"), [magic, where, ...lines] = text.slice(0, split).split("\n");
  need(split > 0 && magic === "c2sp.org/tlog-proof@v1" && /^index [0-9]{1,10}$/.test(where), `the proof of leaf ${index} is not one`);
  const path = hashLines(lines.map((line) => `${line}\n`).join(""));
  need(where === `index ${index}`, `the proof of leaf ${index} is of another`, "swapped-entries");
  need(sameBytes(data.subarray(split + 2), point.data), `the proof of leaf ${index} has another checkpoint`, "bad-root");
  return path;
}

// The sealed bytes as the camera wrote them: where they were rewrapped, its own header and the payload.
function sealedIn(held, member, name) {
  const data = member(`${name}.age`, 32 << 20), own = held.get(`${name}.header`);
  if (!own) return data;
  need(headerSize(own) === own.length, `${name}.header is not an age header`);
  return Buffer.concat([own, data.subarray(headerSize(data))]);
}

class Range {
  constructor(held, point, chains) {
    const entry = /^entries\/([0-9]{10})\.(age|json|tlog-proof|header)$/, found = [...held.keys()].map((name) => entry.exec(name)?.[1]);
    this.indexes = [...new Set(found.filter((stem) => stem))].sort().map(Number);
    Object.assign(this, { held, member: reader(held), point, chains, log: point && new Log(point.origin) });
    Object.assign(this, { leaves: new Map(), accused: new Map() }); // the proven by index; of others what part each says it is
    const digest = (index) => parseLeaf(held.get(`entries/${stemOf(index)}.json`)).sealed.sha256;
    this.sealedBy = new Map(this.indexes.map((index) => [attempt(() => digest(index), ""), index]));
    for (const index of this.indexes) this.entry(index, `entries/${stemOf(index)}`);
  }

  entry(index, name) {
    try {
      const leaf = this.proven(index, name);
      if (!leaf) return;
      this.leaves.set(index, leaf);
      this.placed(leaf);
    } catch (error) { // it is here, and not proven; what it says that it is spares it a second failure
      tell(error.what ?? "bad-leaf", "", error.message);
      const said = attempt(() => parseLeaf(this.held.get(`${name}.json`)), null);
      this.accused.set(index, Number(said?.index) !== index ? null : said.class === "media" ? Number(said.part) : -1);
      return;
    }
    orTell("altered-bytes", () => {
      const bytes = sealedIn(this.held, this.member, name), own = (this.sealedBy.get(hex(bytes)) ?? index) === index;
      named(own ? "altered-bytes" : "swapped-entries", () => checkSealed(bytes, this.leaves.get(index).sealed));
    });
  }

  proven(index, name) {
    const data = this.member(`${name}.json`, 16384), proof = this.member(`${name}.tlog-proof`, 16384), { point } = this;
    if (!point) return null;
    const path = named("altered-bytes", () => pathOf(proof, index, point)), said = attempt(() => Number(parseLeaf(data).index), index);
    if (!attempt(() => inclusion(data, index, point.size, path, point.root), false)) {
      fail(`leaf ${said}, under the name of leaf ${index}, is not in the tree`, said === index ? "altered-bytes" : "swapped-entries");
    }
    const leaf = parseLeaf(data);
    need(leaf.index === index, `leaf ${index} is of another place`);
    return leaf;
  }

  placed(leaf) {
    const who = this.chains.get(leaf.chain), at = `leaf ${leaf.index}`;
    hold(leaf.camera === this.point.camera, "other-camera", "", `${at} is of another camera`);
    if (!hold(who, "untrusted-chain", "", `the chain of ${at} is not here`)) return;
    hold(who.boot === leaf.boot, "bad-session", "", `${at} is of another boot than its session`);
    this.log.hear(leaf, who, "");
  }

  get media() { return [...this.leaves.values()].filter((leaf) => leaf.class === "media"); }

  checkInit() {
    const [first] = this.media, own = () => hex(sealedIn(this.held, this.member, "init")) === first.init;
    if (first) orTell("altered-bytes", () => need(own(), "init.age is not that of the parts"));
  }

  checkWhole({ recording, first_part: first, last_part: last }) { // what report.json names is here, and what belongs to it
    const parts = new Map(this.media.map((leaf) => [Number(leaf.part), Number(leaf.index)]));
    const within = (part) => part >= first && part <= last;
    if (!hold(this.media.every((leaf) => leaf.recording === recording), "altered-export", "", "the parts are of another recording")) return;
    const start = startOf(recording), there = this.leaves.get(start), known = this.log.recordings.get(recording);
    const begins = there?.kind === "start" && there.recording === recording;
    hold(begins || this.accused.has(start), "missing-parts", "", "the recording's start leaf is not here");
    hold(!known?.ended || known.parts === last + 1, "missing-parts", "", "the recording ends with another number of parts");
    hold([...parts.keys()].every(within), "altered-export", "", "report.json does not name each part");
    // Of entries that are here, are not proven and do not say what they are, each may be a part.
    const claims = [...this.accused.values()], held = new Set([...parts.keys(), ...claims.filter((part) => part !== null)].filter(within));
    const lost = last + 1 - first - held.size;
    hold(lost <= claims.filter((part) => part === null).length, "missing-parts", "", `${lost} parts are not here`);
    const here = new Map([...this.leaves.keys(), ...this.accused.keys()].sort((a, b) => a - b).map((index, n) => [index, n]));
    for (const [part, index] of parts) {
      const next = parts.get(part + 1) ?? index, between = here.get(next) - here.get(index);
      hold(next < index || between === next - index, "missing-parts", "", `a leaf between ${index} and ${next} is not here`);
    }
  }
}

export function askedFor(data) { // what report.json says; JSON.parse takes no byte order mark and no NaN
  need(data.length <= 4 << 20, "report.json is too long");
  const report = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data)), asked = report.export;
  const { recording, mp4_sha256: digest, first_part: first, last_part: last, shift_s: shift = 0 } = asked;
  need(!isDeeper(report, 50) && [recording, digest].every((text) => typeof text === "string") && RECORDING.test(recording), "report.json is none");
  need([first, last].every((n) => Number.isSafeInteger(n) && n >= 0) && first <= last, "report.json does not say which parts are here");
  need(typeof shift === "number", "report.json does not say how far the MP4 was moved");
  return asked;
}

export function range(held, root, revoked) {
  const member = reader(held), chains = new Map();
  for (const [name, data] of held) {
    if (!name.startsWith("chains/") || !hold(name === `chains/${hex(data)}.pem`, "altered-bytes", "", `${name} is another chain`)) continue;
    orTell("untrusted-chain", () => chains.set(hex(data), sessionIn(data, root)));
  }
  const { point, seen, vouched } = headIn(held, member, chains, root);
  const asked = orTell("", () => renamed("altered-export", () => askedFor(member("report.json", Infinity))));
  const found = new Range(held, point, chains);
  found.checkInit();
  if (asked && point) found.checkWhole(asked);
  for (const { index, kind } of found.leaves.values()) {
    hold(!STRONG.has(kind) || index < vouched, "missing-signature", "", `the identity vouches for no head that leaf ${index} leads to`);
  }
  for (const { logs } of revoked.filter(({ camera }) => camera === point?.camera)) {
    const counts = logs.get(point.origin) ?? { size: 0, root: sha("") }, last = most(found.leaves.keys());
    const led = counts.size === point.size && sameBytes(counts.root, point.root) ? point.size : seen;
    hold(last < counts.size && last < led, "revoked", "", "of a revoked camera a leaf does not count, or no station saw it");
  }
}
