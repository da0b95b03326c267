// One camera (8): its segments, and what others signed of them, held against each other across its logs.
import { basename, dirname, join, sep } from "node:path";
import { absent, checkKept, follows } from "./epochs.mjs";
import { elsewhere, within as ofCamera, without } from "./held.mjs";
import { History } from "./history.mjs";
import { attempt, fail, hold, most, need, orTell, reader, renamed } from "./lib.mjs";
import { opened } from "./segment.mjs";
import * as signed from "./signed.mjs";
import { leadsTo } from "./tail.mjs";

const isLog = (origin) => attempt(() => signed.splitOrigin(origin) !== null, false);
const NOWHERE = { logs: [], spools: [], unpacked: [], stations: [] };

// `given`: { path, place, data } of every file. Of an `excerpt` nothing is asked for beside its recordings; one that is
// `partial` says who has what it lacks. `folders`: what exports have in cosigned/. Which directories are `logs`,
// `spools` (of which what others have may be gone), `unpacked` exports, and `stations`, whose own receipts do not
// excuse what lacks there.
export function camera(given, root, { heads = [], revoked, folders, excerpt, partial, where = NOWHERE }) {
  const { logs, spools, unpacked, stations } = where;
  const read = (list, what, of) => list.flatMap((file) => orTell(what, () => of(file.data, file.place)) ?? []);
  const ending = (end) => given.filter(({ path }) => path.endsWith(end));
  const within = (names, dirs) => ({ place }) => names.includes(basename(place)) && dirs.includes(dirname(place));

  const files = ending(".tar").map(({ path, place, data }) => {
    return { ...opened(data, basename(path, ".tar"), basename(place) === "open"), place };
  }).filter(({ open, first }) => !open || Number.isFinite(first)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const home = files.map(({ origin }) => origin).find(isLog) ?? "unknown/1", inExport = within(["segments"], unpacked);
  for (const file of files) if (!isLog(file.origin)) file.origin = home;
  excerpt ||= files.length > 0 && files.every(inExport);

  // Beside a log's tiles stand a checkpoint and who may have signed it; the tiles, like seal records, prove nothing.
  const chains = ending(".pem").filter((file) => logs.includes(file.place) || within(["chain"], logs)(file));
  const sessions = [...files.map(({ chain }) => chain), ...chains.map(({ data }) => data)]
    .flatMap((chain) => attempt(() => [signed.sessionIn(chain, root)], []));
  const stand = given.filter(({ path, place }) => basename(path) === "checkpoint" && logs.includes(place));
  const beside = read(stand, "bad-head", (data, place) => ({ ...signed.cameraHead(data, sessions), place }));
  const asked = read(heads, "bad-head", (data) => signed.laterHead(data, root, sessions));
  const kept = read(ending(".vouched"), "bad-head", (data) => signed.keptHead(data, sessions));
  const lost = [...revoked, ...read(ending(".revocation"), "bad-revocation", (data) => signed.revocation(data, root))];
  const receipts = read(ending(".receipt"), "bad-receipt", (data, place) => ({ ...signed.receipt(data, root), place }));
  const cosigned = [...receipts, ...asked.filter((head) => head.stored)], isOwn = ({ place }) => stations.some((one) =>
    `${place}${sep}`.startsWith(join(one, "receipts", sep)) && !(unpacked.includes(one) && dirname(place) === one));
  const whose = ({ station, camera: name }) => `${station} ${name}`, own = receipts.filter(isOwn).map(whose);
  for (const one of cosigned) one.excuses = !own.includes(whose(one));
  const noteIn = (data, place) => ({ ...signed.purge(data, root, cosigned), place });
  const notes = read(ending(".purge"), "bad-purge", noteIn);
  const inReceipts = cosigned.flatMap(({ head }) => attempt(() => [signed.cameraHead(head, sessions)], []));
  const byIdentity = [...asked, ...beside, ...inReceipts, ...kept].filter(({ identity }) => identity);

  const all = [...new Set(files.map(({ origin }) => origin))].map((origin) => {
    const held = files.filter((file) => file.origin === origin);
    const isCard = held.some(within(["open", "sealed", "delivered"], spools));
    // Of exports only what a receipt says that was put there for that: anybody may have taken a segment out.
    const boxes = held.map((file) => (partial ? "elsewhere" : join(dirname(file.place), "elsewhere")));
    const lends = (one) => boxes.includes(one.place) && ofCamera(origin, 1, Infinity)(one);
    const lent = !isCard && excerpt ? receipts.filter(lends) : [];
    const known = { cosigned, byIdentity, notes };
    return Object.assign(new History(origin, held, known, isCard || lent.length > 0).run(root), { lent });
  });
  const others = (history, origin) => (!history.spool ? []
    : history.lent.length ? elsewhere(origin, history.lent, []) : elsewhere(origin, cosigned, all));
  const proofs = folders.flatMap((held) => orTell("bad-head", () => vouched(held, all, root)) ?? []);
  const ledFrom = (history) => proofs.filter(({ origin }) => origin === history.origin);
  for (const history of all) {
    history.checkGaps(excerpt, others(history, history.origin));
    const here = kept.filter((head) => head.origin === history.origin && history.leads(head) !== undefined);
    const led = here.filter((head) => hold(history.leads(head), "bad-head", "", "leaves do not lead to a kept head"));
    history.settle([...ledFrom(history).filter(({ identity }) => identity), ...led].map(({ old }) => old));
    history.checkSeals();
  }
  const said = [...asked, ...beside, ...receipts, ...kept, ...lost.flatMap((one) => [...one.logs.values()])];
  const isHere = (head) => all.some(({ origin }) => origin === head.origin);
  for (const head of asked) hold(isHere(head), "bad-head", "", "a later head is of another log");
  const next = all.filter(({ log }) => log.follows);
  for (const one of next) follows(one, all, said, excerpt, others(one, one.log.follows.origin));
  said.push(...next.map(({ origin, log }) => ({ ...log.follows, told: `what ${origin} follows` })));
  for (const history of all) {
    leadsTo(history, said.filter(({ origin }) => origin === history.origin), excerpt);
    for (const one of lost) history.countsUpTo(one, ledFrom(history).map(({ old }) => old));
  }
  for (const history of excerpt ? [] : next) checkKept(history, files, all, cosigned);
  // Tiles or a receipt on a card, or a station's own receipt for segments, show that a log was there.
  const onCard = ({ place }) => spools.some((one) => `${place}${sep}`.startsWith(`${one}${sep}`));
  const shown = [...beside, ...receipts].filter((one) => onCard(one) || (isOwn(one) && one.stored.length > 0));
  for (const origin of new Set(shown.map((one) => one.origin))) {
    if (isHere({ origin }) || (!excerpt && next.some(({ log }) => log.follows.origin === origin))) continue;
    const { stem } = signed.splitOrigin(origin), same = all.filter(({ spool, origin: one }) =>
      spool && signed.splitOrigin(one).stem === stem);
    const isCards = same.length > 0 || shown.some((one) => one.origin === origin && onCard(one));
    const sizes = [...beside, ...receipts, ...kept].filter((one) => one.origin === origin).map(({ size }) => size);
    absent(origin, most(sizes), notes, isCards && elsewhere(origin, cosigned, all));
  }
  return all;
}

// The leaves below a size lead to the head in cosigned/ (9), which the identity key signed or not.
function vouched(held, histories, root) {
  const member = reader(held);
  const head = renamed("bad-head", () => {
    const chain = signed.sessionIn(member("cosigned/chain.pem", 65536), root);
    const station = signed.stationIn(member("cosigned/station.pem", 65536), root);
    const head = signed.signedHead(member("cosigned/checkpoint", 8192), [chain], station);
    return { ...head, ...signed.oldIn(member("cosigned/consistency", 16384)) };
  });
  need(head.cosigned, "no station cosigned cosigned/checkpoint");
  const { origin, old } = head;
  const history = histories.find((one) => one.origin === origin) ?? fail(`${origin} is not here`);
  // Behind a gap the root may be known: another export may go on from there.
  const reach = most([0, ...history.placed.filter(({ first }) => first < old).map(({ end }) => Math.min(end, old))]);
  const lacks = [...without(history.purged, reach, old)], leads = history.leads(head);
  const isHere = reach > 0 && lacks.length === 0 && (reach < old || leads !== undefined);
  if (!isHere) history.missed.push({ first: reach, end: old });
  need(isHere, `the leaves below ${old} of ${origin} are not all here`, "missing-segment");
  need(leads ?? true, "the leaves do not lead to cosigned/checkpoint");
  return leads && head; // of what was purged the root may be gone
}
