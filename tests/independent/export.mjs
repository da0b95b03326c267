// The proof of an export (9): of a whole recording, or a range; and with a key what only its holder can check.
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { camera } from "./camera.mjs";
import { checkExport } from "./keyed.mjs";
import { parseLeaf } from "./leaf.mjs";
import { attempt, hold, need, renamed, told } from "./lib.mjs";
import { askedFor, headerSize, range } from "./range.mjs";
import { members, opened } from "./segment.mjs";

const SEGMENT = /^segments\/[^/]*\.tar$/;
const READ = /^(segments\/[^/]*\.tar|(receipts|elsewhere)\/[^/]*\.receipt|purges\/[^/]*\.(purge|vouched))$/;

function whole(held, root, revoked) {
  const has = (folder) => [...held.keys()].some((name) => name.startsWith(folder));
  need(has("segments/"), "it holds neither segments nor the entries of a range", "not-a-segment");
  const read = [...held].filter(([name]) => READ.test(name)), folders = has("cosigned/") ? [held] : [];
  const given = read.map(([path, data]) => ({ path, place: dirname(path), data }));
  return camera(given, root, { revoked, folders, excerpt: true, partial: has("elsewhere/") });
}

// A sealed file: its header and the camera's beside it, if it was rewrapped; its payload.
function split(name, leaf, data, own = []) {
  const size = headerSize(data);
  return { name, leaf, headers: [data.subarray(0, size), ...own], payload: data.subarray(size) };
}

function* sealedIn(held, recording, isRange) {
  for (const [name, data] of held) {
    const stem = /^(init|entries\/[0-9]{10})\.age$/.exec(name)?.[1], own = held.get(`${stem}.header`);
    if (stem) yield split(name, stem === "init" ? null : parseLeaf(held.get(`${stem}.json`)), data, own && [own]);
    if (isRange || !SEGMENT.test(name)) continue;
    const { init, entries } = opened(data, basename(name));
    if (init && basename(name).startsWith(`${recording}-`)) yield split(`${name}: init.age`, null, init);
    for (const { index, json, age } of entries) yield split(`${name}: entry ${index}`, parseLeaf(json), age);
  }
}

export async function proof(path, root, revoked, opener) {
  const held = new Map(), all = renamed("not-a-segment", () => members(readFileSync(path)));
  need(all.length <= 800_000, "the proof has too many members", "not-a-segment");
  for (const { name, data } of all) {
    if (hold(!held.has(name), "repeated-entry", "", `${name} stands twice`)) held.set(name, data);
  }
  const isRange = [...held.keys()].some((name) => name === "checkpoint" || name.startsWith("entries/"));
  const logs = isRange ? (range(held, root, revoked), []) : whole(held, root, revoked);
  if (told.length > 0) return;
  const said = attempt(() => askedFor(held.get("report.json")));
  const lacks = logs.some((one) => one.log.recordings.has(said?.recording) && one.lacks(said.recording));
  await checkExport(path, said, [...sealedIn(held, said?.recording, isRange)], lacks, opener);
}
