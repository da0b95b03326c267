// One segment (8): its archive (5), what stands before the entries, and each entry against its checkpoint.
import { attempt, fail, hex, hold, named, need, sameBytes, stemOf, tell, unbase64 } from "./lib.mjs";
import { partName } from "./held.mjs";
import { CAMERA, parseJson, parseLeaf, RECORDING, seqOf, startOf } from "./leaf.mjs";
import { checkpoint, sessionIn, signers } from "./signed.mjs";
import { append, rootOf } from "./tree.mjs";

export const STRONG = ["session", "start", "stop", "recovery", "shutdown"]; // of these the identity key signs it (2)
const KINDS = ["age", "json", "note"], STEM = /^([0-9]{10})\.(age|json|note)$/;

// ---- ustar (5) ----

const ZEROS = Buffer.alloc(1024);

function header(name, size) {
  const octal = size.toString(8).padStart(11, "0"), none = "0000000\0".repeat(2);
  const spelled = (sum) => Buffer.from(name.padEnd(100, "\0") +
    `0000644\0${none}${octal}\0${"0".repeat(11)}\0${sum}0`.padEnd(157, "\0") +
    ["ustar", "00"].join("\0").padEnd(72, "\0") + none.padEnd(183, "\0"), "latin1");
  const sum = spelled(" ".repeat(8)).reduce((a, b) => a + b);
  return spelled(`${sum.toString(8).padStart(6, "0")}\0 `);
}

export function members(data, found = []) { // `found` holds those before the first that is wrong
  const zero = (from, to) => to <= data.length && sameBytes(data.subarray(from, to), ZEROS.subarray(0, to - from));
  for (let at = 0; ;) {
    const block = data.subarray(at, at + 512), left = data.length - at;
    if (zero(at, at + 512)) {
      need(left >= 1024, "the file ends in half a trailer", "truncated-segment");
      need(zero(at, at + 1024), "the trailer is not zero", "altered-bytes");
      need(left === 1024, "bytes follow the trailer", "inserted-bytes");
      return found;
    }
    const [name, octal] = [[0, 100], [124, 135]].map(([from, to]) => block.toString("latin1", from, to));
    const size = parseInt(octal, 8), legible = left >= 512 && size >= 0, stem = name.replace(/\0+$/, "");
    const ends = left === 1024 || (left > 1024 && zero(data.length - 1024, data.length)); // with a trailer
    need(legible || ends, "the file ends where a header or its trailer belongs", "truncated-segment");
    need(legible && sameBytes(header(stem, size), block), `header ${at} is not in the one spelling`, "altered-bytes");
    const end = at + 512 + size;
    at += 512 * (1 + Math.ceil(size / 512));
    need(at <= data.length, `the file ends inside ${stem}`, "truncated-segment");
    need(zero(end, at), `${stem} is badly padded`, "altered-bytes");
    found.push({ name: stem, data: data.subarray(end - size, end) });
  }
}

// Of a file in open/, which ends anywhere, those that stand in their order, up to the last whole entry (8).
function wholePrefix(all, lead) {
  const first = Number(STEM.exec(all[lead]?.name)?.[1]), entries = all.slice(lead);
  const isNext = ({ name }, n) => name === `${stemOf(first + Math.floor(n / 3))}.${KINDS[n % 3]}`;
  const count = Math.floor([...entries.map(isNext), false].indexOf(false) / 3);
  return all.slice(0, count && lead + 3 * count);
}

// A file as far as it can be read: `held` is the first member of each name, `error` what is wrong with it; and where
// it says that it stands, whatever else is wrong. `head` and `entries` only where its members are right.
export function opened(data, name, open = false) {
  const file = { data, name, open, sha256: hex(data), size: data.length, all: [], error: null, head: null };
  try { members(data, file.all); } catch (error) { if (!open) file.error = error; }
  if (open) file.all = wholePrefix(file.all, name.startsWith("r") ? 3 : 2);
  const held = new Map([...file.all].reverse().map((member) => [member.name, member.data]));
  const stems = [...new Set([...held.keys()].map((name) => STEM.exec(name)?.[1] ?? []).flat())].sort();
  const said = attempt(() => readHead(held.get("segment.json")));
  const starts = [said?.first, stems[0]].filter((one) => one !== undefined);
  const first = Math.min(...starts.map(Number)); // Infinity: nowhere
  const end = stems.length ? Number(stems.at(-1)) + 1 : first;
  const origin = attempt(() => checkpoint(held.get(`${stems[0]}.note`)).origin, said?.origin);
  Object.assign(file, { held, first, end, origin, chain: held.get("chain.pem"), init: held.get("init.age") });
  try {
    return Object.assign(file, { entries: entriesIn(file, stems, said), head: said });
  } catch (error) { return Object.assign(file, { error }); }
}

// ---- which members there are (5) ----

const entryAt = (held, index) => // { index, age, json, note }
  Object.fromEntries([["index", index], ...KINDS.map((kind) => [kind, held.get(`${stemOf(index)}.${kind}`)])]);

function entriesIn({ all, held, error, name: own }, stems, said) {
  const whole = () => stems.some((stem) => KINDS.every((kind) => held.has(`${stem}.${kind}`)));
  if (error) throw Object.assign(error, { nothing: error.what === "truncated-segment" && !whole() });
  const media = said ? said.recording !== null : own.startsWith("r"), first = Number(stems[0]);
  const lead = [...(media ? ["init.age"] : []), "segment.json", "chain.pem"], names = all.map(({ name }) => name);
  const wanted = stems.flatMap((_, n) => KINDS.map((kind) => `${stemOf(first + n)}.${kind}`));
  const once = (list) => list.length === new Set(list).size, before = names.filter((name) => lead.includes(name));
  need(names.every((name) => lead.includes(name) || STEM.test(name)), "a member of another name", "inserted-bytes");
  need(once(before), "a member before the entries stands twice", "inserted-bytes");
  need(lead.every((name) => held.has(name)), "a member before the entries is missing", "altered-bytes");
  need(stems.length > 0, "it holds no entry", "not-a-segment");
  need(once(names), "an entry, or a member of one, stands twice", "repeated-entry");
  need(wanted.every((name) => held.has(name)), "an entry, or a member of one, is missing", "missing-parts");
  need(names.join() === [...lead, ...wanted].join(), "the members stand in another order", "swapped-entries");
  const limit = (name) => ({ age: 32 << 20, note: 8192 })[name.slice(11)] ?? (STEM.test(name) ? 16384 : 65536);
  need(all.every(({ name, data }) => name === "init.age" || data.length <= limit(name)), "a member is too long");
  return stems.map((_, n) => entryAt(held, first + n));
}

function readHead(json) {
  const head = parseJson(json), { origin, camera, recording, seq, first, frontier } = head;
  need(`${JSON.stringify({ v: 1, origin, camera, recording, seq, first, frontier })}\n` === json.toString("latin1"),
    "segment.json is not in its one spelling");
  const hashes = frontier.map(unbase64), ones = first.toString(2).replaceAll("0", "").length;
  need(hashes.length === ones && hashes.every((hash) => hash.length === 32), "the frontier is of another tree");
  need(recording === null ? seq === 0 : RECORDING.test(recording), "segment.json is of no segment");
  const [, own, ...more] = origin.split("/");
  need(more.length === 1 && own === camera && CAMERA.test(camera), "origin or camera");
  return { ...head, tree: { size: first, hashes } };
}

export function* treesIn({ head, held }) { // the log after each of its leaves, as far as none is missing
  for (let { tree } = head, leaf; (leaf = held.get(`${stemOf(tree.size)}.json`)); ) yield (tree = append(tree, leaf));
}

// ---- what they are of (8) ----

// A leaf or a checkpoint says of which entry it is. One that is another's stands for it, or once more.
function places(entries, name) {
  const numbers = { json: (data) => Number(parseJson(data).index), note: (data) => checkpoint(data).size - 1 };
  for (const [kind, of] of Object.entries(numbers)) {
    const said = entries.map((entry) => attempt(() => of(entry[kind]), entry.index));
    for (const [n, entry] of entries.entries()) {
      const at = said[n] - entries[0].index, there = entries[at];
      const text = `entry ${entry.index} has the ${kind} of ${said[n]}`;
      if (said[n] === entry.index || !there) continue;
      need(said[at] === there.index, text, "swapped-entries");
      if (!sameBytes(there[kind], entry[kind])) continue;
      tell("repeated-entry", name, text);
      fail(`entry ${entry.index} has no ${kind} of its own`, "missing-parts");
    }
  }
}

// What stands before the entries is altered where it fits none of them; where it fits one, those that do not are
// wrong.
function fits({ head, init, chain, entries }) {
  const read = (of) => entries.map((entry) => attempt(() => of(entry))).filter((found) => found);
  const leaves = read(({ json }) => parseLeaf(json)), media = leaves.filter((leaf) => leaf.class === "media");
  const some = (list, is, text) => need(list.length === 0 || list.some(is), `no entry names ${text}`, "altered-bytes");
  some(read(({ note }) => checkpoint(note)), (point) => point.origin === head.origin, "the log in segment.json");
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
  need(is(header, sealed.subarray(0, size)) && is(payload, sealed.subarray(size)), "not the leaf's header or payload");
}

// The leaf, once the checkpoint shows that it was signed, by the identity key too or not.
function proven({ index, json, note }, tree, { origin }, who) {
  const point = named("altered-bytes", () => checkpoint(note)), root = rootOf(tree).toString("base64");
  const right = `${origin}\n${tree.size}\n${root}\n`, by = (text) => signers({ ...point, text }, origin, [who]);
  const [first, second, ...more] = by(point.text), isSession = ({ role, valid }) => role === "session" && valid;
  const what = isSession(first) || isSession(by(right)[0]) ? "altered-bytes" : "bad-signature";
  need(isSession(first), `the session's signature of checkpoint ${index} is wrong`, what);
  need(point.origin === origin && point.size === tree.size, `checkpoint ${index} is of another place`, "bad-root");
  need(point.text === right, `the root after leaf ${index} is another`, "altered-bytes");
  const leaf = named("bad-leaf", () => parseLeaf(json)), isIdentity = second?.role === "identity" && second.valid;
  const isRight = !second || (isIdentity && more.length === 0);
  need(isRight, "the identity's signature is wrong, or not in its one spelling, or another's", "bad-signature");
  return { leaf, signed: isIdentity, waits: !isIdentity && STRONG.includes(leaf.kind) }; // for one that vouches (2)
}

// The log after the last of its leaves, from the first on, that its session signed, whatever is wrong behind it.
export function provenTree({ held, chain }, root) {
  let led = null;
  attempt(() => {
    const head = readHead(held.get("segment.json")), who = sessionIn(chain, root);
    for (let { tree } = head; ; led = tree) { // up to the first that fails
      const entry = entryAt(held, tree.size);
      tree = append(tree, entry.json);
      proven(entry, tree, head, who);
    }
  });
  return led;
}

// Tells what fails of it, and lets `log` hear its leaves. Fails where nothing more can be said of it. The last leaf of
// a file in open/ that waits for a signature is there, and says nothing, unless something `follows` the log up to it.
export function segment(file, root, log, follows) {
  if (file.error) throw file.error;
  const { name, open, head, init, chain, entries } = file;
  places(entries, name);
  const sealedBy = fits(file), who = named("untrusted-chain", () => sessionIn(chain, root));
  need(who.camera === head.camera, "the chain is of another camera", "other-camera");
  Object.assign(file, { waits: [], vouches: false, tail: undefined });
  let { tree } = head;
  for (const entry of entries) {
    const { index, age: sealed, json } = entry, after = append(tree, json), last = open && entry === entries.at(-1);
    const found = () => proven(entry, after, head, who);
    const is = (truth, what, text) => hold(truth, what, name, `leaf ${index}: ${text}`);
    // The last one in open/: the blocks of it may have come in any order.
    if (last && attempt(() => checkSealed(sealed, found().leaf.sealed), "torn")) break;
    const { leaf, signed, waits } = found(), isMedia = leaf.class === "media";
    if (signed) Object.assign(file, { waits: [], vouches: true });
    if (waits) file.waits.push(index);
    for (const one of [tree, after]) log.roots.set(one.size, rootOf(one)); // the frontier too
    tree = after;
    if (waits && last && !follows(tree)) { file.tail = index; break; }
    need(leaf.index === index, `leaf ${index} says that it is another`, "bad-leaf");
    is(leaf.camera === head.camera, "other-camera", "it is of another camera");
    is(leaf.boot === who.boot, "bad-session", "it is of another boot than its session");
    is(leaf.chain === hex(chain), "bad-leaf", "it names another chain");
    is(!isMedia || leaf.init === hex(init), "bad-leaf", "it names another init");
    const what = (sealedBy.get(hex(sealed)) ?? index) === index ? "altered-bytes" : "swapped-entries";
    try { checkSealed(sealed, leaf.sealed); } catch (error) { is(false, what, error.message); }
    const own = is(!isMedia || leaf.recording === head.recording, "bad-leaf", "it is of another recording");
    if (own) log.hear(leaf, who, name);
    else log.next = index + 1;
  }
  return { who, after: tree, end: tree.size };
}

// Its file, what it says, and its place, behind the segment before.
export function misnamed({ name, head: { recording, seq, first } }, before) {
  const isNext = before?.end === first && before.head?.recording === recording;
  if (recording ? name === partName(recording, seq) : seqOf(name) < 0 && startOf(name) === first) return;
  const byPlace = recording && name === partName(recording, isNext ? before.head.seq + 1 : 0);
  tell(byPlace ? "altered-bytes" : "swapped-segments", name, "the file holds another segment than its name says");
}
