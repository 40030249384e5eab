// The θ playground's picture, drawn in the browser: no kernel is asked, so it follows the hand, also while a cell
// trains, and in a page without Python. scene.py and picture.py do the same in Python; tests/browser compares them.

import { IDENTITY, NAMES, compose, invert, words } from "../browser/pose.js";
import { GREY, ORANGE, bytes, greyImage, onceAFrame } from "../browser/screen.js";
import { warp } from "../browser/stn.js";

const PANEL = 224, MARGIN = 0.25, GAP = 16, BETWEEN = 8; // as in picture.py

// The picture: per digit one row, the input with the frame that θ looks through, and the output

function drawInput(pen, pixels, { height, width }, theta) {
  const zoom = PANEL / (1 + 2 * MARGIN) / Math.max(height, width);
  const wide = Math.round(width * zoom), high = Math.round(height * zoom);
  const left = Math.floor((PANEL - wide) / 2), top = Math.floor((PANEL - high) / 2);
  pen.fillStyle = GREY;
  pen.fillRect(0, 0, PANEL, PANEL);
  pen.drawImage(greyImage(pixels, height, width), left, top, wide, high);
  const [a, b, tx, c, d, ty] = theta;
  const near = (value) => Math.min(Math.max(value, -50), 50); // where a pen can draw
  const place = (x, y) => [
    ((near(a * x + b * y + tx) + 1) / 2) * wide + left,
    ((near(c * x + d * y + ty) + 1) / 2) * high + top,
  ];
  pen.fillStyle = pen.strokeStyle = ORANGE;
  for (let i = -9; i <= 9; i += 2)
    for (let j = -9; j <= 9; j += 2) {
      const [x, y] = place(j / 10, i / 10);
      pen.fillRect(x - 1, y - 1, 2, 2);
    }
  const corners = [place(-1, -1), place(1, -1), place(1, 1), place(-1, 1)];
  const line = (points, thickness) => {
    pen.lineWidth = thickness;
    pen.beginPath();
    for (const point of points) pen.lineTo(...point);
    pen.stroke();
  };
  line([...corners, corners[0]], 2);
  line(corners.slice(0, 2), 5); // the output's top edge
  pen.beginPath();
  pen.arc(...corners[0], 4, 0, 2 * Math.PI);
  pen.fill();
}

function drawRow(pen, pixels, scene, theta) {
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, PANEL, PANEL);
  pen.clip();
  drawInput(pen, pixels, scene, theta);
  pen.restore();
  const output = warp(pixels, scene.height, scene.width, theta, scene);
  pen.drawImage(greyImage(output, scene.out_height, scene.out_width), PANEL + GAP, 0, PANEL, PANEL);
}

// θ as a matrix; what differs from the identity is bold, coloured and underlined (to be seen in grey too).
function matrixHtml(theta) {
  const cells = theta.map((value, i) => {
    const moved = Math.abs(value - IDENTITY[i]) > 1e-6;
    const style = moved ? "color:#D55E00;font-weight:bold;text-decoration:underline;" : "";
    const shown = (Math.round(100 * value) / 100 + 0).toFixed(2);
    return `<td style="${style}padding:0 9px;text-align:right">${shown}</td>`;
  });
  const rows = `<tr>${cells.slice(0, 3).join("")}</tr><tr>${cells.slice(3).join("")}</tr>`;
  const bracket = "border-left:2px solid;border-right:2px solid;border-radius:6px";
  return (
    `<div style="display:flex;align-items:center;gap:8px;font-family:monospace;font-size:15px"><span>θ =</span>` +
    `<table aria-label="θ" style="${bracket}">${rows}</table></div>`
  );
}

// A canvas and a readout in `element`. Returns a function that draws θ over a scene: the images with all that decides
// how they are sampled (see scene.py).
export function pictureIn(element) {
  element.innerHTML = '<canvas role="img" style="max-width:100%"></canvas><div role="status"></div>';
  const [canvas, readout] = element.children;
  return (scene, images, theta) => {
    const matrix = scene.inverse ? invert(theta) : theta;
    if (matrix) {
      const count = images.length / (scene.height * scene.width);
      const [width, height] = [2 * PANEL + GAP, count * (PANEL + BETWEEN) - BETWEEN];
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.fillStyle = "white";
      pen.fillRect(0, 0, width, height);
      for (let row = 0; row < count; row++) {
        pen.save();
        pen.translate(0, row * (PANEL + BETWEEN));
        const size = scene.height * scene.width;
        drawRow(pen, images.subarray(row * size, (row + 1) * size), scene, matrix);
        pen.restore();
      }
    }
    const sentence = matrix ? words(matrix) : "This θ has no inverse: the picture is still that of the last one that has.";
    readout.innerHTML = `${matrixHtml(theta)}<p>${sentence}</p>`;
    canvas.setAttribute("aria-label", matrix ? sentence : "");
    canvas.dataset.theta = theta; // for whoever wants to know what is drawn
  };
}

// In a notebook: an anywidget beside ipywidgets' own sliders, whose moves it hears before the kernel does

async function render({ model, el }) {
  const find = (reference) => model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""));
  const sliders = await Promise.all(model.get("sliders").map(find));
  const draw = pictureIn(el);
  const update = onceAFrame(() => {
    const scene = model.get("scene");
    // The scene is the kernel's last word, and may be older than the sliders: what has moved since counts.
    const moved = sliders.map((slider, i) => Math.abs(slider.get("value") - scene.sliders[i]) > 1e-6);
    const value = (i) => (moved[i] ? sliders[i].get("value") : scene.parameters[i]);
    const theta = moved.includes(true)
      ? compose(Object.fromEntries(NAMES.map((name, i) => [name, value(i)])))
      : scene.theta;
    draw(scene, bytes(model, "images"), theta);
  });
  model.on("change:scene", update);
  model.on("change:images", update);
  for (const slider of sliders) slider.on("change:value", update);
  update();
  return () => {
    for (const slider of sliders) slider.off("change:value", update);
  };
}

export default { render };
