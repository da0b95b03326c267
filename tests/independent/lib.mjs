// What every file here needs: digests, and what is told of a failure.
import { createHash } from "node:crypto";

export const sha = (...parts) => { const h = createHash("sha256"); parts.forEach((p) => h.update(p)); return h.digest(); };
export const hex = (...parts) => sha(...parts).toString("hex");
export const sameBytes = (a, b) => Buffer.compare(a, b) === 0;
export const stemOf = (index) => String(index).padStart(10, "0");

export function unbase64(text) {
  const data = Buffer.from(text, "base64");
  return data.toString("base64") === text ? data : fail(`not canonical base64: ${text.slice(0, 40)}`);
}

// A failure is an error with its name on the page (8) as `what`: of the one who throws it, else of the nearest who catches it.
export const fail = (text, what) => { throw Object.assign(new Error(text), { what }); };
export const need = (truth, text, what) => truth || fail(text, what);
export const named = (what, run) => { try { return run(); } catch (error) { error.what ??= what; throw error; } };
export const renamed = (what, run) => { try { return run(); } catch (error) { return fail(error.message, what); } };
export const least = (numbers) => [...numbers].reduce((a, b) => Math.min(a, b), Infinity); // however many: arguments are not
export const most = (numbers) => [...numbers].reduce((a, b) => Math.max(a, b), -Infinity);
export const attempt = (run, otherwise) => { try { return run(); } catch { return otherwise; } };

export const reader = (held) => (name, limit) => { // a member of an archive
  const data = held.get(name) ?? fail(`${name} is not there`, "missing-parts");
  return data.length <= limit ? data : fail(`${name} is too long`);
};

export const told = []; // { what, where: the segment or "", text }
export const tell = (what, where, text) => { told.push({ what, where, text }); return false; };
export const hold = (truth, what, where, text) => truth || tell(what, where, text);
export const failing = (name) => told.some(({ where }) => where === name);
export const orTell = (what, run) => { try { return run(); } catch (error) { tell(error.what ?? what, "", error.message); return null; } };
