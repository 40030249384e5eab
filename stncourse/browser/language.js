// What a page says, in the reader's language: as _language.py does it, which says more. The scripts say it in English; whatever
// they put into an element is exchanged before it is seen.

const SHORT = 8, LETTER = 100, LONGEST = 1000, MOST = 24, KEPT = 20000, SENTENCES = /(?<=[.:?!]) /g, ITEMS = /, |; | · | – | \+ | and the | [Aa]nd /g, FULL_STOPS = "。？！：，；";
const SPOKEN = ["aria-label", "aria-valuetext", "alt", "title"]; // attributes that are read out
const letters = (text) => text.match(/\p{L}/gu)?.length ?? 0;

const QUOTED = /'[^']*'|"[^"]*"|`[^`]*`|“[^”]*”/g;

// Whether a text has words, and no number, outside of quotes, of which not all was found.
function isForeign(text, worth) {
  const bare = text.replace(QUOTED, ""), own = letters(bare);
  return own > 0 && worth <= LETTER * (own - 1) && !/\d/.test(bare);
}

function templateOf([message, translation]) {
  const pieces = message.split(/\{\d+\}/), own = letters(pieces.join(""));
  const fixed = pieces.map((piece) => piece.replace(/[.*+?^${}()|[\]\\\/]/g, "\\$&"));
  return {
    pattern: new RegExp(`^${fixed.join("(.*?)")}$`, "s"),
    piece: pieces.reduce((longest, piece) => (piece.length > longest.length ? piece : longest)),
    inCode: pieces.slice(1).map((_, hole) => pieces.slice(0, hole + 1).join("").split("`").length % 2 === 0),
    own, translation,
  };
}

// `words`: English -> translation. Returns a function that says a text.
export function sayerOf(words) {
  const withHoles = ([message]) => message.includes("{0}"), all = Object.entries(words);
  const isSign = ([message]) => !letters(message), signs = new Map(all.filter(isSign));
  const plain = new Map(all.filter((each) => !withHoles(each) && !isSign(each)));
  const templates = all.filter(withHoles).map(templateOf);
  const known = new Map();
  const best = (text) => {
    if (!known.has(text)) known.set(text, bestOf(text));
    return known.get(text);
  };
  const better = (one, other) => (other[0] >= one[0] ? other : one);

  function bestOf(text) { // [what it is worth, the translation]
    const [, start, core, end] = text.match(/^(\s*(?:[,;:–](?=.))?\s*)(.*?)(\s*)$/s);
    if (start || end) {
      const [count, translation] = best(core);
      return [count, between(start, "") + translation + end];
    }
    const outside = ({ index }) => text.slice(0, index).split("`").length % 2; // none in code
    let gaps = [...text.matchAll(SENTENCES)].filter(outside);
    if (!gaps.length) gaps = [...text.matchAll(ITEMS)].filter(outside);
    if (gaps.length > MOST) gaps = []; // more are somebody else's
    const options = [...gaps.map((gap) => inARow(text, gap)), whole(text)]; // of equals the whole, else the last division
    if (text.endsWith(".")) { // a message may end without one
      const [count, translation] = best(text.slice(0, -1));
      options.unshift([count - 1, translation + (signs.get(".") ?? ".")]);
    }
    if (/^\d\d ./.test(text)) { // the title of a notebook
      const [count, translation] = best(text.slice(3));
      options.unshift([count, text.slice(0, 3) + translation]);
    }
    return options.reduce(better);
  }

  function whole(text) {
    if (plain.has(text)) return [LETTER * Math.max(1, letters(text)), plain.get(text)];
    let found = [0, text];
    for (const template of templates) {
      const match = text.includes(template.piece) && template.pattern.exec(text);
      if (match) found = better(filled(template, match.slice(1)) ?? found, found);
    }
    return found;
  }

  function filled({ own, inCode, translation }, given) {
    if (given.some((text, i) => !inCode[i] && text.split("`").length % 2 === 0)) return null; // it would cut code in two
    const values = given.map((text, i) => (inCode[i] ? [0, text] : best(text)));
    if (own < SHORT && given.some((text, i) => text.includes(" ") && isForeign(text, values[i][0]))) return null;
    // Items of a list that a hole swallows: better not, where there is a choice.
    const items = given.reduce((sum, text, i) => sum + (values[i][0] ? [...text.matchAll(ITEMS)].length : 0), 0);
    const worth = values.reduce((sum, [each]) => sum + each, LETTER * own) - 2 * items;
    const said = translation.replace(/\{(\d+)\}/g, (_, number) => values[number][1]);
    return [worth, said.replace(/(?<=[。？！：，；]) +/g, "")];
  }

  function inARow(text, { 0: gap, index }) {
    const [some, first] = whole(text.slice(0, index)), [others, rest] = best(text.slice(index + gap.length));
    const ofNumbers = /\d$/.test(text.slice(0, index)) && /^\d/.test(text.slice(index + gap.length)); // they keep their comma
    return [some + others - 1, first + (ofNumbers || !(some + others) ? gap : between(gap, first)) + rest];
  }

  function between(gap, before) {
    const joint = gap.trim().toLowerCase(), sign = signs.get(joint) ?? plain.get(joint) ?? gap;
    return !sign.trim() && before && FULL_STOPS.includes(before.at(-1)) ? "" : sign;
  }

  const bestIn = (core) => (core && core.length <= LONGEST ? best(core) : [0]);

  return function say(text) {
    if (known.size > KEPT) known.clear();
    if (/\S {2,}\S/.test(text)) return text.split(/(?<=\S)( {2,})(?=\S)/).map(say).join(""); // columns of a table
    const core = text.trim().replace(/\s+/g, " "), [count, translation] = bestIn(core);
    if (text.trim().includes("\n") && count < LETTER * letters(core)) return text.split("\n").map(say).join("\n");
    return count ? text.match(/^\s*/)[0] + translation + text.match(/\s*$/)[0] : text;
  };
}

// A text that is painted on a canvas, as the element around it says it.
export function saidIn(node, text) {
  while (node && !node.stnSays) node = node.parentNode;
  return node ? node.stnSays(text) : text;
}

// Have an element say what it says in `words`, from now on.
export function speak(element, words) {
  if (!words || !Object.keys(words).length) return;
  const say = sayerOf(words), said = new Set(); // what was put here is not to be said once more
  const change = (old, put) => {
    const text = said.has(old) ? old : say(old);
    if (text === old) return;
    if (said.size >= 2000) said.clear();
    said.add(text);
    put(text);
  };
  function sayAll(node) {
    if (node.nodeType === Node.TEXT_NODE) {
      if (!["STYLE", "SCRIPT"].includes(node.parentNode?.nodeName)) change(node.data, (text) => (node.data = text));
      return;
    }
    for (const name of node.attributes ? SPOKEN : [])
      if (node.hasAttribute(name)) change(node.getAttribute(name), (text) => node.setAttribute(name, text));
    node.childNodes.forEach(sayAll);
  }
  element.stnSays = say;
  sayAll(element);
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes)
      if (type === "childList") addedNodes.forEach(sayAll);
      else sayAll(target);
  }).observe(element, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: SPOKEN });
}
