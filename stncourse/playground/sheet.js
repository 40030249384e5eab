// The control-point playground (see sheet.py; warping.py does the same in Python, tests/browser compares them). The
// points lie on the input: each says where one place of the output looks. Python sends, once, how far every output
// pixel follows every control point, so that the spline is a matrix product here.

import { speak } from "../browser/language.js";
import { signed } from "../browser/printed.js";
import { FRAME, THEME, bytes, colorsOf, floats, followTheme, greyImage, onceAFrame } from "../browser/screen.js";
import { bilinear, greyLevels, toPixels } from "../browser/stn.js";

const PANEL = 336, FAR = 1e4, HORIZON = 1e-3, STEP = 0.05, FINE = 0.01;

// The projective θ that looks at four corners (row by row), or null where there is none: see projective_theta.
export function thetaFromCorners([tl, tr, bl, br]) {
  const area = (p, q, r) => (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
  const whole = area(tl, tr, bl);
  // br = a tl + b tr + c bl
  const [a, b, c] = [area(br, tr, bl), area(tl, br, bl), area(tl, tr, br)].map((part) => part / whole);
  const ninth = b + c; // of θ: w at the output's centre
  if (![a, b, c, ninth].every((v) => Math.abs(v) > 1e-6 && Math.abs(v) < 1e6)) return null;
  const corners = [[...tl, 1], [...tr, 1], [...bl, 1]];
  const mix = (weights) => [0, 1, 2].map((i) => corners.reduce((sum, p, k) => sum + weights[k] * p[i], 0) / ninth);
  const [right, down, centre] = [mix([a, b, 0]), mix([a, 0, c]), mix([0, b, c])];
  return [0, 1, 2].flatMap((i) => [right[i], down[i], centre[i]]);
}

// Where the points of `base` look: (x, y), (x, y), … ; null where the four corners have no transform.
export function look(family, points, { home, base, weights }) {
  const places = new Float64Array(base.length);
  if (family === "tps") {
    const moves = points.map(([x, y], k) => [x - home.tps[k][0], y - home.tps[k][1]]);
    for (let i = 0; i < base.length / 2; i++) {
      let [x, y] = [base[2 * i], base[2 * i + 1]];
      for (let k = 0; k < moves.length; k++) {
        const weight = weights[i * moves.length + k];
        x += weight * moves[k][0];
        y += weight * moves[k][1];
      }
      [places[2 * i], places[2 * i + 1]] = [x, y];
    }
    return places;
  }
  const theta = thetaFromCorners(points);
  if (!theta) return null;
  for (let i = 0; i < base.length; i += 2) {
    const [x, y, w] = [0, 3, 6].map((row) => theta[row] * base[i] + theta[row + 1] * base[i + 1] + theta[row + 2]);
    [places[i], places[i + 1]] = w > HORIZON ? [x / w, y / w] : [FAR, FAR];
  }
  return places;
}

// Bilinear, outside is 0: grey levels at the first height × width places.
export function sample(pixels, places, height, width) {
  const at = greyLevels(pixels, height, width);
  const level = (_, i) => bilinear(at, toPixels(places[2 * i], width), toPixels(places[2 * i + 1], height));
  return Uint8ClampedArray.from({ length: height * width }, level);
}

// The cells between neighbouring pixels that come out mirrored, as indices of their first pixel.
export function mirrored(places, height, width) {
  const found = [];
  for (let row = 0; row < height - 1; row++)
    for (let column = 0; column < width - 1; column++) {
      const [o, r, d] = [0, 1, width].map((step) => 2 * (row * width + column + step));
      if ([o, r, d].some((i) => places[i] === FAR)) continue;
      const [rx, ry] = [places[r] - places[o], places[r + 1] - places[o + 1]];
      const [dx, dy] = [places[d] - places[o], places[d + 1] - places[o + 1]];
      if (rx * dy - ry * dx < (-1e-3 * 4) / (height * width)) found.push(row * width + column);
    }
  return found;
}

export function words(family, points, places, { home, height, width }) {
  const away = points.map(([x, y], k) => Math.hypot(x - home[family][k][0], y - home[family][k][1]));
  const name = family === "tps" ? "control point" : "corner", furthest = Math.max(...away);
  if (furthest < 0.005) return `Every ${name} looks at its own place: the picture comes out unchanged.`;
  const count = away.filter((distance) => distance >= 0.005).length;
  const parts = [
    `${count} of ${points.length} ${name}s look${count === 1 ? "s" : ""} elsewhere, the furthest ${furthest.toFixed(2)} away.`,
  ];
  const percent = (fraction) => Math.max(1, Math.round(100 * fraction));
  let beyond = 0;
  for (let i = 0; i < height * width; i++) beyond += places[2 * i] === FAR;
  const folded = mirrored(places, height, width).length / ((height - 1) * (width - 1));
  if (beyond)
    parts.push(
      `The horizon runs through the output: ${percent(beyond / height / width)} % of it lies behind, and is background.`,
    );
  if (folded) parts.push(`${percent(folded)} % of the output is mirrored${family === "tps" ? ": the sheet folds" : ""}.`);
  if (!folded && !beyond) parts.push(family === "tps" ? "The sheet does not fold." : "Straight lines stay straight.");
  return parts.join(" ");
}

// Drawing

// [-1, 1] -> pixels of the input's panel, and back. The image is in the middle, with room to `reach` all around.
const toPanel = (v, reach) => ((v / reach + 1) / 2) * PANEL;
const fromPanel = (pixel, reach) => ((2 * pixel) / PANEL - 1) * reach;

function drawInput(pen, pixels, places, points, scene, family, colors) {
  const { height, width, reach, net, home } = scene;
  const place = (x, y) => [x, y].map((v) => toPanel(Math.min(Math.max(v, -50), 50), reach));
  pen.imageSmoothingEnabled = false;
  pen.fillStyle = colors("outside");
  pen.fillRect(0, 0, PANEL, PANEL);
  const [corner] = place(-1, -1);
  pen.drawImage(greyImage(pixels, height, width), corner, corner, PANEL - 2 * corner, PANEL - 2 * corner);
  const line = (from, to) => {
    pen.moveTo(...from);
    pen.lineTo(...to);
  };
  const stroke = (color, thickness, path) => {
    [pen.strokeStyle, pen.lineWidth] = [color, thickness];
    pen.beginPath();
    path();
    pen.stroke();
  };
  const [lines, steps] = net;
  stroke(FRAME, 1.2, () => {
    for (let i = 0; i < lines * steps - 1; i++) {
      const p = 2 * (height * width + i), ends = [places[p], places[p + 2]];
      if ((i + 1) % steps && !ends.includes(FAR))
        line(place(ends[0], places[p + 1]), place(ends[1], places[p + 3]));
    }
  });
  stroke(colors("first"), 2, () => {
    // a cross on what comes out mirrored, and a line from each point's own place to where it looks
    for (const i of mirrored(places, height, width))
      if ((Math.floor(i / width) + (i % width)) % 2 === 0) {
        const [x, y] = place(places[2 * i], places[2 * i + 1]);
        line([x - 3, y - 3], [x + 3, y + 3]);
        line([x - 3, y + 3], [x + 3, y - 3]);
      }
    points.forEach((point, k) => line(place(...home[family][k]), place(...point)));
  });
}

const STYLE = `${THEME}
.stn-points { max-width: 740px; }
.stn-points .beside { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; margin: 0 0 8px; }
.stn-points figure { margin: 0; max-width: 100%; }
.stn-points figcaption { color: var(--stn-quiet); font-size: 13px; margin: 0 0 3px; }
.stn-points canvas { display: block; width: ${PANEL}px; max-width: 100%; height: auto; image-rendering: pixelated; outline: 1px solid var(--stn-line); }
.stn-points .board { position: relative; width: ${PANEL}px; max-width: 100%; overflow: hidden; }
.stn-points .board .point { position: absolute; width: 24px; height: 24px; min-height: 0; margin: -12px 0 0 -12px; padding: 0;
  cursor: grab; border: 2px solid #000; border-radius: 50%; background: #fff; opacity: 0.85; touch-action: none;
  font: bold 11px/1 sans-serif; color: #000; }
.stn-points .board .point.moved { border-radius: 4px; background: ${FRAME}; }
.stn-points .board .point:focus { outline: 3px solid var(--stn-first); outline-offset: 1px; opacity: 1; z-index: 1; }
.stn-points p { margin: 2px 0 6px; max-width: 76ch; } .stn-points .chosen { color: var(--stn-quiet); font-size: 13px; }`;

const HOW = "Drag a point; or press Tab to reach one, then the arrow keys (with Shift: small steps; Home: back).";

// data-lm-…: no shortcut of JupyterLab may take the arrow keys for itself.
const MARKUP = `<style>${STYLE}</style><div class="stn stn-points" data-lm-suppress-shortcuts="true">
<div class="beside">
  <label>transform <select class="family">
    <option value="tps">thin-plate spline, 4×4 points</option><option value="projective">projective, 4 corners</option>
  </select></label>
  <label>preset <select class="preset"></select></label>
  <label>picture <select class="picture"></select></label>
  <button class="reset" type="button">reset</button>
</div>
<div class="beside" style="align-items: start">
  <figure><figcaption>input, and where each point looks</figcaption>
    <div class="board" role="group" aria-label="control points on the input"><canvas></canvas></div></figure>
  <figure><figcaption>output</figcaption><canvas role="img"></canvas></figure>
</div>
<p class="chosen">${HOW}</p>
<p role="status"></p></div>`;

function pointName(family, k) {
  if (family === "projective") return ["top left", "top right", "bottom left", "bottom right"][k] + " corner";
  return `control point ${k + 1}, row ${Math.floor(k / 4) + 1}, column ${(k % 4) + 1}`;
}

// Control point k, to be dragged over the board or moved by keys. It asks where it is (`at`) and where its own place is
// (`own`), and tells where it is to go (`move`) and that it has come into focus (`seen`).
function pointButton(k, board, reach, { at, own, move, seen }) {
  const within = (v) => Math.round(100 * Math.min(Math.max(v, -reach), reach)) / 100;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "point";
  button.textContent = k + 1;
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    button.focus();
    event.preventDefault();
  });
  button.addEventListener("pointermove", (event) => {
    if (!button.hasPointerCapture(event.pointerId)) return;
    const box = board.getBoundingClientRect();
    const pixels = [event.clientX - box.left, event.clientY - box.top].map((v) => (v / box.width) * PANEL);
    move(k, pixels.map((v) => within(fromPanel(v, reach))));
  });
  button.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? FINE : STEP, [x, y] = at(k);
    const to = {
      ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step],
      Home: own(k),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    move(k, event.key === "Home" ? to : to.map(within));
  });
  button.addEventListener("focus", seen);
  board.append(button);
  return button;
}

// In a notebook: an anywidget. The page has all it needs; Python hears of every move.
function render({ model, el }) {
  speak(el, model.get("words"));
  const scene = { ...model.get("scene"), base: floats(model, "base"), weights: floats(model, "weights") };
  const { height, width, reach, home, presets, names } = scene;
  el.innerHTML = MARKUP;
  const find = (selector) => el.querySelector(selector);
  const [family, preset, picture] = [".family", ".preset", ".picture"].map(find);
  const board = find(".board"), chosen = find(".chosen"), status = find("[role=status]");
  const [input, output] = el.querySelectorAll("canvas");
  const root = find(".stn"), colors = colorsOf(root);
  for (const canvas of [input, output]) [canvas.width, canvas.height] = [PANEL, PANEL];
  names.forEach((name, i) => picture.add(new Option(name, i)));

  let buttons = [];
  const update = onceAFrame(draw);
  const set = (changes) => {
    model.set(changes);
    model.save_changes();
    update();
  };
  const move = (k, place) => {
    preset.selectedIndex = 0; // so that each can be chosen again
    set({ points: model.get("points").map((point, i) => (i === k ? place : point)) });
  };

  function makeButtons(count) {
    buttons.forEach((button) => button.remove());
    chosen.textContent = HOW; // what was said of a point is of one that is gone
    const at = (k) => model.get("points")[k], own = (k) => home[model.get("family")][k];
    buttons = Array.from({ length: count }, (_, k) => pointButton(k, board, reach, { at, own, move, seen: update }));
    preset.replaceChildren(...["choose …", ...Object.keys(presets[model.get("family")])].map((name) => new Option(name, name)));
  }

  function place(button, k, name, [x, y], [ownX, ownY]) {
    [button.style.left, button.style.top] = [x, y].map((v) => `${(100 * toPanel(v, reach)) / PANEL}%`);
    const moved = Math.hypot(x - ownX, y - ownY) >= 0.005;
    button.classList.toggle("moved", moved);
    const text = `${pointName(name, k)}: looks at x ${signed(x)}, y ${signed(y)}${moved ? "" : ", its own place"}`;
    button.setAttribute("aria-label", text);
    if (button.matches(":focus")) chosen.textContent = text;
  }

  function draw() {
    const name = model.get("family"), points = model.get("points"), still = home[name];
    if (points.length !== still.length) return; // the rest of the news is under way
    if (buttons.length !== points.length) makeButtons(points.length);
    [family.value, picture.value] = [name, model.get("picture")];
    points.forEach((point, k) => place(buttons[k], k, name, point, still[k]));
    const start = model.get("picture") * height * width;
    const pixels = bytes(model, "images").subarray(start, start + height * width);
    const places = look(name, points, scene);
    if (!places) {
      status.textContent = "Three corners lie on one line: no projective transform looks there. The output is still the last one.";
      return;
    }
    drawInput(input.getContext("2d"), pixels, places, points, scene, name, colors);
    const pen = output.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(greyImage(sample(pixels, places, height, width), height, width), 0, 0, PANEL, PANEL);
    status.textContent = words(name, points, places, scene);
    output.setAttribute("aria-label", `${names[model.get("picture")]}, warped. ${status.textContent}`);
    output.dataset.points = JSON.stringify(points); // for whoever wants to know what is drawn
  }

  family.addEventListener("change", () => set({ family: family.value, points: home[family.value] }));
  picture.addEventListener("change", () => set({ picture: Number(picture.value) }));
  find(".reset").addEventListener("click", () => {
    preset.selectedIndex = 0;
    set({ points: home[model.get("family")] });
  });
  preset.addEventListener("change", () => {
    const points = presets[model.get("family")][preset.value];
    if (points) set({ points });
  });
  for (const name of ["family", "points", "picture"]) model.on(`change:${name}`, update);
  const leaveTheme = followTheme(root, update);
  draw();
  return () => {
    leaveTheme();
    ["family", "points", "picture"].forEach((name) => model.off(`change:${name}`, update));
  };
}

export default { render };
