// JSON as section 3 of docs/evidence-format.md has it, and a leaf's form: keys, their values, the facts of its kind.
import { randomUUID } from "node:crypto";
import { attempt, need, unbase64 } from "./lib.mjs";

// ---- JSON: ASCII, no key twice, whole numbers of at most 20 characters, objects and lists at most 50 deep ----

const TOKEN = /"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*|:/g, LARGE = randomUUID();

export const isDeeper = (value, levels) =>
  value instanceof Object && (levels === 0 || Object.values(value).some((one) => isDeeper(one, levels - 1)));

// JSON.parse reads it, but would keep the last of two equal keys and round large numbers: so it is given these as
// strings that no file can hold, and as many keys have to come of it as there are colons.
export function parseJson(data) {
  const text = data.toString("latin1"), keys = [];
  let colons = 0;
  need(/^[\0-\x7f]*\n$/.test(text), "JSON that is not ASCII, or does not end in a newline");
  const tame = text.replace(TOKEN, (token) => {
    colons += Number(token === ":");
    if (/^[:"]/.test(token)) return token;
    need(token.length <= 20 && /^-?(0|[1-9][0-9]*)$/.test(token), "a number that is not whole, or too long");
    return Number.isSafeInteger(Number(token)) ? token : `"${LARGE}${token}"`;
  });
  const found = JSON.parse(tame, (_, value) => {
    if (isObject(value)) keys.push(...Object.keys(value));
    return typeof value === "string" && value.startsWith(LARGE) ? BigInt(value.slice(LARGE.length)) : value;
  });
  need(keys.length === colons && !keys.some((key) => key.startsWith(LARGE)), "a key stands twice, or is no string");
  need(isObject(found) && !isDeeper(found, 50), "no object, or one that is nested too deep");
  return found;
}

// ---- forms ----

const KINDS = "session start stop recovery seal delivery deletion kept shutdown event".split(" ");
const DATE = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
export const RECORDING = /^r[0-9]{10}-[0-9a-f]{8}$/;
export const SEGMENT = /^(r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})$/;
export const CAMERA = /^[a-z0-9-]{1,27}$/;
export const startOf = (name) => Number(name.slice(1, 11)); // the leaf that a recording's name gives, or a segment's
export const seqOf = (name) => (name?.startsWith("r") ? Number(name.slice(21)) : -1); // a recording's segment's number

const isObject = (value) => value instanceof Object && !Array.isArray(value);
const text = (value) => typeof value === "string";
const flag = (value) => typeof value === "boolean";
const like = (pattern) => (value) => text(value) && pattern.test(value);
const among = (...words) => (value) => words.includes(value);
const orNull = (form) => (value) => value === null || form(value);
const list = (form) => (value) => Array.isArray(value) && value.every(form);
const has = (value) => ([key, form]) => key in value && form(value[key]);
const keys = (forms) => (value) => isObject(value) && Object.entries(forms).every(has(value));
const isNumber = (value) => ["bigint", "number"].includes(typeof value);
export const number = (least) => (value) => isNumber(value) && value >= least && value < 1n << 63n;
const whole = number(0), hex = like(/^[0-9a-f]{64}$/), segment = like(SEGMENT);
const piece = keys({ size: whole, sha256: hex });
const root = (value) => text(value) && unbase64(value).length === 32;

function date(value) { // of the calendar: Date would count a day too many into the next month
  const upTo = like(DATE)(value) && `${value.slice(0, 23)}Z`;
  return upTo && attempt(() => new Date(upTo).toISOString() === upTo, false);
}

const utc = (value) => {
  const source = value?.time === null ? among("none") : among("synchronised", "unverified");
  return keys({ time: orNull(date), source, bound_ms: orNull(whole) })(value);
};

const COMMON = {
  v: among(1), class: among("media", "event"), camera: like(CAMERA), index: whole, mono_ns: whole, boottime_ns: whole,
  boot: like(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), utc, chain: hex, recipients: hex,
  sealed: keys({ sha256: hex, header: piece, payload: piece }), recording: orNull(like(RECORDING)),
};
const MEDIA = {
  recording: like(RECORDING), part: whole, idr: flag, init: hex,
  zero_mono_ns: whole, start_ns: number(-(1n << 62n)), duration_ns: whole,
};
const EVENT = { kind: among(...KINDS), facts: isObject, body: hex };
const FACTS = {
  session: { session_cert: hex, resumes: orNull(keys({ size: whole, root })), receipt: orNull(hex), agent: text },
  stop: { parts: whole, interrupted: among(false) },
  recovery: { segment, entries: whole, torn_bytes: whole },
  delivery: { receipt: hex, segments: list(segment) },
  deletion: { segments: list(keys({ segment, sha256: hex, receipt: hex })) },
  kept: { segments: list(keys({ segment, epoch: number(1), size: whole, sha256: hex, whole: flag })) },
  seal: { segment, size: whole, sha256: hex, first: whole, entries: whole },
};
const CUT = { parts: whole, interrupted: among(true) }; // both, or neither, in a recovery

// A part's leaf has no kind and no facts, whatever it says under keys that a reader does not know there.
export function parseLeaf(data) {
  const leaf = parseJson(data), isMedia = leaf.class === "media";
  need(/^\{.*\}\n$/s.test(data.toString("latin1")), "a leaf is more than an object and a newline");
  const check = (value, forms) => {
    for (const one of Object.entries(forms)) need(has(value)(one), `${one[0]} of a leaf has another form`);
  };
  check(leaf, { ...COMMON, ...(isMedia ? MEDIA : EVENT) });
  if (isMedia) return { ...leaf, kind: "part", facts: {} };
  check(leaf.facts, { ...FACTS[leaf.kind] });
  if (leaf.kind === "recovery" && Object.keys(CUT).some((key) => key in leaf.facts)) check(leaf.facts, CUT);
  return leaf;
}
