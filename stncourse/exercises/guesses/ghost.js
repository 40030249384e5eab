// A guess that is dragged: a ghost of the digit over the empty output. See ghost.py; the kinds' common form: asked.js.

import { changes, compose, invert } from "../../browser/pose.js";
import { greyImage } from "../../browser/screen.js";
import { warp } from "../../browser/stn.js";

const SIDE = 224, GHOST_STEP = 0.05, GHOST_FINE = 0.01, UNMOVED = { x: 0, y: 0, turn: 0, zoom: 1 };
const BOARDS = `<div class="boards">
  <figure><figcaption>the digit</figcaption><canvas class="given" role="img" aria-label="The digit as it is given."></canvas></figure>
  <figure><figcaption>the output</figcaption><div class="output">
    <canvas class="truth" role="img"></canvas><canvas class="ghost" role="img"></canvas>
    <button class="handle" type="button"></button></div></figure>
</div>
<label class="slide turn"><span class="name">turn</span>
  <input type="range" min="-180" max="180" step="5"><output></output></label>
<label class="slide zoom"><span class="name">zoom</span>
  <input type="range" min="0.5" max="2" step="0.05"><output></output></label>
<p class="legend" hidden>Blue is your guess, grey is what comes out. The arrow leads from the one to the other.</p>`;

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
  const [ux, uy] = [0, 1].map((i) => (to[i] - from[i]) / length), head = Math.min(12, length / 2);
  const side = (sign) => [to[0] - head * ux + (sign * head * uy) / 2, to[1] - head * uy - (sign * head * ux) / 2];
  for (const [color, thickness] of [["#000", 7], ["#E69F00", 3]]) {
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

export function ghostIn(board, { height, width, pixels, moves }, { changed }) {
  board.innerHTML = BOARDS;
  const find = (selector) => board.querySelector(selector);
  const [given, truthCanvas, ghostCanvas] = [".given", "canvas.truth", "canvas.ghost"].map(find);
  const output = find(".output"), handle = find(".handle"), legend = find(".legend");
  const long = Math.max(height, width), [wide, high] = [(SIDE * width) / long, (SIDE * height) / long];
  for (const canvas of [given, truthCanvas]) [canvas.width, canvas.height] = [width, height];
  [ghostCanvas.width, ghostCanvas.height] = [2 * wide, 2 * high]; // finer than the image's pixels, for the arrow
  given.style.width = output.style.width = `${wide}px`;
  given.getContext("2d").drawImage(greyImage(pixels, height, width), 0, 0);
  const how = {
    out_height: height, out_width: width, mode: "bilinear", padding_mode: "zeros", padding_value: 0,
    grid_align_corners: false, sampler_align_corners: false,
  };
  let pose = { ...UNMOVED };

  const put = (change) => {
    pose = { ...pose, ...change };
    drawGhost(0.9);
    changed();
  };
  const within = (v) => Math.round(100 * Math.min(Math.max(v, -1), 1)) / 100 + 0;
  movable(output, handle, { at: () => pose, move: (x, y) => put({ x: within(x), y: within(y) }) });
  const sliders = { turn: (value) => `${value}°`.replace("-", "−"), zoom: (value) => `${value.toFixed(2)} ×` };
  for (const name of Object.keys(sliders)) {
    find(`.${name}`).hidden = !moves.includes(name);
    find(`.${name} input`).addEventListener("input", (event) => put({ [name]: Number(event.target.value) }));
  }

  function drawGhost(opacity, theta) {
    const pen = ghostCanvas.getContext("2d"), place = ({ x, y }) => [(x + 1) * wide, (y + 1) * high];
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, ghostCanvas.width, ghostCanvas.height);
    const ghost = tinted(warp(pixels, height, width, thetaOf(pose), how), height, width, opacity);
    pen.drawImage(ghost, 0, 0, ghostCanvas.width, ghostCanvas.height);
    if (theta) {
      const [, , x, , , y] = invert(theta);
      drawArrow(pen, place(pose), place({ x, y }));
    }
    [handle.style.left, handle.style.top] = [pose.x, pose.y].map((v) => `${50 * (v + 1)}%`);
    const text = `Your guess: the digit ${changes(thetaOf(pose))}.`;
    ghostCanvas.setAttribute("aria-label", text);
    handle.setAttribute("aria-label", `ghost of the digit, ${changes(thetaOf(pose))}; arrow keys move it`);
    for (const [name, words] of Object.entries(sliders)) {
      find(`.${name} input`).value = pose[name];
      find(`.${name} output`).textContent = words(pose[name]);
    }
  }

  function show(guess, theta) {
    pose = { ...(guess ?? UNMOVED) };
    const pen = truthCanvas.getContext("2d"), empty = new Uint8ClampedArray(height * width);
    pen.drawImage(greyImage(theta ? warp(pixels, height, width, theta, how) : empty, height, width), 0, 0);
    truthCanvas.setAttribute("aria-label", theta ? `The output: the digit ${changes(theta)}.` : "The output, still empty.");
    handle.disabled = guess !== null;
    for (const name of moves) if (sliders[name]) find(`.${name} input`).disabled = guess !== null;
    legend.hidden = !theta;
    output.classList.toggle("open", guess === null);
    drawGhost(theta ? 0.6 : 0.9, theta);
  }
  const sentence = (guess, theta) =>
    `You guessed that it comes out ${changes(thetaOf(guess))}. It comes out ${changes(theta)}.`;
  return { value: () => pose, show, sentence };
}
