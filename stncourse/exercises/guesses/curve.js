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
  const rooms = [2 * (WIDE - (LEFT + WIDE - RIGHT) / 2), 2 * middle];
  // As text, not markup.
  group.querySelectorAll(".label").forEach((label, i) => (label.textContent = fitted(labels[i], rooms[i])));
}

// As much of a label as there is room for. A canvas measures it: the drawing itself may not be on the page yet.
function fitted(label, room) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "15px system-ui, sans-serif"; // a little larger than the drawing's: other fonts are wider
  const fits = (text) => pen.measureText(text).width <= room;
  if (fits(label)) return label;
  const letters = [...label].slice(0, 200);
  while (letters.length && !fits(`${letters.join("")}…`)) letters.pop();
  return `${letters.join("").trimEnd()}…`;
}

// Where values lie on the drawing, and back.
function placesOn({ xs, low, high }) {
  const wide = WIDE - LEFT - RIGHT, tall = HIGH - TOP - BOTTOM;
  const across = (x) => LEFT + ((x - xs[0]) / (xs.at(-1) - xs[0])) * wide;
  const nearest = (place) => {
    const away = xs.map((x) => Math.abs(across(x) - place));
    return away.indexOf(Math.min(...away));
  };
  const clamped = (y) => Math.min(Math.max(y, low), high), grain = (high - low) / 100;
  return {
    across,
    down: (y) => TOP + ((high - y) / (high - low)) * tall,
    nearest,
    height: (place) => high - ((place - TOP) / tall) * (high - low),
    clamped,
    within: (y) => clamped(low + Math.round((y - low) / grain) * grain),
  };
}

// A finger or the mouse draws. A hand is quicker than the page hears of it: the points that it passed lie on the way.
function followHand(axes, { nearest, height }, { isOpen, put }) {
  let last = null;
  const follow = (event) => {
    const box = axes.firstElementChild.getBoundingClientRect(), scale = WIDE / box.width;
    const i = nearest((event.clientX - box.left) * scale), y = height((event.clientY - box.top) * scale);
    const from = last ?? { i, y };
    const between = (k) => from.y + ((y - from.y) * (k - from.i)) / (i - from.i);
    for (let k = from.i; k !== i; k += Math.sign(i - from.i)) put(k, between(k));
    put(i, y);
    last = { i, y };
  };
  axes.addEventListener("pointerdown", (event) => {
    if (!isOpen()) return;
    axes.setPointerCapture(event.pointerId);
    axes.focus({ preventScroll: true });
    last = null;
    follow(event);
    event.preventDefault();
  });
  axes.addEventListener("pointermove", (event) => isOpen() && axes.hasPointerCapture(event.pointerId) && follow(event));
}

function followKeys(axes, { low, high }, { isOpen, choose, lift }) {
  axes.addEventListener("keydown", (event) => {
    const step = (high - low) / (event.shiftKey ? 100 : 20);
    const act = {
      ArrowLeft: () => choose((i) => i - 1), ArrowRight: () => choose((i) => i + 1),
      Home: () => choose(() => 0), End: () => choose(() => Infinity),
      ArrowUp: () => lift(step), ArrowDown: () => lift(-step),
    }[event.key];
    if (!act || !isOpen()) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

// Whether the axes are there to be drawn on: then they are one control, else they are a picture.
function setOpen(axes, { low, high }, open) {
  axes.classList.toggle("open", open);
  const control = { role: "slider", tabindex: 0, "aria-label": "your curve" };
  const range = { "aria-valuemin": low, "aria-valuemax": high };
  for (const [name, setting] of Object.entries({ ...control, ...range }))
    open ? axes.setAttribute(name, setting) : axes.removeAttribute(name);
  if (!open) for (const name of ["aria-valuenow", "aria-valuetext"]) axes.removeAttribute(name);
}

export function curveIn(board, scene, { changed }) {
  board.innerHTML = AXES;
  const { xs, low, high, labels } = scene, [axes, legend] = board.children, svg = axes.firstElementChild;
  const [ruled, truthLine, guessLine, dots] = svg.children;
  const places = placesOn(scene), { across, down, clamped, within } = places;
  rule(ruled, scene, places);
  let ys = [], chosen = 0, open = true;
  const drawn = () => ys.map((y, i) => [xs[i], y]).filter(([, y]) => y !== null);
  const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${across(x)} ${down(y)}`).join("");

  // What was not drawn lies on a straight line between what was.
  function value() {
    const known = drawn();
    if (known.length < 2) return null;
    return xs.map((x) => clamped(valueAt(x, known.map(([at]) => at), known.map(([, y]) => y))));
  }

  function draw() {
    guessLine.setAttribute("d", line(drawn()));
    const dot = ([x, y]) => `<circle cx="${across(x)}" cy="${down(y)}" r="4" fill="#0072B2"/>`;
    const here = across(xs[chosen]);
    const mark = `<path d="M${here} ${TOP}V${HIGH - BOTTOM}" stroke="currentColor" stroke-dasharray="2 3"/>`;
    dots.innerHTML = (open ? mark : "") + drawn().map(dot).join("");
    if (!open) return;
    const y = ys[chosen], text = y === null ? "not drawn yet" : `${labels[1]} ${numeral(y)}`;
    const point = `point ${chosen + 1} of ${xs.length}, ${labels[0]} ${numeral(xs[chosen])}`;
    axes.setAttribute("aria-valuenow", y ?? low);
    axes.setAttribute("aria-valuetext", `${point}: ${text}`);
    const axesText = `Axes for your curve: ${labels[1]} over ${labels[0]}.`;
    const drawnText = `${drawn().length} points drawn.`;
    svg.setAttribute("aria-label", `${axesText} ${drawnText}`);
  }

  function put(i, y) {
    ys[i] = within(y);
    chosen = i;
    draw();
    changed();
  }
  const isOpen = () => open;
  const choose = (next) => {
    chosen = Math.min(Math.max(next(chosen), 0), xs.length - 1);
    draw();
  };
  // From where it is, else from where the curve was drawn last, else from the middle.
  const start = () => ys[chosen] ?? ys.slice(0, chosen).findLast((y) => y !== null) ?? (low + high) / 2;
  followHand(axes, places, { isOpen, put });
  followKeys(axes, scene, { isOpen, choose, lift: (by) => put(chosen, start() + by) });

  function sentence(guess, truth) {
    const off = xs.map((x, i) => Math.abs(valueAt(x, ...truth) - guess[i])), most = Math.max(...off);
    const mean = off.reduce((sum, each) => sum + each, 0) / off.length, where = numeral(xs[off.indexOf(most)]);
    const shown = (each) => String(Number(each.toPrecision(2)));
    const furthest = `${shown(most)} where it is furthest, at ${labels[0]} ${where}`;
    return `Your curve is off by ${shown(mean)} on average, and by ${furthest}.`;
  }

  function show(guess, truth) {
    [ys, chosen, open] = [guess ? [...guess] : xs.map(() => null), 0, guess === null];
    truthLine.setAttribute("d", truth ? line(truth[0].map((x, i) => [x, clamped(truth[1][i])])) : "");
    legend.hidden = !truth;
    setOpen(axes, scene, open);
    draw();
    if (!open) svg.setAttribute("aria-label", truth ? sentence(guess, truth) : "Your curve.");
  }
  return { value, show, sentence };
}
