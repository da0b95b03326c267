// The tree of a log (2), RFC 6962: { size, hashes }, the roots of its perfect subtrees, largest first.
import { hex, need, sameBytes, sha, unbase64 } from "./lib.mjs";

const node = (left, right) => sha(Buffer.of(1), left, right);
const leafHash = (leaf) => sha(Buffer.of(0), leaf);

export function append(tree, leaf) {
  const hashes = [...tree.hashes, leafHash(leaf)];
  for (let size = tree.size; size % 2 === 1; size = (size - 1) / 2) {
    const right = hashes.pop();
    hashes.push(node(hashes.pop(), right));
  }
  return { size: tree.size + 1, hashes };
}

export const rootOf = (tree) => (tree.hashes.length ? tree.hashes.reduceRight((right, left) => node(left, right)) : sha(""));
export const keyOf = (tree) => `${tree.size} ${hex(rootOf(tree))}`;

function split(size) { // the largest power of two below it
  let k = 1;
  while (2 * k < size) k *= 2;
  return k;
}

// The root that a path leads to, its leaf's sibling first (RFC 6962, 2.1.1).
function climbed(hash, index, size, path) {
  need(index < size && (size > 1) === (path.length > 0), "a path of another length");
  if (size === 1) return hash;
  const k = split(size), other = path.at(-1), rest = path.slice(0, -1);
  return index < k ? node(climbed(hash, index, k, rest), other) : node(other, climbed(hash, index - k, size - k, rest));
}

export const inclusion = (leaf, index, size, path, root) => sameBytes(climbed(leafHash(leaf), index, size, path), root);

// The roots of both trees that a consistency proof leads to; `known` while the old tree is a whole one on the left (2.1.2).
function joined(old, size, proof, known) {
  if (old === size) {
    need(proof.length === (known ? 0 : 1), "a proof of another length");
    return known ? [known, known] : [proof[0], proof[0]];
  }
  need(proof.length > 0, "a proof of another length");
  const k = split(size), other = proof.at(-1), rest = proof.slice(0, -1);
  if (old <= k) {
    const [before, after] = joined(old, k, rest, known);
    return [before, node(after, other)];
  }
  return joined(old - k, size - k, rest, null).map((root) => node(other, root));
}

// Whether one is a prefix of the other, or they are the same, by RFC 6962's proof from the smaller to the larger.
export function leadTo(one, other, proof) {
  if (one.size === other.size) return proof.length === 0 && sameBytes(one.root, other.root);
  return one.size < other.size ? consistency(one, other, proof) : consistency(other, one, proof);
}

export function consistency(old, now, proof) {
  need(old.size > 0 && old.size < now.size, "not an earlier tree");
  const [before, after] = joined(old.size, now.size, proof, old.root);
  return sameBytes(before, old.root) && sameBytes(after, now.root);
}

export function hashLines(text) {
  const hashes = text === "" ? [] : text.replace(/\n$/, "").split("\n").map(unbase64);
  need((text === "" || text.endsWith("\n")) && hashes.length <= 64 && hashes.every((h) => h.length === 32), "not hashes, one a line");
  return hashes;
}
