// One segment (8): its archive (5), what stands before the entries, and each entry against its checkpoint.
import { attempt, fail, hex, hold, named, need, sameBytes, stemOf, tell, unbase64 } from "./lib.mjs";
import { parseJson } from "./json.mjs";
import { parseLeaf, RECORDING } from "./leaf.mjs";
import { byIdentity, bySession, checkpoint, note, sessionIn } from "./signed.mjs";
import { append, rootOf } from "./tree.mjs";

export const STRONG = new Set(["session", "start", "stop", "recovery", "shutdown"]);
const KINDS = ["age", "json", "note"], STEM = /^([0-9]{10})\.(age|json|note)$/;

// ---- ustar (5) ----

const ZEROS = Buffer.alloc(1024);

function header(name, size) {
  const block = Buffer.alloc(512);
  const put = (at, text) => block.write(text, at, "latin1");
  put(0, name);
  put(100, "0000644\0" + "0000000\0".repeat(2));
  put(124, size.toString(8).padStart(11, "0") + "\0");
  put(136, "0".repeat(11) + "\0" + " ".repeat(8) + "0");
  put(257, "ustar\0" + "00");
  put(329, "0000000\0".repeat(2));
  put(148, block.reduce((a, b) => a + b).toString(8).padStart(6, "0") + "\0 ");
  return block;
}

export function members(data, found = []) { // `found` holds those before the first that is wrong
  const zero = (from, to) => from >= 0 && to <= data.length && sameBytes(data.subarray(from, to), ZEROS.subarray(0, to - from));
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

const stemsIn = (all) => [...new Set(all.map(({ name }) => STEM.exec(name)?.[1]).filter((stem) => stem))].sort();

// Of a file in open/, which ends anywhere, those that stand in their order, up to the last whole entry (8).
function wholePrefix(all, lead) {
  const first = Number(STEM.exec(all[lead]?.name ?? "")?.[1]), entries = all.slice(lead);
  const wanted = (n) => `${stemOf(first + Math.floor(n / 3))}.${KINDS[n % 3]}`;
  const end = entries.findIndex(({ name }, n) => name !== wanted(n)), count = end < 0 ? entries.length : end;
  return all.slice(0, count < 3 ? 0 : lead + count - (count % 3));
}

// A file as far as it can be read: `error` is what is wrong then, `held` the first member of each name. And where it says that it
// stands, whatever else is wrong: the log of its first checkpoint, its first leaf, the end. `head` only where its members are right.
export function opened(data, name, open = false) {
  const file = { data, name, open, all: [], error: null, digest: hex(data) };
  try { members(data, file.all); } catch (error) { if (!open) file.error = error; }
  if (open) file.all = wholePrefix(file.all, name.startsWith("r") ? 3 : 2);
  file.held = new Map([...file.all].reverse().map((member) => [member.name, member.data]));
  const stems = stemsIn(file.all), head = attempt(() => readHead(file.held.get("segment.json")), null);
  const origin = attempt(() => checkpoint(note(file.held.get(`${stems[0]}.note`)).text).origin, head?.origin);
  const first = Math.min(head?.first ?? Infinity, Number(stems[0] ?? Infinity));
  const end = stems.length ? Number(stems.at(-1)) + 1 : first, right = attempt(() => unpack(file), null);
  return Object.assign(file, { chain: file.held.get("chain.pem"), head: right && head, origin, first, end });
}

// ---- which members there are (5) ----

export function unpack(file) {
  const { all, held, error } = file, stems = stemsIn(all);
  const whole = () => stems.some((stem) => KINDS.every((kind) => held.has(`${stem}.${kind}`)));
  if (error) throw Object.assign(error, { nothing: error.what === "truncated-segment" && !whole() });
  const media = attempt(() => readHead(held.get("segment.json")).recording !== null, file.name.startsWith("r"));
  const lead = [...(media ? ["init.age"] : []), "segment.json", "chain.pem"], first = Number(stems[0]);
  const own = all.filter(({ name }) => lead.includes(name));
  for (const { name } of all) need(lead.includes(name) || STEM.test(name), `${name} does not belong in this segment`, "inserted-bytes");
  need(own.length === new Set(own.map(({ name }) => name)).size, "a member before the entries stands twice", "inserted-bytes");
  for (const name of lead) need(held.has(name), `${name} is missing`, "altered-bytes");
  need(stems.length > 0, "it holds no entry", "not-a-segment");
  need(held.size === all.length, "an entry, or a member of one, stands twice", "repeated-entry");
  const wanted = stems.flatMap((_, n) => KINDS.map((kind) => `${stemOf(first + n)}.${kind}`));
  need(wanted.every((name) => held.has(name)), "an entry, or a member of one, is missing", "missing-parts");
  need(all.map(({ name }) => name).join() === [...lead, ...wanted].join(), "the members stand in another order", "swapped-entries");
  const entries = stems.map((stem, n) => {
    const [sealed, leaf, note] = KINDS.map((kind) => held.get(`${stem}.${kind}`));
    need(sealed.length <= 32 << 20 && leaf.length <= 16384 && note.length <= 8192, `entry ${stem} is too large`);
    return { index: first + n, sealed, leaf, note };
  });
  const [json, chain] = ["segment.json", "chain.pem"].map((name) => held.get(name));
  need(json.length <= 65536 && chain.length <= 65536, "segment.json or chain.pem is too large");
  return { init: held.get("init.age") ?? null, json, chain, entries };
}

function readHead(json) {
  const head = parseJson(json), said = (key) => JSON.stringify(head[key]);
  const spelled = `{"v":1,"origin":${said("origin")},"camera":${said("camera")},"recording":${said("recording")},` +
    `"seq":${head.seq},"first":${head.first},"frontier":${said("frontier")}}\n`;
  need(head.v === 1 && spelled === json.toString("latin1"), "segment.json is not in its one spelling");
  const hashes = head.frontier.map(unbase64), ones = [...head.first.toString(2)].filter((bit) => bit === "1").length;
  need(hashes.length === ones && hashes.every((h) => h.length === 32), "the frontier does not fit the first leaf");
  need(head.recording === null ? head.seq === 0 : RECORDING.test(head.recording), "segment.json is of no segment");
  const [, camera, ...more] = head.origin.split("/");
  need(more.length === 1 && camera === head.camera && /^[a-z0-9-]{1,27}$/.test(camera), "origin or camera");
  return { ...head, tree: { size: head.first, hashes } };
}

export function leavesFrom({ held }, index) { // of a segment, as far as none is missing
  const found = [];
  for (let leaf; (leaf = held.get(`${stemOf(index + found.length)}.json`)); ) found.push(leaf);
  return found;
}

// ---- what they are of (8) ----

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

// What stands before the entries is altered where it fits none of them; one that does not fit is wrong where others do.
function fits(head, { init, chain, entries }) {
  const read = (of) => entries.map((entry) => attempt(() => of(entry), null)).filter((found) => found);
  const leaves = read((entry) => parseLeaf(entry.leaf)), media = leaves.filter((leaf) => leaf.class === "media");
  const some = (list, is, text) => need(list.length === 0 || list.some(is), `${text} is not what the entries name`, "altered-bytes");
  some(read((entry) => checkpoint(note(entry.note).text)), (point) => point.origin === head.origin, "the log in segment.json");
  some(leaves, (leaf) => leaf.camera === head.camera, "the camera in segment.json");
  some(media, (leaf) => leaf.recording === head.recording, "the recording in segment.json");
  some(leaves, (leaf) => leaf.chain === hex(chain), "chain.pem");
  some(media, (leaf) => init && leaf.init === hex(init), "init.age");
  need(head.first <= entries[0].index, "segment.json says that it begins later than it does", "altered-bytes");
  need(head.first === entries[0].index, `leaf ${head.first} is not in its segment`, "missing-parts");
  return new Map(leaves.map((leaf) => [leaf.sealed.sha256, Number(leaf.index)]));
}

export function checkSealed(sealed, said) {
  const mark = sealed.indexOf("\n---") + 1, size = mark > 0 ? sealed.indexOf("\n", mark) + 1 : 0;
  const is = (part, data) => part.size === data.length && part.sha256 === hex(data), { header, payload } = said;
  need(said.sha256 === hex(sealed), "not the sealed bytes of the leaf");
  need(is(header, sealed.subarray(0, size)) && is(payload, sealed.subarray(size)), "not the header or the payload of the leaf");
}

function proven(entry, tree, head, who) { // the leaf, once the checkpoint shows that it is the one that was signed
  const said = named("altered-bytes", () => note(entry.note)), point = named("altered-bytes", () => checkpoint(said.text));
  const right = `${head.origin}\n${tree.size}\n${rootOf(tree).toString("base64")}\n`;
  const by = (text) => bySession({ ...said, text }, head.origin, who);
  if (!by(said.text)) fail(`the session's signature of checkpoint ${entry.index} is wrong`, by(right) ? "altered-bytes" : "bad-signature");
  need(point.origin === head.origin && point.size === tree.size, `the checkpoint of leaf ${entry.index} is of another place`, "bad-root");
  need(said.text === right, `the root after leaf ${entry.index} is another`, "altered-bytes");
  const leaf = named("bad-leaf", () => parseLeaf(entry.leaf));
  const signed = byIdentity(said, head.origin, who);
  return { leaf, signed, waits: !signed && STRONG.has(leaf.kind) }; // for a later checkpoint that vouches for it (2)
}

// The log after the last of its leaves, from the first on, that its session signed, whatever is wrong behind it; else null.
export function provenTree({ held }, root) {
  return attempt(() => {
    const head = readHead(held.get("segment.json")), who = sessionIn(held.get("chain.pem"), root);
    for (let tree = head.tree, led = null; ; led = tree) {
      const [leaf, note] = ["json", "note"].map((kind) => held.get(`${stemOf(tree.size)}.${kind}`)), index = tree.size;
      const after = leaf && note && append(tree, leaf);
      if (!after || !attempt(() => proven({ index, leaf, note }, after, head, who), null)) return led;
      tree = after;
    }
  }, null);
}

// The last entry of a file in open/: the blocks of it may have come in any order.
const torn = (...all) => attempt(() => checkSealed(all[0].sealed, proven(...all).leaf.sealed), true);

// Tells what fails of it, and lets `log` hear its leaves. Fails where nothing more can be said of it. The last leaf of a file in open/
// that waits for a signature is there, and says nothing, unless something `follows` the log up to it.
export function segment(file, root, log, follows = () => false) {
  const all = named("altered-bytes", () => unpack(file)), { init, json, chain, entries } = all, { name } = file;
  places(entries, name);
  const head = named("altered-bytes", () => readHead(json)), sealedBy = fits(head, all);
  const who = named("untrusted-chain", () => sessionIn(chain, root));
  need(who.camera === head.camera, "the chain is of another camera", "other-camera");
  let tree = head.tree;
  Object.assign(file, { waits: [], vouches: false });
  for (const entry of entries) {
    const before = tree, after = append(tree, entry.leaf), at = `leaf ${entry.index}`;
    const last = file.open && entry === entries.at(-1);
    if (last && torn(entry, after, head, who)) break;
    tree = after;
    const { leaf, signed, waits } = proven(entry, tree, head, who), media = leaf.class === "media";
    if (signed) Object.assign(file, { waits: [], vouches: true });
    if (waits) file.waits.push(entry.index);
    log.roots.set(before.size, rootOf(before)); // the frontier, which this signature proves
    log.roots.set(tree.size, rootOf(tree));
    if (waits && last && !follows(tree)) { file.tail = entry.index; break; }
    need(leaf.index === entry.index, `${at} says that it is another`, "bad-leaf");
    hold(leaf.camera === head.camera, "other-camera", name, `${at} is of another camera`);
    hold(leaf.boot === who.boot, "bad-session", name, `${at} is of another boot than its session`);
    hold(leaf.chain === hex(chain), "bad-leaf", name, `${at} names another chain`);
    try { checkSealed(entry.sealed, leaf.sealed); } catch (error) {
      const own = (sealedBy.get(hex(entry.sealed)) ?? entry.index) === entry.index;
      tell(own ? "altered-bytes" : "swapped-entries", name, `${at}: ${error.message}`);
    }
    hold(!media || leaf.init === hex(init ?? ""), "bad-leaf", name, `${at} names another init`);
    if (hold(!media || leaf.recording === head.recording, "bad-leaf", name, `${at} is of another recording`)) log.hear(leaf, who, name);
    else log.next = leaf.index + 1;
  }
  return { who, after: tree, end: tree.size };
}
