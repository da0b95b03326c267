// A log, leaf after leaf (3, 8): what each leaf says is held against those before it. Where some are not here, what is said of
// what they held is not known.
import { number, RECORDING, startOf } from "./leaf.mjs";
import { hold, need, sha, unbase64 } from "./lib.mjs";

const FIRST = new Set(["session", "seal", "recovery"]); // what a session writes before it says what was cut
const ends = ({ kind, facts }) => kind === "stop" || (kind === "recovery" && facts.interrupted === true);

export function splitOrigin(origin) {
  const at = origin.lastIndexOf("/"), number = origin.slice(at + 1);
  need(at > 0 && /^[1-9][0-9]{0,5}$/.test(number), `not the name of a log: ${origin}`);
  return { stem: origin.slice(0, at), epoch: Number(number) };
}

function headOf(value, own) { // an earlier head, as the first leaf of an epoch names it (2)
  need(typeof value?.origin === "string" && Number.isInteger(value.size) && value.size >= 0 && typeof value.root === "string", "no head");
  const { stem, epoch } = splitOrigin(value.origin), root = unbase64(value.root);
  need(stem === own.stem && epoch < own.epoch && root.length === 32, "a head of no earlier epoch of this log");
  return { origin: value.origin, size: value.size, root };
}

const sealed = ({ segment: name, sha256, size, first, entries }) =>
  ({ name, sha256, size: Number(size), first: Number(first), end: Number(first) + Number(entries) });

export class Log {
  roots = new Map([[0, sha("")]]);
  recordings = new Map();
  seals = [];
  deleted = [];
  kept = [];
  clocks = new Map();
  session = null; // undefined where it is not known
  counter = null;
  counted; // what the first leaf that is counted says, where none before it lacks
  follows = null;
  left = null;
  next = -1;
  from = 0; // from this leaf on none is missing
  where = ""; // the segment whose leaves are heard

  constructor(origin) { Object.assign(this, { origin, own: splitOrigin(origin) }); }

  hold(truth, what, text) { return hold(truth, what, this.where, text); }

  hear(leaf, who, where) {
    this.where = where;
    this.at(leaf.index);
    if (!FIRST.has(leaf.kind)) this.settled(leaf);
    const last = this.clocks.get(leaf.boot), goesOn = !last || (leaf.mono_ns >= last.mono_ns && leaf.boottime_ns >= last.boottime_ns);
    this.hold(goesOn, "clock-went-back", `a clock goes back at leaf ${leaf.index}`);
    this.clocks.set(leaf.boot, leaf);
    if (leaf.class === "event") this.epochs(leaf);
    this.sessions(leaf, who);
    if (leaf.kind === "seal") this.seals.push(sealed(leaf.facts));
    if (leaf.kind === "deletion") this.deleted.push(...leaf.facts.segments.map(({ segment: name, sha256 }) => ({ name, sha256 })));
    if (leaf.kind === "start") this.start(leaf, who);
    if (leaf.class === "media") this.part(leaf, this.of(leaf), who);
    else if (ends(leaf)) this.end(leaf, this.of(leaf), who);
  }

  at(index) {
    if (index !== this.next && index > 0) {
      [this.from, this.session, this.counter] = [index, undefined, null];
      for (const recording of this.recordings.values()) Object.assign(recording, { next: null, owed: false, unsure: true });
    }
    this.next = index + 1;
  }

  settled(leaf) { // by now the session has said what was cut before it
    for (const recording of this.recordings.values()) {
      if (recording.owed) hold(false, "no-end", "", `leaf ${leaf.index} comes before its session says that a recording was cut`);
      recording.owed = false;
    }
  }

  epochs(leaf) { // what it says of earlier ones (2)
    const fact = leaf.facts.epoch ?? null, kept = leaf.kind === "kept" ? leaf.facts.segments : [];
    this.hold(kept.every(({ epoch }) => epoch < this.own.epoch), "bad-leaf", `leaf ${leaf.index} keeps what is of no earlier epoch`);
    this.kept.push(...kept.filter(({ epoch }) => epoch < this.own.epoch).map(({ segment: name, ...rest }) => ({ ...rest, name })));
    if (leaf.index > 0 || this.own.epoch === 1) {
      this.hold(!("epoch" in leaf.facts), "bad-epoch", `leaf ${leaf.index} says that it begins a later epoch`);
      return;
    }
    try {
      need(leaf.kind === "session" && ["damaged", "behind"].includes(fact?.reason), "the first leaf does not say why it begins an epoch");
      if (fact.left != null) this.left = headOf(fact.left, this.own);
      this.follows = headOf(fact.follows, this.own);
    } catch (error) { this.hold(false, "bad-epoch", error.message); }
  }

  sessions(leaf, who) {
    const own = this.session === undefined || this.session === who.certificate;
    if (leaf.kind === "session") this.opens(leaf, who);
    else this.hold(leaf.index > 0 && own, "bad-session", `leaf ${leaf.index} is of a session that no leaf opened, or that is over`);
    this.session = leaf.kind === "shutdown" ? null : who.certificate;
  }

  opens(leaf, who) {
    const { resumes, session_cert: certificate } = leaf.facts, said = resumes?.size ?? 0;
    const root = resumes ? this.roots.get(said) : undefined; // a range does not know it
    this.hold(certificate === who.certificate, "bad-session", "the session leaf names another certificate");
    const place = (resumes === null) === (leaf.index === 0) && said === leaf.index;
    this.hold(place && (!root || resumes.root === root.toString("base64")), "bad-session",
      `the session leaf ${leaf.index} does not say which log it continues, or another`);
    this.count(leaf);
    for (const recording of this.recordings.values()) recording.owed = !recording.ended && !recording.unsure;
  }

  count({ index, facts: { counter } }) {
    if (counter === undefined) return;
    if (!this.hold(number(1)(counter), "bad-leaf", `the counter of leaf ${index} is no number`)) return;
    const value = BigInt(counter), last = this.counter ?? value - 1n;
    this.hold(value <= last + 1n, "counter-jump", `the start counter goes up by more than one at leaf ${index}`);
    this.hold(value > last, "counter-back", `the start counter does not go up at leaf ${index}`);
    this.counter = value;
    if (this.from === 0) this.counted ??= value;
  }

  start(leaf, who) {
    const { recording, index } = leaf;
    this.count(leaf);
    this.hold(RECORDING.test(recording) && startOf(recording) === index, "bad-leaf", "a recording is not named after its start");
    this.recordings.set(recording, { next: 0, ended: false, session: who.certificate });
  }

  of({ recording, index }) { // the recording it is of; its start may lie before what is known here
    const known = this.recordings.has(recording), before = RECORDING.test(recording) && startOf(recording) < this.from;
    if (!known) this.recordings.set(recording, { next: null, ended: false, session: this.session, unsure: true });
    this.hold(known || before, "bad-leaf", `leaf ${index} is of a recording that never started`);
    return this.recordings.get(recording);
  }

  part({ part, zero_mono_ns: zero, init }, recording, who) {
    const line = [zero, init].join(), next = recording.next ?? part, own = (recording.session ?? who.certificate) === who.certificate;
    this.hold(!recording.ended && own, "bad-leaf", `part ${part} comes after the end, or from another session`);
    this.hold(part >= next, "bad-leaf", `part ${part} where part ${next} belongs`);
    this.hold(part <= next, "missing-parts", `part ${part} where part ${next} belongs`);
    this.hold((recording.line ??= line) === line, "bad-leaf", "a part has another timeline or init");
    recording.next = Math.max(next, Number(part) + 1);
  }

  end({ kind, facts }, recording, who) {
    const parts = Number(facts.parts), own = (recording.session ?? who.certificate) === who.certificate;
    this.hold(!recording.ended, "bad-leaf", "a recording ends twice");
    hold(parts === (recording.next ?? parts), "missing-parts", "", "a recording ends with another number of parts");
    this.hold(kind === "recovery" || own, "bad-leaf", "a stop from another session");
    Object.assign(recording, { ended: true, owed: false, parts });
  }
}
