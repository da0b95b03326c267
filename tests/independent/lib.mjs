// What every file here needs: digests, and what is told of a failure.
import { createHash } from "node:crypto";

export const sha = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
export const hex = (...parts) => sha(...parts).toString("hex");
export const sameBytes = (a, b) => Buffer.compare(a, b) === 0;
export const stemOf = (index) => String(index).padStart(10, "0");
// Of however many: arguments are not.
export const least = (numbers) => [...numbers].reduce((a, b) => Math.min(a, b), Infinity);
export const most = (numbers) => [...numbers].reduce((a, b) => Math.max(a, b), -Infinity);

// A failure is an error with its name on the page (8) as `what`: by who throws it, else by the nearest who catches it.
export const fail = (text, what) => { throw Object.assign(new Error(text), { what }); };
export const need = (truth, text, what) => truth || fail(text, what);
export const attempt = (run, otherwise = null) => { try { return run(); } catch { return otherwise; } };
export const named = (what, run) => { try { return run(); } catch (error) { error.what ??= what; throw error; } };
export const renamed = (what, run) => { try { return run(); } catch (error) { return fail(error.message, what); } };

export const told = []; // { what, where: the segment or "", text }
export const tell = (what, where, text) => { told.push({ what, where, text }); return false; };
export const hold = (truth, what, where, text) => truth || tell(what, where, text);
export const failing = (name) => told.some(({ where }) => where === name);
export const orTell = (what, run) => { // what it finds, or null
  try { return run(); } catch (error) { tell(error.what ?? what, "", error.message); return null; }
};

export function unbase64(text) {
  const data = Buffer.from(text, "base64");
  return need(data.toString("base64") === text, `not canonical base64: ${text.slice(0, 40)}`) && data;
}

export const reader = (held) => (name, limit) => { // a member of an archive
  const data = held.get(name) ?? fail(`${name} is not there`, "missing-parts");
  return need(data.length <= limit, `${name} is too long`) && data;
};
