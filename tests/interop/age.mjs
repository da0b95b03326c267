// Opens and seals many age files with npm's age-encryption, in one process.
//
//   node age.mjs PACKAGES <job.json >answer.json
//
// job: {"plaintext": path, "open": [{"file", "identity"}], "seal": [{"file", "size", "recipients"}], "generate": ["x25519", "pq"],
//       "recipients": [identity]}
// answer: {"opened": [SHA-256 of the plaintext, or "refused: why"], "generated": [{"identity", "recipient"}], "recipients": [recipient]}
// Each file of "seal" gets the first "size" bytes of the plaintext.

import { createHash, webcrypto } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

globalThis.crypto ??= webcrypto; // Node 18, which is Debian 12's, has it under that name alone

const age = await import(pathToFileURL(join(process.argv[2], "node_modules/age-encryption/dist/index.js")));
const job = JSON.parse(readFileSync(0, "utf8"));

async function open({ file, identity }) {
  const decrypter = new age.Decrypter();
  decrypter.addIdentity(identity);
  try {
    return createHash("sha256").update(await decrypter.decrypt(readFileSync(file))).digest("hex");
  } catch (err) {
    return `refused: ${err.message}`;
  }
}

async function seal({ file, size, recipients }, plaintext) {
  const encrypter = new age.Encrypter();
  recipients.forEach((recipient) => encrypter.addRecipient(recipient));
  writeFileSync(file, await encrypter.encrypt(plaintext.subarray(0, size)));
}

async function generate(kind) {
  const identity = await (kind === "pq" ? age.generateHybridIdentity() : age.generateX25519Identity());
  return { identity, recipient: await age.identityToRecipient(identity) };
}

const answer = { opened: [], generated: [], recipients: [] };
for (const one of job.open) answer.opened.push(await open(one));
const plaintext = new Uint8Array(readFileSync(job.plaintext));
for (const one of job.seal) await seal(one, plaintext);
for (const kind of job.generate) answer.generated.push(await generate(kind));
for (const identity of job.recipients) answer.recipients.push(await age.identityToRecipient(identity));
process.stdout.write(JSON.stringify(answer));
