// An MP4 as section 9 of docs/evidence-format.md compares it: of each track its kind, how it is decoded, and every packet with its
// presentation time. Reads the ordinary form (stbl) and the fragmented one (moof), ISO/IEC 14496-12.

import { fail } from "./lib.mjs";

function* boxes(data, from = 0) {
  for (let at = from; at < data.length;) {
    if (at + 8 > data.length) fail("a box of the MP4 is cut short");
    let size = data.readUInt32BE(at), lead = 8;
    if (size === 1) { size = Number(data.readBigUInt64BE(at + 8)); lead = 16; } else if (size === 0) size = data.length - at;
    if (size < lead || at + size > data.length) fail("a box of the MP4 is cut short");
    yield { type: data.toString("latin1", at + 4, at + 8), at, body: data.subarray(at + lead, at + size) };
    at += size;
  }
}

const all = (data, type) => [...boxes(data)].filter((box) => box.type === type).map((box) => box.body);
const inside = (data, ...path) => path.reduce((found, type) => found && all(found, type)[0], data) ?? null;
const must = (data, ...path) => inside(data, ...path) ?? fail(`the MP4 has no ${path.at(-1)}`);
const long = (data, at, wide) => (wide ? Number(data.readBigInt64BE(at)) : data.readInt32BE(at));

// Rows of a full box: a count behind `lead` bytes, then rows of so many 32-bit words, unsigned.
function rows(box, words, lead = 4) {
  const count = box.readUInt32BE(lead), found = [];
  for (let n = 0; n < count; n++) found.push(Array.from({ length: words }, (_, w) => box.readUInt32BE(lead + 4 + 4 * (words * n + w))));
  return found;
}

// The decoder's settings: avcC or hvcC whole, of sound the AudioSpecificConfig (descriptor 5 in esds).
function settings(stsd, kind) {
  const entry = [...boxes(stsd, 8)], [{ type, body }] = entry;
  if (entry.length !== 1) fail("a track of the MP4 has several sample entries");
  const lead = kind === "vide" ? 78 : 28;
  for (const box of boxes(body, lead)) {
    if (["avcC", "hvcC", "dOps"].includes(box.type)) return Buffer.concat([Buffer.from(type), box.body]);
    if (box.type === "esds") return Buffer.concat([Buffer.from(type), specific(box.body.subarray(4))]);
  }
  return Buffer.from(type);
}

function specific(data) {
  for (let at = 0; at < data.length;) {
    const tag = data[at++];
    let size = 0, more;
    do { more = data[at++]; size = (size << 7) | (more & 127); } while (more & 128);
    if (tag === 5) return data.subarray(at, at + size);
    at += tag === 3 ? 3 : tag === 4 ? 13 : size;
  }
  return Buffer.alloc(0);
}

// Where the media's zero plays, in seconds: an empty edit moves it on, the media time of the first other one back.
function offset(trak, movie, scale) {
  const elst = inside(trak, "edts", "elst");
  if (!elst) return 0;
  const wide = elst[0] === 1, step = wide ? 20 : 12;
  let empty = 0;
  for (let n = 0, at = 8; n < elst.readUInt32BE(4); n++, at += step) {
    const lasts = wide ? Number(elst.readBigUInt64BE(at)) : elst.readUInt32BE(at), media = long(elst, at + (wide ? 8 : 4), wide);
    if (media >= 0) return empty / movie - media / scale;
    empty += lasts;
  }
  return empty / movie;
}

function table(stbl, data, time) {
  const stsz = must(stbl, "stsz"), same = stsz.readUInt32BE(4), count = stsz.readUInt32BE(8);
  const far = inside(stbl, "co64"), chunks = far ? rows(far, 2).map(([h, l]) => h * 2 ** 32 + l) : rows(must(stbl, "stco"), 1).flat();
  const durations = rows(must(stbl, "stts"), 2), ctts = inside(stbl, "ctts"), shifts = ctts ? rows(ctts, 2) : [[count, 0]];
  const runs = rows(must(stbl, "stsc"), 3), packets = [];
  let decoded = 0, run = -1;
  for (let chunk = 0; chunk < chunks.length && packets.length < count; chunk++) {
    if (run + 1 < runs.length && runs[run + 1][0] === chunk + 1) run += 1;
    let at = chunks[chunk];
    for (let n = 0; n < (runs[run]?.[1] ?? 0) && packets.length < count; n++) {
      const size = same || stsz.readUInt32BE(12 + 4 * packets.length);
      if (at + size > data.length) fail("a packet of the MP4 is cut short");
      packets.push({ data: data.subarray(at, at + size), time: time(decoded + (next(shifts) | 0)) });
      decoded += next(durations, true);
      at += size;
    }
  }
  if (packets.length !== count) fail("the MP4 lacks packets");
  return packets;
}

function next(pairs, peek) { // the value of the run that is read, one of its count less
  while (pairs.length && pairs[0][0] === 0) pairs.shift();
  if (!pairs.length) fail(`the MP4 has no ${peek ? "duration" : "time"} for a packet`);
  pairs[0][0] -= 1;
  return pairs[0][1];
}

function fragment(moof, at, data, tracks) {
  for (const traf of all(moof, "traf")) {
    const tfhd = must(traf, "tfhd"), flags = tfhd.readUInt32BE(0) & 0xffffff;
    const track = tracks.get(tfhd.readUInt32BE(4)) ?? fail("a fragment of no track");
    let place = 8;
    const given = (bit, otherwise, size = 4) => {
      if (!(flags & bit)) return otherwise;
      place += size;
      return size === 8 ? Number(tfhd.readBigUInt64BE(place - 8)) : tfhd.readUInt32BE(place - 4);
    };
    const base = given(1, at, 8), usual = track.usual;
    given(2);
    const lasts = given(8, usual.lasts), size = given(16, usual.size), tfdt = must(traf, "tfdt");
    let decoded = long(tfdt, 4, tfdt[0] === 1), from = base;
    for (const trun of all(traf, "trun")) {
      const has = trun.readUInt32BE(0) & 0xffffff, count = trun.readUInt32BE(4);
      let word = 8;
      const take = (bit, otherwise) => { if (!(has & bit)) return otherwise; word += 4; return trun.readUInt32BE(word - 4); };
      from = has & 1 ? base + (take(1) | 0) : from;
      take(4);
      for (let n = 0; n < count; n++) {
        const own = take(0x100, lasts), bytes = take(0x200, size);
        take(0x400);
        const shift = take(0x800, 0) | 0;
        if (from + bytes > data.length) fail("a packet of a part is cut short");
        track.packets.push({ data: data.subarray(from, from + bytes), time: track.time(decoded + shift) });
        decoded += own;
        from += bytes;
      }
    }
  }
}

export function readMp4(data) {
  const moov = must(data, "moov"), mvhd = must(moov, "mvhd"), movie = mvhd.readUInt32BE(mvhd[0] === 1 ? 20 : 12), tracks = new Map();
  const trex = all(inside(moov, "mvex") ?? Buffer.alloc(0), "trex");
  const usual = new Map(trex.map((t) => [t.readUInt32BE(4), { lasts: t.readUInt32BE(12), size: t.readUInt32BE(16) }]));
  for (const trak of all(moov, "trak")) {
    const tkhd = must(trak, "tkhd"), id = tkhd.readUInt32BE(tkhd[0] === 1 ? 20 : 12), mdhd = must(trak, "mdia", "mdhd");
    const scale = mdhd.readUInt32BE(mdhd[0] === 1 ? 20 : 12), kind = must(trak, "mdia", "hdlr").toString("latin1", 8, 12);
    const stbl = must(trak, "mdia", "minf", "stbl"), zero = offset(trak, movie, scale), time = (ticks) => ticks / scale + zero;
    const how = settings(must(stbl, "stsd"), kind), packets = table(stbl, data, time);
    tracks.set(id, { kind, settings: how, time, usual: usual.get(id) ?? {}, packets });
  }
  for (const { type, at, body } of boxes(data)) if (type === "moof") fragment(body, at, data, tracks);
  return [...tracks.values()];
}

// What is not the same, moved by `shift` seconds, is an error.
export function compareMp4(parts, film, shift) {
  const [want, got] = [readMp4(parts), readMp4(film)];
  if (want.map((t) => t.kind).join() !== got.map((t) => t.kind).join()) fail("the MP4 has other tracks than the recording");
  want.forEach(({ kind, settings: set, packets }, n) => {
    if (!set.equals(got[n].settings)) fail(`the MP4 has other decoder settings (${kind})`);
    if (packets.length !== got[n].packets.length) fail(`the MP4 has another number of packets (${kind})`);
    packets.forEach(({ data, time }, at) => {
      const other = got[n].packets[at];
      if (!data.equals(other.data)) fail(`${kind} packet ${at} of the MP4 is not that of the recording`);
      if (!(Math.abs(other.time - (time - shift)) <= 0.001)) fail(`${kind} packet ${at} of the MP4 plays at another time`);
    });
  });
}
