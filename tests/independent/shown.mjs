// What a player makes of the packets of an MP4 (9): the boxes around them are as in the init, or follow from the packets.
import { need as needs, sameBytes } from "./lib.mjs";

const need = (truth, text) => needs(truth, `the MP4 would show something else: ${text}`, "altered-export");
const HOLDS = { // of each box those that stand in it, and those that may
  moov: ["mvhd trak", "udta"], trak: ["tkhd edts mdia", ""], edts: ["elst", ""], mdia: ["mdhd hdlr minf", ""], minf: ["dinf stbl", "vmhd smhd"],
  dinf: ["dref", ""], stbl: ["stsd stts stsc stsz", "stco co64 stss ctts sdtp sgpd sbgp"], udta: ["meta", ""], meta: ["hdlr ilst", ""], ilst: ["\xa9too", ""],
};
const ENTRIES = { avc1: [78, 42, 74], mp4a: [28, 16, 18] }; // the size before the boxes, and what of it tells nothing
const SQUARE = "pasp 0000000100000001";

function boxesIn(data) {
  const found = [];
  for (let at = 0; at < data.length; ) {
    const short = data.readUInt32BE(at), from = short === 1 ? 16 : 8, size = short === 1 ? Number(data.readBigUInt64BE(at + 8)) : short;
    need(size >= from && at + size <= data.length, "a box is not whole");
    found.push({ kind: data.toString("latin1", at + 4, at + 8), data: data.subarray(at + from, at + size) });
    at += size;
  }
  return found;
}

const find = (data, ...path) => path.reduce((here, kind) => here.flatMap((one) => boxesIn(one).filter((box) => box.kind === kind).map((box) => box.data)), [data]);

function only(data, ...path) {
  const found = find(data, ...path); // of no path it is the data themselves
  need(found.length === 1, `${path.at(-1)} is not there once`);
  return found[0];
}

function whole(data, name) { // it holds what it must, and nothing else
  const [must, may] = HOLDS[name].map((kinds) => kinds.split(" ")), inner = boxesIn(data), kinds = inner.map(({ kind }) => kind);
  const once = kinds.filter((kind) => kind !== "trak" || name !== "moov"), known = kinds.every((kind) => must.includes(kind) || may.includes(kind));
  if (name === "stbl") need(kinds.includes("stco") !== kinds.includes("co64"), `its ${name} holds ${kinds}`);
  need(known && must.every((kind) => kinds.includes(kind)) && once.length === new Set(once).size, `its ${name} holds ${kinds}`);
  for (const { kind, data: held } of inner) if (HOLDS[kind]) whole(kind === "meta" ? held.subarray(4) : held, kind);
}

// Of mvhd, tkhd or mdhd: flags and dates, the timescale (or track id), the duration, what follows it.
function header(box, kind) {
  const data = only(box, kind), width = data[0] ? 8 : 4, number = (at) => (data[0] ? Number(data.readBigUInt64BE(at)) : data.readUInt32BE(at));
  const scale = 4 + 2 * width, ofTrack = kind === "tkhd", at = scale + (ofTrack ? 8 : 4), id = ofTrack ? data.readUInt32BE(scale) : 0;
  need(data[0] < 2, `${kind} is of another version`);
  const said = [data.readUIntBE(1, 3), number(4), number(4 + width), id, ofTrack ? data.readUInt32BE(scale + 4) : 0].join();
  return { said, scale: data.readUInt32BE(scale), duration: number(at), rest: data.subarray(at + width) };
}

function bitsOf(unit) { // of a NAL unit, behind its first byte, without emulation prevention (H.264, 7.3.1): bits, and ue(v) (9.1)
  const data = Buffer.from([...unit.subarray(1)].filter((byte, n, all) => !(byte === 3 && n > 1 && all[n - 1] === 0 && all[n - 2] === 0)));
  let at = 0;
  const bit = () => (need(at < 8 * data.length, "a parameter set ends early"), (data[at >> 3] >> (7 - (at++ & 7))) & 1);
  const u = (count) => Array.from({ length: count }, bit).reduce((value, one) => 2 * value + one, 0);
  const ue = (zeros = 0) => { while (!bit()) zeros += 1; return 2 ** zeros - 1 + u(zeros); };
  return { u, ue };
}

function coloursOf(sps) { // as the 11 bytes of `colr`, in hex; "" where the set does not say (7.3.2.1.1, E.1.1)
  const { u, ue } = bitsOf(sps), times = (count, read) => { for (let n = 0; n < count; n++) read(n); }, profile = u(8);
  u(16); ue();
  if ([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].includes(profile)) {
    const chroma = ue();
    if (chroma === 3) u(1);
    ue(); ue(); u(1);
    const list = (size) => { for (let n = 0, last = 8, next = 8; n < size; n++) { if (next) { const k = ue(); next = (last + (k & 1 ? (k + 1) / 2 : -k / 2) + 256) & 255; } last = next || last; } };
    if (u(1)) times(chroma === 3 ? 12 : 8, (n) => { if (u(1)) list(n < 6 ? 16 : 64); });
  }
  ue();
  const order = ue();
  if (order === 0) ue();
  if (order === 1) { u(1); ue(); ue(); times(ue(), () => ue()); }
  ue(); u(1); ue(); ue();
  if (!u(1)) u(1);
  u(1);
  if (u(1)) times(4, () => ue());
  if (!u(1)) return "";
  if (u(1) && u(8) === 255) u(32);
  if (u(1)) u(1);
  if (!u(1)) return "";
  const full = u(4) & 1;
  return u(1) ? Buffer.from([..."nclx"].map((c) => c.charCodeAt()).concat(0, u(8), 0, u(8), 0, u(8), full << 7)).toString("hex") : "";
}

function coloursIn(avcc) { // what every sequence parameter set of it says
  const said = new Set();
  for (let n = 0, at = 6; n < (avcc[5] & 31); n++, at += 2 + avcc.readUInt16BE(at)) said.add(coloursOf(avcc.subarray(at + 2, at + 2 + avcc.readUInt16BE(at))));
  return said.size === 1 && !said.has("") ? `colr ${[...said][0]}` : undefined;
}

function entry(mdia) { // the one sample entry: what of it tells anything
  const stsd = only(mdia, "minf", "stbl", "stsd"), [{ kind, data }, ...more] = boxesIn(stsd.subarray(8));
  need(more.length === 0 && ENTRIES[kind], "a sample entry is another, or not the only one");
  const [size, from, to] = ENTRIES[kind], inner = boxesIn(data.subarray(size)), kinds = inner.map((box) => box.kind);
  need(kinds.length === new Set(kinds).size, "a box in a sample entry stands twice");
  const telling = inner.filter((box) => !["avcC", "esds", "btrt"].includes(box.kind)).map((box) => `${box.kind} ${box.data.toString("hex")}`);
  const avcc = inner.find((box) => box.kind === "avcC"), known = [SQUARE, avcc && coloursIn(avcc.data)];
  const own = [stsd.subarray(0, 8), data.subarray(0, from), data.subarray(to, size)].map((piece) => piece.toString("hex"));
  return [kind, ...own, ...telling.filter((box) => !known.includes(box)).sort()].join();
}

const near = (one, other, within = 0.001) => Math.abs(one - other) <= within;

// Perhaps an empty edit, and one that plays all that follows where it begins, and may go on until the parts end. What plays from 0 on, it plays.
function edits(trak, movie, end, packets) {
  const elst = only(trak, "edts", "elst"), [wide, count] = [elst[0] === 1, elst.readUInt32BE(4)], size = wide ? 20 : 12, rows = [];
  need(elst[0] < 2 && elst.readUIntBE(1, 3) === 0 && count > 0 && elst.length === 8 + count * size, "elst is in another form");
  for (let at = 8; at < elst.length; at += size) {
    const duration = wide ? Number(elst.readBigUInt64BE(at)) : elst.readUInt32BE(at), start = wide ? Number(elst.readBigInt64BE(at + 8)) : elst.readInt32BE(at + 4);
    rows.push({ duration, start, rate: elst.readUInt32BE(at + size - 4) });
  }
  need(count < 3 && rows.every(({ start, duration, rate }, n) => rate === 0x10000 && (n === count - 1 ? start >= 0 : start === -1 && duration > 0)), "an edit is another, or plays at another rate");
  const times = only(trak, "mdia", "minf", "stbl", "stts"), last = rows.at(-1), lasts = rows.reduce((sum, { duration }) => sum + duration, 0) / movie.scale;
  let ticks = 0;
  for (let at = 8; at < times.length; at += 8) ticks += times.readUInt32BE(at) * times.readUInt32BE(at + 4);
  const media = header(only(trak, "mdia"), "mdhd"), played = last.duration / movie.scale, samples = (ticks - last.start) / media.scale;
  need(near(played, samples) || (played > samples && lasts <= end + 0.001), "the edits of a track do not end with it");
  need(near(header(trak, "tkhd").duration / movie.scale, lasts), "tkhd has another duration");
  need(near((media.duration - last.start) / media.scale, played), "mdhd has another duration");
  need(packets.every(({ at }) => at < 0 || (at >= lasts - played - 0.001 && at <= lasts + 0.001)), "an edit leaves out what plays in the recording");
}

function table(data, at, ...widths) { // the rows behind their number, which stands at `at`
  const count = data.readUInt32BE(at), size = widths.reduce((sum, width) => sum + width, 0);
  need(data.length === at + 4 + count * size, "a table has another number of rows than it says");
  const number = (from, width) => (width === 8 ? Number(data.readBigUInt64BE(from)) : data.readUInt32BE(from));
  return Array.from({ length: count }, (_, row) => widths.map((width, n) => number(at + 4 + row * size + widths.slice(0, n).reduce((sum, one) => sum + one, 0), width)));
}

function chunks(stbl) { // where each begins, and how long it is
  const stsz = only(stbl, "stsz"), one = stsz.readUInt32BE(4), count = stsz.readUInt32BE(8), sizes = one ? [] : table(stsz, 8, 4), runs = table(only(stbl, "stsc"), 4, 4, 4, 4);
  need(runs.every(([first, , entry], n) => entry === 1 && (n ? first > runs[n - 1][0] : first === 1)), "stsc is out of order");
  const wide = find(stbl, "co64").length > 0, places = table(only(stbl, wide ? "co64" : "stco"), 4, wide ? 8 : 4);
  let run = 0, done = 0;
  const found = places.map(([at], n) => {
    if (run + 1 < runs.length && runs[run + 1][0] === n + 1) run += 1;
    const samples = runs[run]?.[1] ?? 0, size = one ? samples * one : sizes.slice(done, done + samples).reduce((sum, [of]) => sum + of, 0);
    done += samples;
    return { at, size };
  });
  need(done === count, "the chunks hold another number of samples");
  need(found.every(({ at }, n) => n === 0 || at >= found[n - 1].at), "the chunks are out of order");
  return found;
}

function agree(stbl) { // every table tells of as many samples
  const count = only(stbl, "stsz").readUInt32BE(8), sum = (list) => list.reduce((all, [n]) => all + n, 0);
  for (const kind of ["stts", "ctts"]) for (const box of find(stbl, kind)) need(sum(table(box, 4, 4, 4)) === count, `${kind} is of another number of samples`);
  for (const box of find(stbl, "sdtp")) need(box.length === 4 + count, "sdtp is of another number of samples");
  for (const box of find(stbl, "sbgp")) need(sum(table(box, box[0] ? 12 : 8, 4, 4)) <= count, "sbgp is of more samples");
  for (const box of find(stbl, "stss")) need(table(box, 4, 4).every(([key], n, all) => key > (n ? all[n - 1][0] : 0) && key <= count), "stss names others");
}

function filled(film, moov) { // the samples fill mdat, one after the other
  const mdat = only(film, "mdat");
  let at = mdat.byteOffset - film.byteOffset;
  for (const chunk of find(moov, "trak", "mdia", "minf", "stbl").flatMap(chunks).sort((one, other) => one.at - other.at || one.size - other.size)) {
    need(chunk.at === at, "its samples do not fill mdat");
    at += chunk.size;
  }
  need(at === film.length, "its samples do not fill mdat");
}

// The parts end at `end`, in seconds of its presentation. `packets`: of each track when each plays, and whether by the parts it is decoded alone.
export function checkShown(init, film, end, packets) {
  const outer = boxesIn(film).map(({ kind }) => kind).join(" ");
  need(/^ftyp moov( free)? mdat$/.test(outer), `its boxes are ${outer}`);
  const [own, shown] = [init, film].map((data) => only(data, "moov")), [said, movie] = [own, shown].map((moov) => header(moov, "mvhd"));
  whole(shown, "moov");
  need(said.said === movie.said && sameBytes(said.rest.subarray(0, -4), movie.rest.subarray(0, -4)), "mvhd has another rate, volume, matrix, flags or dates");
  const [mine, theirs] = [own, shown].map((moov) => find(moov, "trak"));
  need(mine.length === theirs.length, "it has other tracks");
  for (const [n, one] of mine.entries()) {
    const other = theirs[n], alike = (of) => need(of(one) === of(other), "a box of a track is another than in the init"), hex = (data) => data.toString("hex");
    for (const [kind, ...path] of [["tkhd"], ["mdhd", "mdia"]]) alike((trak) => header(only(trak, ...path), kind).said + hex(header(only(trak, ...path), kind).rest));
    alike((trak) => hex(only(trak, "mdia", "hdlr").subarray(0, 24)));
    for (const path of [["vmhd"], ["smhd"], ["dinf", "dref"]]) alike((trak) => find(trak, "mdia", "minf", ...path).map(hex).join());
    alike((trak) => entry(only(trak, "mdia")));
    edits(other, movie, end, packets[n]);
    const alone = packets[n].flatMap(({ key }, at) => (key ? [at + 1] : [])), [stss] = find(other, "mdia", "minf", "stbl", "stss");
    need((stss ? table(stss, 4, 4) : packets[n].map((_, at) => at + 1)).join() === alone.join(), "other packets can be decoded alone");
  }
  find(shown, "trak", "mdia", "minf", "stbl").forEach(agree);
  filled(film, shown);
  const longest = Math.max(...theirs.map((trak) => header(trak, "tkhd").duration));
  need(near(movie.duration / movie.scale, longest / movie.scale), "mvhd has another duration");
  need(near(longest / movie.scale, end, 0.1), "it ends elsewhere than its parts");
}
