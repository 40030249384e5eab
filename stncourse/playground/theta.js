// The θ playground's picture, drawn in the browser: no kernel is asked, so it follows the hand, also while a cell
// trains, and in a page without Python. scene.py does the same in Python; tests/browser compares them.

const PANEL = 224, MARGIN = 0.25, GAP = 16, BETWEEN = 8; // as in playground.py
const GREY = "rgb(200, 200, 200)", ORANGE = "rgb(255, 159, 28)";
const IDENTITY = [1, 0, 0, 0, 1, 0];
const NAMES = ["rotation", "scale_x", "scale_y", "shear", "shift_x", "shift_y"];

// θ: six numbers, row by row

// θ = [ R(rotation) · [[1, shear], [0, 1]] · diag(scale) | shift ], as stncourse.affine_theta.
export function compose({ rotation, scale_x, scale_y, shear, shift_x, shift_y }) {
  const angle = (rotation * Math.PI) / 180, c = Math.cos(angle), s = Math.sin(angle);
  return [
    c * scale_x, (c * shear - s) * scale_y, shift_x,
    s * scale_x, (s * shear + c) * scale_y, shift_y,
  ];
}

// The θ that goes the other way, or null where there is none.
export function invert([a, b, tx, c, d, ty]) {
  const determinant = a * d - b * c;
  if (Math.abs(determinant) < 1e-9 + 2e-7 * (Math.abs(a * d) + Math.abs(b * c))) return null;
  const [e, f, g, h] = [d, -b, -c, a].map((value) => value / determinant);
  return [e, f, -(e * tx + f * ty), g, h, -(g * tx + h * ty)];
}

// What θ (output → input) does to what is seen, as a sentence.
export function words(theta) {
  const inverse = invert(theta);
  if (!inverse) return "θ is singular: every output pixel looks at one line or point, so the digit is lost.";
  const [a, b, shiftX, c, d, shiftY] = inverse;
  let scaleX = Math.hypot(a, c), turn = (Math.atan2(c, a) * 180) / Math.PI;
  let scaleY = (a * d - b * c) / scaleX;
  const shear = (a * b + c * d) / scaleX / scaleY;
  if (scaleY < 0 && Math.abs(turn) > 90) {
    turn -= 180 * Math.sign(turn);
    [scaleX, scaleY] = [-scaleX, -scaleY];
  }
  const parts = []; // in the order in which they happen
  const mirrored = [scaleX < 0 && "left-right", scaleY < 0 && "top-bottom"].filter(Boolean);
  if (mirrored.length) parts.push(`mirrored ${mirrored.join(" and ")}`);
  const [wide, high] = [Math.abs(scaleX), Math.abs(scaleY)];
  if (Math.max(Math.abs(wide - 1), Math.abs(high - 1)) >= 0.005)
    parts.push(
      Math.abs(wide - high) < 0.005
        ? `${wide.toFixed(2)} × as large`
        : `${wide.toFixed(2)} × as wide, ${high.toFixed(2)} × as high`,
    );
  if (Math.abs(shear) >= 0.005) parts.push(`leaning by ${shear > 0 ? "+" : ""}${shear.toFixed(2)}`);
  if (Math.abs(turn) >= 0.5)
    parts.push(`turned ${Math.abs(turn).toFixed(0)}° ${turn > 0 ? "clockwise" : "counter-clockwise"}`);
  for (const [shift, less, more] of [[shiftX, "left", "right"], [shiftY, "up", "down"]])
    if (Math.abs(shift) >= 0.005) parts.push(`moved ${shift > 0 ? more : less} by ${Math.abs(shift).toFixed(2)}`);
  return `The digit comes out ${parts.join(", ") || "unchanged"}.`;
}

// Grid and sampler: what affine_grid and grid_sample of torch do, for one grey image

function pixelCenter(i, count, alignCorners) {
  if (alignCorners) return count > 1 ? (2 * i) / (count - 1) - 1 : 0;
  return (2 * i + 1) / count - 1;
}

function toPixels(x, count, alignCorners) {
  return Math.fround(alignCorners ? ((x + 1) / 2) * (count - 1) : ((x + 1) * count - 1) / 2);
}

// Back and forth between the image's edges (or, with align_corners, its outer pixel centres).
function reflect(x, count, alignCorners) {
  const low = alignCorners ? 0 : -0.5, span = alignCorners ? count - 1 : count;
  if (span === 0) return 0;
  const distance = Math.abs(x - low), rest = distance % span;
  return Math.floor(distance / span) % 2 ? span - rest + low : rest + low;
}

function padded(x, count, { padding_mode, sampler_align_corners }) {
  if (padding_mode === "zeros") return x;
  const inside = padding_mode === "reflection" ? reflect(x, count, sampler_align_corners) : x;
  return Math.min(Math.max(inside, 0), count - 1);
}

// To the nearest whole number; halves to the even one, as torch rounds.
function nearest(x) {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2 ? 1 : 0) : Math.round(x);
}

// Cubic convolution with A = -0.75, for the four neighbours of a point that lies t after the second of them.
function cubic(t) {
  const A = -0.75;
  const near = (u) => ((A + 2) * u - (A + 3)) * u * u + 1;
  const far = (u) => ((A * u - 5 * A) * u + 8 * A) * u - 4 * A;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

// Sample `pixels` (height × width grey levels) through θ (output → input) into a Uint8ClampedArray of out_height × out_width.
export function warp(pixels, height, width, theta, how) {
  const { out_height, out_width, mode, padding_value, grid_align_corners, sampler_align_corners } = how;
  const [a, b, tx, c, d, ty] = theta;
  // grid_sample pads with 0: as in Sampler, what shall be outside is moved to 0 for the time being.
  const outside = how.padding_mode === "zeros" ? padding_value : 0;
  const at = (row, column) =>
    row >= 0 && row < height && column >= 0 && column < width ? pixels[row * width + column] - outside : 0;
  const output = new Uint8ClampedArray(out_height * out_width);
  for (let i = 0; i < out_height; i++) {
    const yOut = pixelCenter(i, out_height, grid_align_corners);
    for (let j = 0; j < out_width; j++) {
      const xOut = pixelCenter(j, out_width, grid_align_corners);
      const x = toPixels(Math.fround(a * xOut + b * yOut + tx), width, sampler_align_corners);
      const y = toPixels(Math.fround(c * xOut + d * yOut + ty), height, sampler_align_corners);
      output[i * out_width + j] = outside + sample(at, x, y, height, width, mode, how);
    }
  }
  return output;
}

function sample(at, x, y, height, width, mode, how) {
  if (mode === "bicubic") {
    const left = Math.floor(x), top = Math.floor(y);
    const across = cubic(x - left), down = cubic(y - top);
    let sum = 0;
    for (let i = 0; i < 4; i++)
      for (let j = 0; j < 4; j++)
        sum += down[i] * across[j] * at(padded(top + i - 1, height, how), padded(left + j - 1, width, how));
    return sum;
  }
  [x, y] = [padded(x, width, how), padded(y, height, how)];
  if (mode === "nearest") return at(nearest(y), nearest(x));
  const left = Math.floor(x), top = Math.floor(y), right = x - left, below = y - top;
  return (
    (1 - below) * ((1 - right) * at(top, left) + right * at(top, left + 1)) +
    below * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1))
  );
}

// The picture: per digit one row, the input with the frame that θ looks through, and the output

function greyImage(pixels, height, width) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  for (let i = 0; i < pixels.length; i++) image.data.set([pixels[i], pixels[i], pixels[i], 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

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
// how they are sampled (see playground.scene).
function pictureIn(element) {
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

// At most one drawing per frame of the screen.
function onceAFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

// In a notebook: an anywidget beside ipywidgets' own sliders, whose moves it hears before the kernel does

async function render({ model, el }) {
  const find = (reference) => model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""));
  const sliders = await Promise.all(model.get("sliders").map(find));
  const draw = pictureIn(el);
  const update = onceAFrame(() => {
    const scene = model.get("scene"), { buffer, byteOffset, byteLength } = model.get("images");
    // The scene is the kernel's last word, and may be older than the sliders: what has moved since counts.
    const moved = sliders.map((slider, i) => Math.abs(slider.get("value") - scene.sliders[i]) > 1e-6);
    const value = (i) => (moved[i] ? sliders[i].get("value") : scene.parameters[i]);
    const theta = moved.includes(true)
      ? compose(Object.fromEntries(NAMES.map((name, i) => [name, value(i)])))
      : scene.theta;
    draw(scene, new Uint8Array(buffer, byteOffset, byteLength), theta);
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

// In a page without Python (see playground.page): controls of the page's own

export function playgroundIn(root, { digits, sliders, presets, paddings, scene }) {
  const pictureElement = document.createElement("div"), controls = document.createElement("form");
  root.append(controls, pictureElement);
  const draw = pictureIn(pictureElement);
  const all = Uint8Array.from(atob(digits), (character) => character.charCodeAt(0));
  const pixels = scene.height * scene.width;
  const add = (text, input) => {
    const label = document.createElement("label");
    const name = document.createElement("span");
    name.textContent = text;
    label.append(name, input);
    controls.append(label);
    return input;
  };
  const select = (text, options) => {
    const input = add(text, document.createElement("select"));
    for (const option of options) input.add(new Option(option));
    return input;
  };
  const input = (text, attributes) => add(text, Object.assign(document.createElement("input"), attributes));

  const preset = select("preset", ["choose …", ...Object.keys(presets)]);
  const inputs = sliders.map(({ text, min, max, step, value }) => {
    const slider = input(text, { type: "range", min, max, step, value });
    slider.after(document.createElement("output"));
    return slider;
  });
  const digit = input("digit no.", { type: "number", min: 0, max: all.length / pixels - 1, value: 0 });
  const direction = select("θ maps", ["output → input", "input → output"]);
  const padding = select("outside", Object.keys(paddings));
  const mode = select("sampling", ["bilinear", "nearest", "bicubic"]);
  const size = input("output px", { type: "number", min: 1, max: 112, value: scene.out_height });
  const gridAlign = input("align_corners of the grid", { type: "checkbox" });
  const samplerAlign = input("align_corners of the sampler", { type: "checkbox" });

  const whole = ({ min, max, value }) => Math.round(Math.min(Math.max(value, min), max)); // whatever is typed
  const update = onceAFrame(() => {
    for (const slider of inputs)
      slider.nextSibling.textContent = Number(slider.value).toFixed(slider.step < 1 ? 2 : 0);
    const number = whole(digit), outputSide = whole(size) || 1;
    const images = all.subarray(number * pixels, (number + 1) * pixels);
    const now = {
      ...scene, ...paddings[padding.value], mode: mode.value, inverse: direction.selectedIndex === 1,
      grid_align_corners: gridAlign.checked, sampler_align_corners: samplerAlign.checked,
      out_height: outputSide, out_width: outputSide,
    };
    draw(now, images, compose(Object.fromEntries(NAMES.map((name, i) => [name, Number(inputs[i].value)]))));
  });
  preset.addEventListener("input", () => {
    const values = presets[preset.value];
    if (values) inputs.forEach((slider, i) => (slider.value = values[i]));
  });
  controls.addEventListener("input", (event) => {
    if (inputs.includes(event.target)) preset.selectedIndex = 0;
    update();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  update();
}
