// A guess that is dragged: a ghost of the digit over the empty output. See ghost.py; the kinds' common form: asked.js.

import { changes, compose, invert } from "../../browser/pose.js";
import { greyImage } from "../../browser/screen.js";
import { warp } from "../../browser/stn.js";

const SIDE = 224, GHOST_STEP = 0.05, GHOST_FINE = 0.01, UNMOVED = { x: 0, y: 0, turn: 0, zoom: 1 };
const BOARDS = `<div class="boards">
  <figure><figcaption>the digit</figcaption>
    <canvas class="given" role="img" aria-label="The digit as it is given."></canvas></figure>
  <figure><figcaption>the output</figcaption><div class="output">
    <canvas class="truth" role="img"></canvas><canvas class="ghost" role="img"></canvas>
    <button class="handle" type="button"></button></div></figure>
</div>
<label class="slide turn"><span class="name">turn</span>
  <input type="range" min="-180" max="180" step="5"><span class="readout"></span></label>
<label class="slide zoom"><span class="name">zoom</span>
  <input type="range" min="0.5" max="2" step="0.05"><span class="readout"></span></label>
<p class="legend" hidden>Blue is your guess, grey is what comes out. The arrow leads from the one to the other.</p>`;

// The sliders of the moves that are not dragged, and what they say.
const SLIDERS = { turn: (value) => `${value}°`.replace("-", "−"), zoom: (value) => `${value.toFixed(2)} ×` };

// θ (output → input) of a digit that is moved so.
const thetaOf = ({ x, y, turn, zoom }) =>
  invert(compose({ rotation: turn, scale_x: zoom, scale_y: zoom, shear: 0, shift_x: x, shift_y: y }));

// A canvas of grey levels as a blue ghost: the brighter, the more opaque.
function tinted(pixels, height, width, opacity) {
  const canvas = greyImage(pixels, height, width), pen = canvas.getContext("2d");
  const image = pen.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.length; i++) image.data.set([86, 180, 233, opacity * pixels[i]], 4 * i);
  pen.putImageData(image, 0, 0);
  return canvas;
}

function drawArrow(pen, from, to) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  if (length < 4) return;
  const [ux, uy] = [0, 1].map((i) => (to[i] - from[i]) / length), head = Math.min(22, length / 2);
  const side = (sign) => [to[0] - head * ux + (sign * head * uy) / 2, to[1] - head * uy - (sign * head * ux) / 2];
  for (const [color, thickness] of [["#000", 11], ["#E69F00", 5]]) {
    [pen.strokeStyle, pen.lineWidth, pen.lineJoin, pen.lineCap] = [color, thickness, "round", "round"];
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.moveTo(...side(1));
    pen.lineTo(...to);
    pen.lineTo(...side(-1));
    pen.stroke();
  }
}

// The ghost follows a finger or the mouse anywhere on the output, and the keys on its handle.
function movable(output, handle, { at, move }) {
  let grip = null;
  output.addEventListener("pointerdown", (event) => {
    if (handle.disabled) return;
    output.setPointerCapture(event.pointerId);
    grip = { x: event.clientX, y: event.clientY, from: at() };
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  output.addEventListener("pointermove", (event) => {
    if (!grip || !output.hasPointerCapture(event.pointerId)) return;
    const { width, height } = output.getBoundingClientRect();
    move(grip.from.x + (2 * (event.clientX - grip.x)) / width, grip.from.y + (2 * (event.clientY - grip.y)) / height);
  });
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? GHOST_FINE : GHOST_STEP, { x, y } = at();
    const to = {
      ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step],
      Home: [0, 0],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    move(...to);
  });
}

// The canvases at their sizes, with the digit on the first. Returns the elements.
function boardsIn(board, { height, width, pixels, moves }) {
  board.innerHTML = BOARDS;
  const find = (selector) => board.querySelector(selector);
  const parts = {
    given: find(".given"), output: find(".output"), truth: find("canvas.truth"), ghost: find("canvas.ghost"),
    handle: find(".handle"), legend: find(".legend"),
    sliders: Object.fromEntries(Object.keys(SLIDERS).map((name) => [name, find(`.${name} input`)])),
  };
  const long = Math.max(height, width), [wide, high] = [(SIDE * width) / long, (SIDE * height) / long];
  for (const canvas of [parts.given, parts.truth]) [canvas.width, canvas.height] = [width, height];
  [parts.ghost.width, parts.ghost.height] = [2 * wide, 2 * high]; // finer than the image's pixels, for the arrow
  parts.given.style.width = parts.output.style.width = `${wide}px`;
  parts.given.getContext("2d").drawImage(greyImage(pixels, height, width), 0, 0);
  for (const [name, slider] of Object.entries(parts.sliders)) slider.parentElement.hidden = !moves.includes(name);
  return parts;
}

export function ghostIn(board, scene, { changed }) {
  const { height, width, pixels } = scene, parts = boardsIn(board, scene), { handle, output } = parts;
  const how = {
    height, width, out_height: height, out_width: width, mode: "bilinear", padding_mode: "zeros", padding_value: 0,
    grid_align_corners: false, sampler_align_corners: false,
  };
  const through = (theta) => warp(pixels, theta, how);
  let pose = { ...UNMOVED };

  function drawGhost(opacity, theta) {
    const pen = parts.ghost.getContext("2d"), { width: wide, height: high } = parts.ghost;
    const place = ({ x, y }) => [((x + 1) * wide) / 2, ((y + 1) * high) / 2];
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, wide, high);
    pen.drawImage(tinted(through(thetaOf(pose)), height, width, opacity), 0, 0, wide, high);
    if (theta) {
      const [, , x, , , y] = invert(theta);
      drawArrow(pen, place(pose), place({ x, y }));
    }
    [handle.style.left, handle.style.top] = [pose.x, pose.y].map((v) => `${50 * (v + 1)}%`);
    const done = changes(thetaOf(pose));
    parts.ghost.setAttribute("aria-label", `Your guess: the digit ${done}.`);
    handle.setAttribute("aria-label", `ghost of the digit, ${done}; the arrow keys move it`);
    for (const [name, slider] of Object.entries(parts.sliders)) {
      slider.value = pose[name];
      const text = SLIDERS[name](pose[name]);
      slider.setAttribute("aria-valuetext", text);
      slider.nextElementSibling.textContent = text;
    }
  }

  const put = (change) => {
    pose = { ...pose, ...change };
    drawGhost(0.9);
    changed();
  };
  const within = (v) => Math.round(100 * Math.min(Math.max(v, -1), 1)) / 100 + 0;
  movable(output, handle, { at: () => pose, move: (x, y) => put({ x: within(x), y: within(y) }) });
  for (const [name, slider] of Object.entries(parts.sliders))
    slider.addEventListener("input", () => put({ [name]: Number(slider.value) }));

  function show(guess, theta) {
    pose = { ...(guess ?? UNMOVED) };
    const seen = theta ? through(theta) : new Uint8ClampedArray(height * width);
    parts.truth.getContext("2d").drawImage(greyImage(seen, height, width), 0, 0);
    const text = theta ? `The output: the digit ${changes(theta)}.` : "The output, still empty.";
    parts.truth.setAttribute("aria-label", text);
    for (const control of [handle, ...Object.values(parts.sliders)]) control.disabled = guess !== null;
    parts.legend.hidden = !theta;
    output.classList.toggle("open", guess === null);
    drawGhost(theta ? 0.6 : 0.9, theta);
  }
  const sentence = (guess, theta) =>
    `You guessed that it comes out ${changes(thetaOf(guess))}. It comes out ${changes(theta)}.`;
  return { value: () => pose, show, sentence };
}
