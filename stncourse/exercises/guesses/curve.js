// A guess that is drawn: a curve on empty axes. See curve.py; the kinds' common form: asked.js.

import { numeral } from "./asked.js";

const WIDE = 360, HIGH = 260, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 46;
const AXES = `<div class="axes"><svg role="img" viewBox="0 0 ${WIDE} ${HIGH}">
  <g class="ruled" fill="currentColor" stroke="currentColor"></g>
  <path class="drawn truth" fill="none" stroke="#D55E00" stroke-width="3"/>
  <path class="drawn guess" fill="none" stroke="#0072B2" stroke-width="2.5" stroke-dasharray="6 5"/>
  <g class="points"></g></svg></div>
<p class="legend" hidden>Dashed, with points: your guess. Solid: what it is.</p>`;

// Round numbers from `low` to `high`, about five.
export function ticks(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => (high - low) / size <= 5.001);
  const first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

// The value at x of the line through points with rising xs; beyond the ends, that of the end.
export function valueAt(x, xs, ys) {
  const after = xs.findIndex((other) => other >= x);
  if (after <= 0) return after === 0 ? ys[0] : ys.at(-1);
  const part = (x - xs[after - 1]) / (xs[after] - xs[after - 1]);
  return (1 - part) * ys[after - 1] + part * ys[after];
}

function rule(group, { xs, low, high, labels }, { across, down }) {
  const text = (x, y, words, more) => `<text stroke="none" x="${x}" y="${y}" ${more}>${words}</text>`;
  const parts = [`<path fill="none" d="M${LEFT} ${TOP}V${HIGH - BOTTOM}H${WIDE - RIGHT}"/>`];
  for (const x of ticks(xs[0], xs.at(-1))) {
    parts.push(`<path d="M${across(x)} ${HIGH - BOTTOM}v5"/>`);
    parts.push(text(across(x), HIGH - BOTTOM + 18, numeral(x), 'text-anchor="middle"'));
  }
  for (const y of ticks(low, high)) {
    parts.push(`<path d="M${LEFT} ${down(y)}h-5"/><path opacity="0.2" d="M${LEFT} ${down(y)}H${WIDE - RIGHT}"/>`);
    parts.push(text(LEFT - 8, down(y) + 4, numeral(y), 'text-anchor="end"'));
  }
  parts.push(text((LEFT + WIDE - RIGHT) / 2, HIGH - 8, "", 'class="label" text-anchor="middle"'));
  const middle = (TOP + HIGH - BOTTOM) / 2;
  parts.push(text(14, middle, "", `class="label" text-anchor="middle" transform="rotate(-90 14 ${middle})"`));
  group.innerHTML = parts.join("");
  group.querySelectorAll(".label").forEach((label, i) => (label.textContent = labels[i])); // text, not markup
}

export function curveIn(board, scene, { changed }) {
  board.innerHTML = AXES;
  const { xs, low, high, labels } = scene, [axes, legend] = board.children, svg = axes.firstElementChild;
  const [ruled, truthLine, guessLine, dots] = svg.children;
  const across = (x) => LEFT + ((x - xs[0]) / (xs.at(-1) - xs[0])) * (WIDE - LEFT - RIGHT);
  const down = (y) => TOP + ((high - y) / (high - low)) * (HIGH - TOP - BOTTOM);
  rule(ruled, scene, { across, down });
  let ys = [], chosen = 0, last = null, open = true;
  const within = (y) => low + Math.round((100 * (Math.min(Math.max(y, low), high) - low)) / (high - low)) * ((high - low) / 100);
  const drawn = () => ys.map((y, i) => [xs[i], y]).filter(([, y]) => y !== null);
  const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${across(x)} ${down(y)}`).join("");

  // What was not drawn lies on a straight line between what was.
  function value() {
    const known = drawn();
    if (known.length < 2) return null;
    return xs.map((x) => valueAt(x, known.map(([at]) => at), known.map(([, y]) => y)));
  }

  function draw() {
    guessLine.setAttribute("d", line(drawn()));
    const dot = ([x, y]) => `<circle cx="${across(x)}" cy="${down(y)}" r="4" fill="#0072B2"/>`;
    const here = across(xs[chosen]);
    const mark = `<path class="chosen" d="M${here} ${TOP}V${HIGH - BOTTOM}" stroke="currentColor" stroke-dasharray="2 3"/>`;
    dots.innerHTML = (open ? mark : "") + drawn().map(dot).join("");
    if (!open) return;
    const y = ys[chosen], text = y === null ? "not drawn yet" : `${labels[1]} ${numeral(y)}`;
    axes.setAttribute("aria-valuenow", y ?? low);
    axes.setAttribute("aria-valuetext", `point ${chosen + 1} of ${xs.length}, ${labels[0]} ${numeral(xs[chosen])}: ${text}`);
    svg.setAttribute("aria-label", `Axes for your curve: ${labels[1]} over ${labels[0]}. ${drawn().length} points drawn.`);
  }

  function put(i, y) {
    ys[i] = within(y);
    chosen = i;
    draw();
    changed();
  }

  // A hand is quicker than the page hears of it: the points that it passed lie on the way.
  function follow(event) {
    const box = svg.getBoundingClientRect(), scale = WIDE / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const part = (x - LEFT) / (WIDE - LEFT - RIGHT);
    const to = high - ((y - TOP) / (HIGH - TOP - BOTTOM)) * (high - low);
    const distances = xs.map((at) => Math.abs(across(at) - LEFT - part * (WIDE - LEFT - RIGHT)));
    const i = distances.indexOf(Math.min(...distances)), from = last ?? { i, y: to };
    for (let k = Math.min(i, from.i); k <= Math.max(i, from.i); k++)
      ys[k] = within(k === i || from.i === i ? to : from.y + ((to - from.y) * (k - from.i)) / (i - from.i));
    last = { i, y: to };
    put(i, to);
  }

  axes.addEventListener("pointerdown", (event) => {
    if (!open) return;
    axes.setPointerCapture(event.pointerId);
    axes.focus({ preventScroll: true });
    last = null;
    follow(event);
    event.preventDefault();
  });
  axes.addEventListener("pointermove", (event) => open && axes.hasPointerCapture(event.pointerId) && follow(event));
  axes.addEventListener("keydown", (event) => {
    if (!open) return;
    const step = (high - low) / (event.shiftKey ? 100 : 20);
    const start = ys[chosen] ?? ys.slice(0, chosen).findLast((y) => y !== null) ?? (low + high) / 2;
    const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: xs.length - 1 }[event.key];
    const by = { ArrowUp: step, ArrowDown: -step }[event.key];
    if (to === undefined && by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (by !== undefined) return put(chosen, start + by);
    chosen = Math.min(Math.max(to, 0), xs.length - 1);
    draw();
  });

  function show(guess, truth) {
    [ys, chosen, open] = [guess ? [...guess] : xs.map(() => null), 0, guess === null];
    truthLine.setAttribute("d", truth ? line(truth[0].map((x, i) => [x, Math.min(Math.max(truth[1][i], low), high)])) : "");
    legend.hidden = !truth;
    axes.classList.toggle("open", open);
    const slider = { role: "slider", tabindex: "0", "aria-label": "your curve", "aria-valuemin": low, "aria-valuemax": high };
    for (const [name, setting] of Object.entries(slider)) open ? axes.setAttribute(name, setting) : axes.removeAttribute(name);
    if (!open) for (const name of ["aria-valuenow", "aria-valuetext"]) axes.removeAttribute(name);
    draw();
    if (!open) svg.setAttribute("aria-label", truth ? sentence(guess, truth) : "Your curve.");
  }

  function sentence(guess, truth) {
    const off = xs.map((x, i) => Math.abs(valueAt(x, ...truth) - guess[i])), most = Math.max(...off);
    const mean = off.reduce((sum, each) => sum + each, 0) / off.length, where = numeral(xs[off.indexOf(most)]);
    const shown = (each) => String(Number(each.toPrecision(2)));
    return `Your curve is off by ${shown(mean)} on average, and by ${shown(most)} where it is furthest, at ${labels[0]} ${where}.`;
  }
  return { value, show, sentence };
}
