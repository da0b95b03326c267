// What only a holder of a key can check (9): that every sealed file opens, that both headers of a rewrapped one are of
// one file key, that a body is the one its leaf names, and that the MP4 beside the proof is the recording. npm's
// age-encryption opens, and ffprobe takes films apart.
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
  const key = Buffer.from(hkdfSync("sha256", fileKey, "", "header", 32)), hmac = createHmac("sha256", key);
  return hmac.update(text.slice(0, end), "latin1").digest("base64").replace(/=+$/, "") === text.slice(end + 1, -1);
}

// The plaintext. `headers` are the one that stands in the file and, where it was rewrapped, the camera's beside it.
async function open(opener, { name, headers, payload }) {
  for (const header of headers) {
    let fileKey;
    try { fileKey = await opener.decryptHeader(header); } catch { continue; }
    const fit = headers.every((other) => macFits(other, fileKey));
    need(fit, `${name}: its two headers are not of one file key`, "altered-bytes");
    return Buffer.from(await opener.decrypt(Buffer.concat([header, payload])));
  }
  return need(false, `${name}: the key opens no header of it`, "altered-bytes");
}

// Of each track how it is decoded and, in decoding order, of each packet its digest, and when it plays without edits.
function tracksOf(what, file, input) {
  const words = "-v error -advanced_editlist 0 -show_data_hash sha256 -of json -show_entries packet=stream_index," +
    "pts_time,flags,data_hash:stream=index,codec_type,codec_name,codec_tag_string,extradata_hash -i";
  const { error, status, stdout } = spawnSync("ffprobe", [...words.split(" "), file], { input, maxBuffer: Infinity });
  if (error) throw error;
  need(status === 0, `ffprobe cannot read the ${what}`);
  const { streams, packets = [] } = JSON.parse(stdout);
  return streams.map((one) => ({
    kind: one.codec_type, set: [one.codec_name, one.codec_tag_string, one.extradata_hash].join(),
    packets: packets.filter((packet) => packet.stream_index === one.index),
  }));
}

let last = {}; // the parts of the film before: of many that were made of the same, they are taken apart once

function compareMp4(init, parts, film, data, end, shift) { // what is not the same, moved by `shift` seconds, fails
  const plain = Buffer.concat([init, ...parts]), key = hex(plain);
  if (shift === 0 && sameBytes(plain, data)) return;
  if (key !== last.key) last = { key, tracks: tracksOf("parts", "pipe:0", plain) };
  const want = last.tracks, got = tracksOf("MP4", `file:${film}`);
  const kinds = (tracks) => tracks.map(({ kind }) => kind).join();
  need(kinds(want) === kinds(got), "the MP4 has other tracks than the recording");
  for (const [n, { kind, set, packets }] of want.entries()) {
    const theirs = got[n].packets, near = (one, other) => Math.abs(one - other) <= 0.001;
    need(set === got[n].set, `the MP4 has other decoder settings (${kind})`);
    need(packets.length === theirs.length, `the MP4 has another number of packets (${kind})`);
    for (const [at, { data_hash: digest, pts_time: time }] of packets.entries()) {
      need(digest === theirs[at].data_hash, `${kind} packet ${at} of the MP4 is not that of the recording`);
      need(near(theirs[at].pts_time, time - shift), `${kind} packet ${at} of the MP4 plays at another time`);
    }
  }
  checkShown(init, data, end - shift, got.map(({ packets }, n) => packets.map(({ pts_time: time }, at) =>
    ({ at: Number(time), key: want[n].packets[at].flags.startsWith("K") }))));
}

// `sealed`: [{ name, leaf (of the init: null), headers, payload }]. The MP4, if there is one, is held to report.json;
// with an opener to the parts. `lacks`: its whole proof names more of the recording.
export async function checkExport(path, told, sealed, lacks, opener) {
  const film = path.replace(/\.proof\.tar$/, ".mp4"), data = existsSync(film) ? readFileSync(film) : null;
  const isPart = ({ leaf }) => leaf?.class === "media" && leaf.recording === told?.recording;
  const parts = sealed.filter(isPart);
  const numbers = parts.map(({ leaf }) => Number(leaf.part)), stem = basename(film, ".mp4").split(".parts-")[0];
  if (data) {
    need(!RECORDING.test(stem) || stem === told?.recording, "the proof beside the MP4 is of another recording");
    const all = parts.length > 0 && told.first_part === least(numbers) && told.last_part === most(numbers);
    need(all, "the MP4 has other parts than its proof holds");
    need(!lacks, "more of the recording is named in its proof than is there");
    need(told.mp4_sha256 === hex(data), "the MP4 is not the one that was exported");
  }
  if (!opener) return;
  const plains = new Map();
  for (const one of sealed) {
    const plain = await open(opener, one), { name, leaf } = one, body = leaf?.class === "event" ? leaf.body : null;
    need(!body || hex(plain) === body, `${name}: its body is not the one its leaf names`, "altered-bytes");
    plains.set(leaf === null ? "init" : one, plain);
  }
  if (!data) return;
  parts.sort((a, b) => Number(a.leaf.part) - Number(b.leaf.part));
  const all = plains.has("init") && new Set(numbers).size === told.last_part + 1 - told.first_part;
  need(all, "a part of the MP4 is not in its proof");
  const begin = Number(parts[0].leaf.start_ns);
  const end = most(parts.map(({ leaf }) => Number(leaf.start_ns) + Number(leaf.duration_ns)));
  const shift = told.shift_s ? begin / 1e9 : 0;
  compareMp4(plains.get("init"), parts.map((one) => plains.get(one)), film, data, end / 1e9, shift);
}
