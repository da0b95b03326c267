// A second verifier, written from docs/evidence-format.md alone, in another language, on Node's own library; npm's
// age-encryption opens what is sealed.
//
//   node verify.mjs --trust ROOT.pem [--head NOTE|RECEIPT]... [--revoked REVOCATION] [--key IDENTITIES] DIR|PROOF...
//
// Each DIR holds the segments of one camera (*.tar), receipts, revocations, purge notes and logs (tile/ beside
// checkpoint); each PROOF is that of an export (*.proof.tar), its MP4 beside it or not. With --key, an age identity
// file, what is sealed in a PROOF that holds is opened too. It says "DIR verified", or for each failure "DIR FAIL
// name, segment: what", by the names of the page (8), the segment where it is of one. Of a segment's bytes it says the
// first that is wrong, and what the leaves say that it has proven. Exit status 0 where all verify, else 1. Without any
// argument it reads such words, a JSON list a line, and answers each with a line, a JSON list of [DIR, what it says].
//
// It shares no code with the product and is no part of it: where the two disagree, the page or one of them is wrong. A
// number like (5) is a section of the page. To read in this order: lib, tree, leaf, signed, log, segment, history,
// tail, camera are for a card; held and epochs for what it lacks and others have; export, range, keyed, shown for
// exports.
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { camera } from "./camera.mjs";
import { proof } from "./export.mjs";
import { identities } from "./keyed.mjs";
import { orTell, tell, told } from "./lib.mjs";
import { revocation } from "./signed.mjs";

function walk(place) { // it and each directory below it, and the names in it: of a directory with "/" behind it
  const inside = readdirSync(place, { withFileTypes: true });
  const named = (is) => inside.filter((one) => one[is]()).map(({ name }) => name);
  const files = named("isFile"), below = named("isDirectory");
  const names = [...files, ...below.map((name) => `${name}/`)];
  return [{ place, files, names }, ...below.flatMap((name) => walk(join(place, name)))];
}

function directory(path, root, options) { // what a directory is shows by what is in it (8)
  const all = walk(path), given = all.flatMap(({ place, files }) => files.map((name) =>
    ({ path: join(place, name), place, data: readFileSync(join(place, name)) })));
  const having = (...wanted) => all.filter(({ names }) => wanted.every((name) => names.includes(name)))
    .map(({ place }) => place);
  const unpacked = having("report.json", "segments/", "trust/"), stations = having("segments/", "receipts/");
  const spools = having("sealed/", "delivered/").filter((place) => !having("segments/").includes(place));
  const isRead = ({ path }) => /^(checkpoint|consistency|station\.pem|chain\.pem)$/.test(basename(path));
  const folders = unpacked.map((place) => given.filter((one) => one.place === join(place, "cosigned") && isRead(one)))
    .filter((held) => held.length > 0)
    .map((held) => new Map(held.map((one) => [`cosigned/${basename(one.path)}`, one.data])));
  const logs = having("checkpoint", "tile/");
  camera(given, root, { ...options, folders, where: { logs, spools, unpacked, stations } });
}

const plain = (text) => text.replace(/[^ -~]/g, "?");

async function judged(words) { // [place, what it says of it] for each line
  const options = {}, heads = [], lines = [];
  while (words[0]?.startsWith("--")) {
    const [name, value] = words.splice(0, 2);
    if (name === "--head") heads.push({ data: readFileSync(value) });
    else options[name] = value;
  }
  const root = new X509Certificate(readFileSync(options["--trust"])), lost = options["--revoked"];
  const opener = options["--key"] ? await identities(options["--key"]) : null;
  for (const place of words) {
    told.length = 0;
    try {
      const revoked = lost ? [orTell("bad-revocation", () => revocation(readFileSync(lost), root)) ?? []].flat() : [];
      if (place.endsWith(".proof.tar")) await proof(place, root, revoked, opener);
      else directory(place, root, { heads, revoked });
    } catch (error) { tell(error.what ?? "altered-export", "", error.message); }
    const said = told.map(({ what, where, text }) => `FAIL ${what}, ${where}: ${text}`);
    lines.push(...(said.length ? said : ["verified"]).map((line) => [place, plain(line)]));
  }
  return lines;
}

if (process.argv.length > 2) {
  const lines = await judged(process.argv.slice(2));
  for (const [place, line] of lines) console.log(`${plain(place)} ${line}`);
  process.exitCode = Number(lines.some(([, line]) => line !== "verified"));
} else {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await judged(JSON.parse(line))));
  }
}
