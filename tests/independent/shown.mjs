// What a player makes of the packets of an MP4 (9): the boxes around them are as in the init, or follow from them.
import { spawnSync } from "node:child_process";
import { need as needs, sameBytes } from "./lib.mjs";

const need = (truth, text) => needs(truth, `the MP4 would show something else: ${text}`, "altered-export");
const near = (one, other, within = 0.001) => Math.abs(one - other) <= within;
const sum = (numbers) => numbers.reduce((all, n) => all + n, 0), hex = (data) => data.toString("hex");

const HOLDS = { // of each box those that stand in it, and those that may
  moov: ["mvhd trak", "udta"], trak: ["tkhd edts mdia", ""], edts: ["elst", ""], mdia: ["mdhd hdlr minf", ""],
  minf: ["dinf stbl", "vmhd smhd"], dinf: ["dref", ""],
  udta: ["meta", ""], meta: ["hdlr ilst", ""], ilst: ["\xa9too", ""],
  stbl: ["stsd stts stsc stsz", "stco co64 stss ctts sdtp sgpd sbgp"],
};
const ENTRIES = { avc1: [78, 42, 74], mp4a: [28, 16, 18] }; // the size before the boxes, and what of it tells nothing
const SQUARE = "pasp 0000000100000001", QUIET = ["avcC", "esds", "btrt"]; // compared otherwise, or telling nothing

// ---- boxes ----

const numberAt = (data, at, width) => (width === 8 ? Number(data.readBigInt64BE(at)) : data.readUIntBE(at, width));

function boxesIn(data) {
  const found = [];
  for (let at = 0; at < data.length; ) {
    const short = numberAt(data, at, 4), from = short === 1 ? 16 : 8;
    const size = short === 1 ? numberAt(data, at + 8, 8) : short;
    need(size >= from && at + size <= data.length, "a box is not whole");
    found.push({ kind: data.toString("latin1", at + 4, at + 8), data: data.subarray(at + from, at + size) });
    at += size;
  }
  return found;
}

const find = (data, ...path) => path.reduce((here, kind) =>
  here.flatMap((one) => boxesIn(one).filter((box) => box.kind === kind).map((box) => box.data)), [data]);

function only(data, ...path) {
  const found = find(data, ...path);
  return need(found.length === 1, `${path.at(-1)} is not there once`) && found[0];
}

function whole(data, name) { // it holds what it must, and nothing else
  const [must, may] = HOLDS[name].map((kinds) => kinds.split(" ")), inner = boxesIn(data);
  const kinds = inner.map(({ kind }) => kind);
  const once = kinds.filter((kind) => kind !== "trak" || name !== "moov");
  const known = (kind) => [...must, ...may].includes(kind);
  const right = kinds.every(known) && must.every((kind) => kinds.includes(kind)) && once.length === new Set(once).size;
  const chunked = name !== "stbl" || kinds.includes("stco") !== kinds.includes("co64");
  need(right && chunked, `its ${name} holds ${kinds}`);
  for (const { kind, data: held } of inner) if (HOLDS[kind]) whole(kind === "meta" ? held.subarray(4) : held, kind);
}

// Of mvhd, tkhd or mdhd: `said`, flags and dates, and a track's number; the timescale, the duration, the rest.
function header(box, kind) {
  const data = only(box, kind), width = data[0] ? 8 : 4, scale = 4 + 2 * width, isTrack = kind === "tkhd";
  const at = scale + (isTrack ? 8 : 4), number = isTrack ? hex(data.subarray(scale, at)) : "";
  need(data[0] < 2, `${kind} is of another version`);
  const said = [numberAt(data, 1, 3), numberAt(data, 4, width), numberAt(data, 4 + width, width), number].join();
  const duration = numberAt(data, at, width), rest = data.subarray(at + width);
  return { said, scale: numberAt(data, scale, 4), duration, rest };
}

function table(data, at, ...widths) { // the rows behind their number, which stands at `at`
  const count = numberAt(data, at, 4), size = sum(widths);
  need(data.length === at + 4 + count * size, "a table has another number of rows than it says");
  const begins = widths.map((_, n) => at + 4 + sum(widths.slice(0, n)));
  const row = (_, n) => widths.map((width, column) => numberAt(data, begins[column] + n * size, width));
  return Array.from({ length: count }, row);
}

// ---- tracks ----

// What every sequence parameter set of `avcC` says of its colours (H.264, E.1.1), as ffmpeg spells it out, in the form
// of `colr`; undefined where they do not, or not the same.
function coloursIn(film) {
  const words = "-v info -i pipe:0 -c copy -bsf:v trace_headers -frames:v 1 -f null -".split(" ");
  const { stderr } = spawnSync("ffmpeg", words, { input: film, maxBuffer: Infinity });
  const [before] = stderr.toString("latin1").split(" Packet: ");
  const numberOf = (set, name) => Number(new RegExp(` ${name} .*= ([0-9]+)$`, "m").exec(set)?.[1]);
  const said = before.split("Sequence Parameter Set").slice(1).map((set) => {
    const names = ["colour_primaries", "transfer_characteristics", "matrix_coefficients"];
    const numbers = names.map((name) => numberOf(set, name));
    const bytes = [...numbers.flatMap((n) => [0, n]), 128 * numberOf(set, "video_full_range_flag")];
    return numbers.includes(NaN) ? undefined : `colr ${hex(Buffer.from("nclx"))}${hex(Buffer.from(bytes))}`;
  });
  return new Set(said).size === 1 ? said[0] : undefined;
}

function entry(trak, film) { // the one sample entry: what of it tells anything
  const stsd = only(trak, "mdia", "minf", "stbl", "stsd"), [{ kind, data }, ...more] = boxesIn(stsd.subarray(8));
  need(more.length === 0 && ENTRIES[kind], "a sample entry is another, or not the only one");
  const [size, from, to] = ENTRIES[kind], inner = boxesIn(data.subarray(size)), kinds = inner.map((box) => box.kind);
  need(kinds.length === new Set(kinds).size, "a box in a sample entry stands twice");
  const telling = inner.filter((box) => !QUIET.includes(box.kind)).map((box) => `${box.kind} ${hex(box.data)}`);
  const known = [SQUARE, kinds.includes("colr") ? coloursIn(film) : undefined];
  const own = [stsd.subarray(0, 8), data.subarray(0, from), data.subarray(to, size)].map(hex);
  return [kind, ...own, ...telling.filter((box) => !known.includes(box)).sort()].join();
}

// Perhaps an empty edit, and one that plays all that follows where it begins, and may go on until the parts end. What
// plays from 0 on, it plays.
function edits(trak, movie, end, packets) {
  const elst = only(trak, "edts", "elst"), width = elst[0] === 1 ? 8 : 4, media = header(only(trak, "mdia"), "mdhd");
  need(elst[0] < 2 && numberAt(elst, 1, 3) === 0, "elst is in another form");
  const rows = table(elst, 4, width, width, 4).map(([duration, start, rate]) =>
    ({ duration, start: width === 4 ? start | 0 : start, rate })); // which is signed
  const isRight = ({ start, duration }, n) => (n === rows.length - 1 ? start >= 0 : start === -1 && duration > 0);
  need([1, 2].includes(rows.length) && rows.every(isRight), "an edit is another");
  need(rows.every(({ rate }) => rate === 0x10000), "an edit plays at another rate");
  const last = rows.at(-1), played = last.duration / movie.scale;
  const lasts = sum(rows.map(({ duration }) => duration)) / movie.scale;
  const ticks = sum(table(only(trak, "mdia", "minf", "stbl", "stts"), 4, 4, 4).map(([count, each]) => count * each));
  const samples = (ticks - last.start) / media.scale;
  const plays = ({ at }) => at >= lasts - played - 0.001 && at <= lasts + 0.001;
  need(near(played, samples) || (played > samples && lasts <= end + 0.001), "the edits of a track do not end with it");
  need(near(header(trak, "tkhd").duration / movie.scale, lasts), "tkhd has another duration");
  need(near((media.duration - last.start) / media.scale, played), "mdhd has another duration");
  need(packets.every((packet) => packet.at < 0 || plays(packet)), "an edit leaves out what plays in the recording");
}

// ---- samples ----

function chunks(stbl) { // where each begins, and how long it is
  const stsz = only(stbl, "stsz"), one = numberAt(stsz, 4, 4), sizes = one ? [] : table(stsz, 8, 4).flat();
  const runs = table(only(stbl, "stsc"), 4, 4, 4, 4);
  const [[wide], [narrow]] = ["co64", "stco"].map((kind) => find(stbl, kind));
  const inOrder = ([first, , entry], n) => entry === 1 && (n ? first > runs[n - 1][0] : first === 1);
  need(runs.every(inOrder), "stsc is out of order");
  let done = 0;
  const found = table(wide ?? narrow, 4, wide ? 8 : 4).map(([at], n) => {
    const [, samples] = runs.filter(([first]) => first <= n + 1).at(-1) ?? [0, 0], begin = done;
    done += samples;
    return { at, size: one ? samples * one : sum(sizes.slice(begin, done)) };
  });
  need(done === numberAt(stsz, 8, 4), "the chunks hold another number of samples");
  need(found.every(({ at }, n) => n === 0 || at >= found[n - 1].at), "the chunks are out of order");
  return found;
}

function agree(stbl) { // every table tells of as many samples
  const count = numberAt(only(stbl, "stsz"), 8, 4), counted = (data, at) => sum(table(data, at, 4, 4).map(([n]) => n));
  const says = { stts: (box) => counted(box, 4) === count, ctts: (box) => counted(box, 4) === count,
    sdtp: (box) => box.length === 4 + count, sbgp: (box) => counted(box, box[0] ? 12 : 8) <= count,
    stss: (box) => table(box, 4, 4).every(([key], n, all) => key > (n ? all[n - 1][0] : 0) && key <= count) };
  for (const [kind, right] of Object.entries(says)) need(find(stbl, kind).every(right), `${kind} is of other samples`);
}

function filled(film, moov) { // the samples fill mdat, one after the other
  let at = only(film, "mdat").byteOffset - film.byteOffset;
  const all = find(moov, "trak", "mdia", "minf", "stbl").flatMap(chunks).sort((a, b) => a.at - b.at || a.size - b.size);
  for (const chunk of all) at += need(chunk.at === at, "its samples do not fill mdat") && chunk.size;
  need(at === film.length, "its samples do not fill mdat");
}

// The parts end at `end`, in seconds of its presentation. `packets`: of each track when each plays, and whether by the
// parts it is decoded alone.
export function checkShown(init, film, end, packets) {
  const outer = boxesIn(film).map(({ kind }) => kind).join(" ");
  const [own, shown] = [init, film].map((data) => only(data, "moov"));
  need(/^ftyp moov( free)? mdat$/.test(outer), `its boxes are ${outer}`);
  whole(shown, "moov");
  const [said, movie] = [own, shown].map((moov) => header(moov, "mvhd"));
  const [mine, theirs] = [own, shown].map((moov) => find(moov, "trak"));
  const sameRest = sameBytes(said.rest.subarray(0, -4), movie.rest.subarray(0, -4)); // but for the next track's number
  need(said.said === movie.said && sameRest, "mvhd has another rate, volume, matrix, flags or dates");
  need(mine.length === theirs.length, "it has other tracks");
  const asInInit = [
    (trak) => [header(trak, "tkhd"), header(only(trak, "mdia"), "mdhd")].map((one) => one.said + hex(one.rest)).join(),
    (trak) => hex(only(trak, "mdia", "hdlr").subarray(0, 24)), (trak) => entry(trak, film),
    ...[["vmhd"], ["smhd"], ["dinf", "dref"]].map((path) =>
      (trak) => find(trak, "mdia", "minf", ...path).map(hex).join()),
  ];
  for (const [n, trak] of theirs.entries()) {
    need(asInInit.every((of) => of(mine[n]) === of(trak)), "a box of a track is another than in the init");
    edits(trak, movie, end, packets[n]);
    const numbers = packets[n].map((_, at) => at + 1), [stss] = find(trak, "mdia", "minf", "stbl", "stss");
    const alone = numbers.filter((at) => packets[n][at - 1].key);
    need((stss ? table(stss, 4, 4) : numbers).join() === alone.join(), "other packets can be decoded alone");
  }
  find(shown, "trak", "mdia", "minf", "stbl").forEach(agree);
  filled(film, shown);
  const longest = Math.max(...theirs.map((trak) => header(trak, "tkhd").duration)) / movie.scale;
  need(near(movie.duration / movie.scale, longest), "mvhd has another duration");
  need(near(longest, end, 0.1), "it ends elsewhere than its parts");
}
