// The tree of a log (2), RFC 6962: { size, hashes }, the roots of its perfect subtrees, largest first.
import { hex, need, sameBytes, sha, unbase64 } from "./lib.mjs";

const node = (left, right) => sha(Buffer.of(1), left, right);
const leafHash = (leaf) => sha(Buffer.of(0), leaf);

export function append(tree, leaf) {
  const hashes = [...tree.hashes, leafHash(leaf)];
  for (let { size } = tree; size % 2 === 1; size = (size - 1) / 2) hashes.push(node(...hashes.splice(-2)));
  return { size: tree.size + 1, hashes };
}

export const rootOf = ({ size, hashes }) => (size ? hashes.reduceRight((right, left) => node(left, right)) : sha(""));
export const keyOf = (tree) => `${tree.size} ${hex(rootOf(tree))}`;
export const sameHead = (one, other) => one.size === other.size && sameBytes(one.root, other.root);

const half = (size) => (size > 2 ? 2 ** Math.floor(Math.log2(size - 1)) : 1); // the largest power of two below it

// The root that a path leads to, its leaf's sibling first (RFC 6962, 2.1.1).
function climbed(hash, index, size, path) {
  need(index < size && (size > 1) === (path.length > 0), "a path of another length");
  if (size === 1) return hash;
  const left = half(size), other = path.at(-1), rest = path.slice(0, -1);
  if (index < left) return node(climbed(hash, index, left, rest), other);
  return node(other, climbed(hash, index - left, size - left, rest));
}

export const inclusion = (leaf, index, size, path, root) => sameBytes(climbed(leafHash(leaf), index, size, path), root);

// The roots of both trees that a consistency proof (2.1.2) leads to; `known` while the old tree is all of the left.
function joined(old, size, proof, known) {
  const left = half(size), other = proof.at(-1), rest = proof.slice(0, -1);
  need(old === size ? proof.length === Number(!known) : other, "a proof of another length");
  if (old === size) return [known ?? other, known ?? other];
  if (old > left) return joined(old - left, size - left, rest, null).map((root) => node(other, root));
  const [before, after] = joined(old, left, rest, known);
  return [before, node(after, other)];
}

// Whether the smaller of two heads is a prefix of the larger, or they are the same, by RFC 6962's proof between them.
export function leadTo(one, other, proof) {
  if (one.size === other.size) return proof.length === 0 && sameHead(one, other);
  const [old, now] = one.size < other.size ? [one, other] : [other, one];
  const [before, after] = joined(need(old.size, "no earlier tree"), now.size, proof, old.root);
  return sameBytes(before, old.root) && sameBytes(after, now.root);
}

export function hashLines(text) {
  const hashes = text.split("\n").slice(0, -1).map(unbase64);
  need(/^$|\n$/.test(text) && hashes.length <= 64 && hashes.every((one) => one.length === 32), "no hashes, one a line");
  return hashes;
}
