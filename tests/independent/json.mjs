// JSON as section 3 of docs/evidence-format.md has it: ASCII, no key twice, whole numbers only, none of more than 20 characters, at most
// 50 objects and lists within one another. JSON.parse reads it, but would keep the last of two equal keys and round large numbers: so
// it is given these as strings that no file can hold, and as many keys have to come of it as there are colons.
import { randomUUID } from "node:crypto";
import { need } from "./lib.mjs";

const TOKEN = /"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*|:/g, LARGE = randomUUID(), known = new WeakMap();

export const isDeeper = (value, levels) =>
  value instanceof Object && (levels === 0 || Object.values(value).some((one) => isDeeper(one, levels - 1)));

export function parseJson(data) { // of the same bytes once, so whoever changes what is found changes it for all
  if (!known.has(data)) known.set(data, parsed(data));
  return known.get(data);
}

function parsed(data) {
  const text = data.toString("latin1"), keys = [];
  let colons = 0;
  need(/^[\0-\x7f]*\n$/.test(text), "JSON that is not ASCII, or does not end in a newline");
  const tame = text.replace(TOKEN, (token) => {
    if (token === ":") colons += 1;
    if (token === ":" || token.startsWith('"')) return token;
    need(token.length <= 20 && /^-?(0|[1-9][0-9]*)$/.test(token), "a number that is not whole, or too long");
    return Number.isSafeInteger(Number(token)) ? token : `"${LARGE}${token}"`;
  });
  const found = JSON.parse(tame, (_, value) => {
    if (value instanceof Object && !Array.isArray(value)) keys.push(...Object.keys(value));
    return typeof value === "string" && value.startsWith(LARGE) ? BigInt(value.slice(LARGE.length)) : value;
  });
  need(keys.length === colons && !keys.some((key) => key.startsWith(LARGE)), "a key stands twice, or is no string");
  need(found instanceof Object && !Array.isArray(found) && !isDeeper(found, 50), "no object, or one that is nested too deep");
  return found;
}
