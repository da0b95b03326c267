// A log, leaf after leaf (3, 8): what each leaf says is held against those before it. Where some are not here, what is
// said of what they held is not known.
import { number, RECORDING, startOf } from "./leaf.mjs";
import { hold, need, sha, unbase64 } from "./lib.mjs";
import { splitOrigin } from "./signed.mjs";

const FIRST = ["session", "seal", "recovery"]; // what a session writes before it says what was cut
const isEnd = ({ kind, facts }) => kind === "stop" || (kind === "recovery" && facts.interrupted === true);

function headOf({ origin, size, root }, own) { // an earlier head, as the first leaf of an epoch names it (2)
  const { stem, epoch } = splitOrigin(origin), hash = unbase64(root);
  need(stem === own.stem && epoch < own.epoch && hash.length === 32, "a head of no earlier epoch of this log");
  return need(Number.isInteger(size) && size >= 0, "a head of no size") && { origin, size, root: hash };
}

export class Log {
  // `roots` by size. Of `recordings`, by name: the next part; whether it ended, all of it is known, and it is owed an
  // end; its `last` leaf; how many parts were `seen`, and whether it was `cut` behind just these. `session` is
  // undefined where it is not known; `counted` what the first leaf that is counted says, where none before it lacks;
  // `from`: from this leaf on none is missing.
  constructor(origin) {
    Object.assign(this, { origin, own: splitOrigin(origin), roots: new Map([[0, sha("")]]), recordings: new Map() });
    Object.assign(this, { clocks: new Map(), seals: [], deleted: [], kept: [], follows: null, left: null });
    Object.assign(this, { session: null, counter: null, counted: undefined, next: -1, from: 0 });
  }

  hear(leaf, who, where) {
    const { index, kind, boot, facts, recording } = leaf, last = this.clocks.get(boot) ?? leaf;
    const is = this.hold = (truth, what, text) => hold(truth, what, where, `leaf ${index}: ${text}`);
    if (index !== this.next && index > 0) {
      [this.from, this.session, this.counter] = [index, undefined, null];
      for (const one of this.recordings.values()) Object.assign(one, { next: null, owed: false, known: false });
    }
    this.next = index + 1;
    for (const one of FIRST.includes(kind) ? [] : this.recordings.values()) {
      hold(!one.owed, "no-end", "", "a session goes on before it says that a recording was cut");
      one.owed = false;
    }
    is(leaf.mono_ns >= last.mono_ns && leaf.boottime_ns >= last.boottime_ns, "clock-went-back", "a clock goes back");
    this.clocks.set(boot, leaf);
    if (leaf.class === "event") this.epochs(leaf);
    const own = index > 0 && [undefined, who.certificate].includes(this.session);
    if (kind === "session") this.opens(leaf, who);
    else is(own, "bad-session", "it is of a session that no leaf opened, or that is over");
    this.session = kind === "shutdown" ? null : who.certificate;
    const { segment: name, sha256, size, first, entries, segments } = facts, end = Number(first) + Number(entries);
    if (kind === "seal") this.seals.push({ name, sha256, size: Number(size), first: Number(first), end });
    if (kind === "deletion") this.deleted.push(...segments.map(({ segment, sha256 }) => ({ name: segment, sha256 })));
    if (kind === "start") {
      this.count(facts.counter);
      is(RECORDING.test(recording) && startOf(recording) === index, "bad-leaf", "its recording is named otherwise");
      this.recordings.set(recording, { next: 0, ended: false, known: true, session: who.certificate, seen: 0 });
    }
    if (kind === "part" || isEnd(leaf)) this.goesOn(leaf, who);
    if (kind === "start" || kind === "part" || isEnd(leaf)) this.recordings.get(recording).last = index;
  }

  epochs({ index, kind, facts }) { // what it says of earlier ones (2)
    const { epoch: fact, segments } = facts, earlier = ({ epoch }) => epoch < this.own.epoch;
    if (kind === "kept") {
      this.hold(segments.every(earlier), "bad-leaf", "it keeps what is of no earlier epoch");
      this.kept.push(...segments.filter(earlier).map(({ segment: name, ...rest }) => ({ ...rest, name })));
    }
    if (index > 0 || this.own.epoch === 1) {
      this.hold(!("epoch" in facts), "bad-epoch", "it says that it begins a later epoch");
      return;
    }
    try {
      need(kind === "session" && ["damaged", "behind"].includes(fact?.reason), "it does not say why an epoch begins");
      if (fact.left != null) this.left = headOf(fact.left, this.own);
      this.follows = headOf(fact.follows, this.own);
    } catch (error) { this.hold(false, "bad-epoch", error.message); }
  }

  opens({ index, facts: { resumes, session_cert: certificate, counter } }, who) {
    const root = resumes && this.roots.get(resumes.size)?.toString("base64"); // a range does not know it
    const place = (resumes === null) === (index === 0) && (resumes?.size ?? 0) === index;
    this.hold(certificate === who.certificate, "bad-session", "it names another certificate");
    this.hold(place && [null, undefined, resumes?.root].includes(root), "bad-session", "it continues another log");
    this.count(counter);
    for (const recording of this.recordings.values()) recording.owed = !recording.ended && recording.known;
  }

  count(counter) {
    if (counter === undefined) return;
    if (!this.hold(number(1)(counter), "bad-leaf", "its counter is no number")) return;
    const value = BigInt(counter), last = this.counter ?? value - 1n;
    this.hold(value <= last + 1n, "counter-jump", "the start counter goes up by more than one");
    this.hold(value > last, "counter-back", "the start counter does not go up");
    this.counter = value;
    if (this.from === 0) this.counted ??= value;
  }

  // A part of a recording, or its end.
  goesOn({ kind, facts, part, zero_mono_ns: zero, init, recording: name }, { certificate: session }) {
    const before = RECORDING.test(name) && startOf(name) < this.from; // its start may lie before what is known here
    this.hold(this.recordings.has(name) || before, "bad-leaf", "it is of a recording that never started");
    const recording = this.recordings.get(name) ?? { next: null, ended: false, known: false, session, seen: 0 };
    const isPart = kind === "part", parts = Number(facts.parts), next = recording.next ?? (isPart ? part : parts);
    const own = kind === "recovery" || recording.session === session, line = [zero, init].join();
    this.recordings.set(name, recording);
    this.hold(!recording.ended && own, "bad-leaf", "it comes after the end of its recording, or from another session");
    if (isPart) {
      this.hold(part >= next, "bad-leaf", `it is part ${part} where part ${next} belongs`);
      this.hold(part <= next, "missing-parts", `it is part ${part} where part ${next} belongs`);
      this.hold((recording.line ??= line) === line, "bad-leaf", "a part has another timeline or init");
      recording.next = Math.max(Number(next), Number(part) + 1);
      recording.seen = Math.max(recording.seen, recording.next);
      return;
    }
    hold(parts === next, "missing-parts", "", "a recording ends with another number of parts");
    Object.assign(recording, { ended: true, owed: false, parts, cut: kind === "recovery" && parts === recording.seen });
  }
}
