// JSON as section 3 of docs/evidence-format.md has it: ASCII, no key twice, whole numbers only, none of more than 20 characters, at most
// 50 objects and lists within one another. JSON.parse keeps the last of two equal keys and rounds large numbers: it will not do here.
const SPACE = /[ \t\r\n]*/y, NUMBER = /-?(?:0|[1-9][0-9]*)(?![0-9.eE])/y;
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = { true: true, false: false, null: null };

export function parseJson(data) {
  const text = data.toString("latin1");
  let at = 0;
  const bad = () => { throw new Error(`not such JSON at byte ${at}`); };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const space = () => { take(SPACE); };
  const expect = (char) => { space(); if (text[at] !== char) bad(); at += 1; };
  const list = (close, item) => {
    space();
    if (text[at] === close) { at += 1; return; }
    for (;;) {
      item();
      space();
      if (text[at] !== ",") return expect(close);
      at += 1;
    }
  };
  const value = (depth) => {
    space();
    if (depth === 50 && /[[{]/.test(text[at])) bad();
    if (text[at] === "{") {
      at += 1;
      const found = Object.create(null);
      list("}", () => {
        space();
        const key = JSON.parse(take(STRING) ?? bad());
        if (key in found) bad();
        expect(":");
        found[key] = value(depth + 1);
      });
      return found;
    }
    if (text[at] === "[") {
      at += 1;
      const found = [];
      list("]", () => { found.push(value(depth + 1)); });
      return found;
    }
    const string = take(STRING);
    if (string !== undefined) return JSON.parse(string);
    const number = take(NUMBER);
    if (number?.length > 20) bad();
    if (number !== undefined) return Number.isSafeInteger(Number(number)) ? Number(number) : BigInt(number);
    for (const [word, meaning] of Object.entries(WORDS)) if (text.startsWith(word, at)) { at += word.length; return meaning; }
    return bad();
  };
  if (/[^\x00-\x7f]/.test(text) || !text.endsWith("\n")) bad();
  const found = value(0);
  space();
  if (at !== text.length || found === null || typeof found !== "object" || Array.isArray(found)) bad();
  return found;
}
