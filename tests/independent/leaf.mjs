// The form of a leaf, as section 3 of docs/evidence-format.md has it: keys, their values, and the facts of its kind.
import { parseJson } from "./json.mjs";
import { need, unbase64 } from "./lib.mjs";

const KINDS = new Set(["session", "start", "stop", "recovery", "seal", "delivery", "deletion", "kept", "shutdown", "event"]);
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$/;
export const RECORDING = /^r[0-9]{10}-[0-9a-f]{8}$/;
export const startOf = (recording) => Number(recording.slice(1, 11)); // the leaf that its name gives
const SEGMENT = /^(r[0-9]{10}-[0-9a-f]{8}-[0-9]{4}|e[0-9]{10}-[0-9a-f]{8})$/;

const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const like = (pattern) => (value) => typeof value === "string" && pattern.test(value);
export const number = (least) => (value) => /^(bigint|number)$/.test(typeof value) && value >= least && value < 1n << 63n;
const orNull = (form) => (value) => value === null || form(value);
const flag = (value) => typeof value === "boolean";
const list = (form) => (value) => Array.isArray(value) && value.every(form);
const keys = (forms) => (value) => object(value) && Object.entries(forms).every(([key, form]) => key in value && form(value[key]));
const whole = number(0), hex = like(/^[0-9a-f]{64}$/), segment = like(SEGMENT);

function date(value) { // one that the calendar has
  const [, year, month, day] = like(DATE)(value) ? DATE.exec(value).map(Number) : [];
  const days = [31, year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return year > 0 && day > 0 && day <= days[month - 1];
}

function utc(value) {
  const words = value?.time === null ? ["none"] : ["synchronised", "unverified"];
  return keys({ time: orNull(date), source: (word) => words.includes(word), bound_ms: orNull(whole) })(value);
}

const piece = keys({ size: whole, sha256: hex });
const COMMON = {
  v: (value) => value === 1, class: (word) => ["media", "event"].includes(word), camera: like(/^[a-z0-9-]{1,27}$/), index: whole,
  boot: like(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), mono_ns: whole, boottime_ns: whole, utc, chain: hex, recipients: hex,
  sealed: keys({ sha256: hex, header: piece, payload: piece }), recording: orNull(like(RECORDING)),
};
const MEDIA = {
  recording: (value) => value !== null, part: whole, idr: flag, zero_mono_ns: whole,
  start_ns: number(-(1n << 62n)), duration_ns: whole, init: hex,
};
const EVENT = { kind: (word) => KINDS.has(word), facts: object, body: hex };
const text = (value) => typeof value === "string";
const root = (value) => text(value) && unbase64(value).length === 32;
const CUT = { parts: whole, interrupted: (value) => value === true }; // both, or neither
const FACTS = {
  session: { session_cert: hex, resumes: orNull(keys({ size: whole, root })), receipt: orNull(hex), agent: text },
  stop: { parts: whole, interrupted: (value) => value === false },
  recovery: { segment, entries: whole, torn_bytes: whole },
  delivery: { receipt: hex, segments: list(segment) },
  deletion: { segments: list(keys({ segment, sha256: hex, receipt: hex })) },
  kept: { segments: list(keys({ segment, epoch: number(1), size: whole, sha256: hex, whole: flag })) },
  seal: { segment, size: whole, sha256: hex, first: whole, entries: whole },
};

// A part's leaf has no kind and no facts, whatever it says under keys that a reader does not know there.
export function parseLeaf(data) {
  const leaf = parseJson(data);
  need(data[0] === 0x7b && data.at(-2) === 0x7d && data.at(-1) === 0x0a, "a leaf is more than an object and a newline");
  const check = (value, forms) => {
    for (const [key, form] of Object.entries(forms)) need(key in value && form(value[key]), `a leaf whose ${key} has another form`);
  };
  check(leaf, COMMON);
  check(leaf, leaf.class === "media" ? MEDIA : EVENT);
  if (leaf.class === "media") {
    delete leaf.kind;
    delete leaf.facts;
  } else {
    const cut = leaf.kind === "recovery" && Object.keys(CUT).some((key) => key in leaf.facts);
    check(leaf.facts, { ...FACTS[leaf.kind], ...(cut && CUT) });
  }
  return leaf;
}
