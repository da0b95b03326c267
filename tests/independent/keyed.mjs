// What only a holder of a key can check (9): that every sealed file opens, that both headers of a rewrapped one are of one file key,
// that a body is the one its leaf names, and that the MP4 beside the proof is the recording. Opens with npm's age-encryption, and has
// ffprobe take films apart.
import { spawnSync } from "node:child_process";
import { createHmac, hkdfSync, webcrypto } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { RECORDING } from "./leaf.mjs";
import { hex, least, most, need as needs, sameBytes } from "./lib.mjs";
import { checkShown } from "./shown.mjs";

globalThis.crypto ??= webcrypto; // Node 18 has it under that name alone

const need = (truth, text, what = "altered-export") => needs(truth, text, what);

export async function identities(path) {
  const age = await import(new URL("../../.cache/npm/node_modules/age-encryption/dist/index.js", import.meta.url));
  const opener = new age.Decrypter(), lines = readFileSync(path, "utf8").split("\n").map((line) => line.trim());
  lines.filter((line) => line && !line.startsWith("#")).forEach((line) => opener.addIdentity(line));
  return opener;
}

function macFits(header, fileKey) {
  const text = header.toString("latin1"), end = text.lastIndexOf("\n--- ") + 4;
  const key = Buffer.from(hkdfSync("sha256", fileKey, "", "header", 32));
  return createHmac("sha256", key).update(text.slice(0, end), "latin1").digest("base64").replace(/=+$/, "") === text.slice(end + 1, -1);
}

// The plaintext. `headers` are the one that stands in the file and, where it was rewrapped, the camera's beside it.
async function open(opener, name, headers, payload) {
  for (const header of headers) {
    let fileKey;
    try { fileKey = await opener.decryptHeader(header); } catch { continue; }
    need(headers.every((other) => macFits(other, fileKey)), `${name}: its two headers are not of one file key`, "altered-bytes");
    return Buffer.from(await opener.decrypt(Buffer.concat([header, payload])));
  }
  need(false, `${name}: the key opens no header of it`, "altered-bytes");
}

// Of each track how it is decoded and, in decoding order, each packet: its digest, and when it plays, whatever an edit leaves out.
function tracksOf(what, file, input) {
  const shown = "packet=stream_index,pts_time,flags,data_hash:stream=index,codec_type,codec_name,codec_tag_string,extradata_hash";
  const words = ["-v", "error", "-advanced_editlist", "0", "-show_data_hash", "sha256", "-show_entries", shown, "-of", "json", "-i", file];
  const done = spawnSync("ffprobe", words, { input, maxBuffer: Infinity });
  if (done.error) throw done.error;
  need(done.status === 0, `ffprobe cannot read the ${what}`);
  const { streams, packets = [] } = JSON.parse(done.stdout), of = ({ index }) => packets.filter((packet) => packet.stream_index === index);
  return streams.map((stream) => ({ kind: stream.codec_type, set: [stream.codec_name, stream.codec_tag_string, stream.extradata_hash].join(), packets: of(stream) }));
}

let last = {}; // the parts of the film before: of many that were made of the same, they are taken apart once

function compareMp4(init, parts, film, data, end, shift) { // what is not the same, moved by `shift` seconds, fails
  const plain = Buffer.concat([init, ...parts]);
  if (shift === 0 && sameBytes(plain, data)) return;
  const key = hex(plain), want = key === last.key ? last.tracks : tracksOf("parts", "pipe:0", plain);
  last = { key, tracks: want };
  const got = tracksOf("MP4", `file:${film}`);
  need(want.map(({ kind }) => kind).join() === got.map(({ kind }) => kind).join(), "the MP4 has other tracks than the recording");
  for (const [n, { kind, set, packets }] of want.entries()) {
    need(set === got[n].set, `the MP4 has other decoder settings (${kind})`);
    need(packets.length === got[n].packets.length, `the MP4 has another number of packets (${kind})`);
    for (const [at, { data_hash: digest, pts_time: time }] of packets.entries()) {
      const other = got[n].packets[at];
      need(digest === other.data_hash, `${kind} packet ${at} of the MP4 is not that of the recording`);
      need(Math.abs(other.pts_time - (time - shift)) <= 0.001, `${kind} packet ${at} of the MP4 plays at another time`);
    }
  }
  checkShown(init, data, end - shift, got.map(({ packets }, n) => packets.map(({ pts_time: time }, at) => ({ at: Number(time), key: want[n].packets[at].flags.startsWith("K") }))));
}

// `sealed`: [{ name, leaf (of the init: null), headers, payload }]. The MP4, if there is one, is held to report.json; with an opener
// to the parts.
export async function checkExport(path, told, sealed, opener) {
  const film = path.replace(/\.proof\.tar$/, ".mp4"), there = existsSync(film), parts = new Map();
  const data = there ? readFileSync(film) : null, stem = basename(film, ".mp4").split(".parts-")[0];
  if (there) {
    need(!RECORDING.test(stem) || stem === told?.recording, "the proof beside the MP4 is of another recording");
    const held = sealed.flatMap(({ leaf }) => (leaf && leaf.class !== "event" && leaf.recording === told?.recording ? [Number(leaf.part)] : []));
    need(held.length && told.first_part === least(held) && told.last_part === most(held), "the MP4 has other parts than its proof holds");
    need(told?.mp4_sha256 === hex(data), "the MP4 is not the one that was exported");
  }
  if (!opener) return;
  let init = null;
  for (const { name, leaf, headers, payload } of sealed) {
    const plain = await open(opener, name, headers, payload);
    if (leaf === null) init = plain;
    else if (leaf.class === "event") need(hex(plain) === leaf.body, `${name}: its body is not the one its leaf names`, "altered-bytes");
    else if (leaf.recording === told?.recording) parts.set(Number(leaf.part), { plain, begins: Number(leaf.start_ns), ends: Number(leaf.start_ns) + Number(leaf.duration_ns) });
  }
  if (!there) return;
  const wanted = [];
  for (let part = told.first_part; part <= told.last_part; part++) {
    need(parts.has(part), `part ${part} of the MP4 is not in its proof`);
    wanted.push(parts.get(part));
  }
  need(init && wanted.length, "the proof beside the MP4 holds none of its parts");
  compareMp4(init, wanted.map(({ plain }) => plain), film, data, most(wanted.map(({ ends }) => ends)) / 1e9, told.shift_s ? wanted[0].begins / 1e9 : 0);
}
