// The arithmetic of one output pixel in words and numbers: from its column and row to a place on the input, and the sum
// of its neighbours. Pure functions on what traced() returns; numbers are rounded where they are printed, never before.

import { printed } from "../browser/printed.js";

// A grey level: a whole number, but for a padding between two of them.
export function levelText(level) {
  return printed(level, Math.abs(level - Math.round(level)) < 0.05 ? 0 : 1);
}

const rounded = (value, decimals = 2) => Number(value.toFixed(decimals));
const bracketed = (text) => (text.startsWith("−") ? `(${text})` : text);
const short = (value) => printed(value).replace(/\.?0+$/, ""); // 0.40 -> 0.4

// “=”, or “≈” where the printed numbers give another last digit than the exact ones.
function equals(exact, fromPrinted, decimals) {
  return printed(exact, decimals) === printed(fromPrinted, decimals) ? "=" : "≈";
}

// [[factor, text], …] -> "0.24·0 − 0.05·255 + …".
function sumOf(terms) {
  return terms
    .map(([factor, text], i) => {
      const number = printed(factor), sign = number.startsWith("−") ? "−" : "+";
      const product = text === "" ? "" : `·${text}`;
      return i ? ` ${sign} ${number.replace("−", "")}${product}` : `${number}${product}`;
    })
    .join("");
}

// From a column (or row) to its centre on the output's ruler.
function onRuler(i, count, align, exact) {
  if (!align) return `(2·${i} + 1)/${count} − 1 = ${printed(exact)}`;
  return count > 1 ? `2·${i}/${count - 1} − 1 = ${printed(exact)}` : `${printed(exact)}, a single pixel's centre`;
}

// Through one row of θ.
function throughTheta([first, second, shift], [x, y], exact) {
  const text = sumOf([[first, bracketed(printed(x))], [second, bracketed(printed(y))], [shift, ""]]);
  const fromPrinted = rounded(first) * rounded(x) + rounded(second) * rounded(y) + rounded(shift);
  return `${text} ${equals(exact, fromPrinted, 2)} ${printed(exact)}`;
}

// From the input's ruler to its pixels.
function inPixels(x, count, align, exact) {
  const from = rounded(x) + 1;
  const text = align ? `(${printed(x)} + 1)/2·${count - 1}` : `((${printed(x)} + 1)·${count} − 1)/2`;
  const fromPrinted = align ? (from / 2) * (count - 1) : (from * count - 1) / 2;
  return `${text} ${equals(exact, fromPrinted, 1)} ${printed(exact, 1)}`;
}

// The shortcut, where θ only shifts and both rulers are alike: "5 + 0.4 · 14 = 10.6". Else null.
function byShift(i, [own, other, shift], sizes, aligns, exact) {
  const shifts = Math.abs(own - 1) < 1e-6 && Math.abs(other) < 1e-6;
  if (!shifts || sizes[0] !== sizes[1] || aligns[0] !== aligns[1]) return null;
  const half = (sizes[0] - (aligns[0] ? 1 : 0)) / 2, text = short(shift), sign = text.startsWith("−") ? "−" : "+";
  const equal = equals(exact, i + rounded(shift) * half, 1);
  return `${i} ${sign} ${text.replace("−", "")} · ${half} ${equal} ${printed(exact, 1)}`;
}

// The steps from an output pixel to its place: [{ text, x, y }], x and y lines of arithmetic, null where there is none.
export function stepsOf({ target, source, place }, [a, b, tx, c, d, ty], row, column, scene) {
  const { height, width, out_height, out_width, grid_align_corners: grid, sampler_align_corners: sampler } = scene;
  const steps = [
    {
      text: "its centre, on the output's ruler",
      x: onRuler(column, out_width, grid, target[0]),
      y: onRuler(row, out_height, grid, target[1]),
    },
    {
      text: scene.inverse ? "through θ's inverse, onto the input's ruler" : "through θ, onto the input's ruler",
      x: throughTheta([a, b, tx], target, source[0]),
      y: throughTheta([c, d, ty], target, source[1]),
    },
    {
      text: "in pixels of the input",
      x: inPixels(source[0], width, sampler, place[0]),
      y: inPixels(source[1], height, sampler, place[1]),
    },
  ];
  const [x, y] = [
    byShift(column, [a, b, tx], [out_width, width], [grid, sampler], place[0]),
    byShift(row, [d, c, ty], [out_height, height], [grid, sampler], place[1]),
  ];
  return x || y ? [...steps, { text: "or at once: θ only shifts here", x, y }] : steps;
}

// The sum that gives the colour, as lines of text, the last with the result.
export function sumLines({ neighbours, across, down, place, sum }, mode) {
  const [x, y] = place.map((value) => printed(value, 1)), result = levelText(Math.round(sum));
  if (mode === "nearest") {
    const [{ row, column, level }] = neighbours;
    const pixel = `column ${printed(column, 0)}, row ${printed(row, 0)}`;
    return [`(${x}, ${y}), rounded: ${pixel}, whose grey level is ${levelText(level)}`];
  }
  const levels = neighbours.map(({ level }) => level), weights = neighbours.map(({ weight }) => weight);
  if (mode === "bilinear") {
    const fromPrinted = weights.reduce((total, weight, i) => total + rounded(weight) * levels[i], 0);
    const text = sumOf(weights.map((weight, i) => [weight, bracketed(levelText(levels[i]))]));
    return [`${text} ${equals(sum, fromPrinted, 0)} ${result}`];
  }
  // bicubic: along each of the four rows, then down
  const rows = down.map((_, i) => across.map(({ weight }, j) => [weight, levels[4 * i + j]]));
  const totals = rows.map((row) => row.reduce((total, [weight, level]) => total + weight * level, 0));
  const lines = rows.map((row, i) => {
    const fromPrinted = row.reduce((total, [weight, level]) => total + rounded(weight) * level, 0);
    const text = sumOf(row.map(([weight, level]) => [weight, bracketed(levelText(level))]));
    return `row ${printed(down[i].index, 0)}: ${text} ${equals(totals[i], fromPrinted, 0)} ${printed(totals[i], 0)}`;
  });
  const fromPrinted = down.reduce((total, { weight }, i) => total + rounded(weight) * rounded(totals[i], 0), 0);
  const text = sumOf(down.map(({ weight }, i) => [weight, bracketed(printed(totals[i], 0))]));
  return [...lines, `down the rows: ${text} ${equals(sum, fromPrinted, 0)} ${result}`];
}

// What lies where the pixel looks, if that is not only the image; "" if it is.
export function outsideText({ neighbours }, { padding, padding_mode, padding_value }) {
  const beyond = neighbours.find(({ inside, weight }) => !inside && Math.abs(weight) >= 0.005);
  if (!beyond) return "";
  if (padding_mode === "zeros") return `Outside (hatched): ${padding}, grey level ${levelText(padding_value)}.`;
  const again = ["column", "row"]
    .filter((name) => beyond[name] !== beyond.read[name])
    .map((name) => `${name} ${printed(beyond[name], 0)} is ${name} ${printed(beyond.read[name], 0)} again`);
  const what = padding_mode === "border" ? "the edge pixels go on for ever" : "the image is mirrored in its edges";
  return `Outside (hatched): ${padding}, ${what}; ${again.join(", ")}.`;
}
