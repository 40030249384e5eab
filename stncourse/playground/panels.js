// The two panels of the θ playground: the input with the frame that θ looks through, and the output. Sizes as in picture.py.

import { FRAME, greyImage } from "../browser/screen.js";
import { placeOn } from "./hand.js";

export const INPUT = 336, IMAGE = 224; // at a reach of 1.5 the input's longer side is as long as the output's
const FAR = 1e4; // pixels: no pen draws further

// What a reach shows: places on the input's ruler -> pixels of its panel, and back.
export function viewOf({ height, width }, reach) {
  const longest = Math.max(height, width), half = INPUT / 2;
  const [wide, high] = [(half * width) / longest / reach, (half * height) / longest / reach];
  const near = (value) => Math.min(Math.max(value, -FAR), FAR);
  return {
    wide, high,
    toPanel: ([x, y]) => [near(half + x * wide), near(half + y * high)],
    fromPanel: ([x, y]) => [(x - half) / wide, (y - half) / high],
  };
}

export function line(pen, points, color, thickness, dash = []) {
  pen.save();
  Object.assign(pen, { strokeStyle: color, lineWidth: thickness, lineJoin: "round" });
  pen.setLineDash(dash);
  pen.beginPath();
  for (const point of points) pen.lineTo(...point);
  pen.stroke();
  pen.restore();
}

// A line with a head, in a dark or light coat so that it is seen on black and on white.
export function arrow(pen, from, to, color, { thickness = 2.5, dash = [], coat = null } = {}) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  if (length < 1) return;
  const [x, y] = [(to[0] - from[0]) / length, (to[1] - from[1]) / length];
  const head = Math.min(3.6 * thickness, 0.6 * length);
  const neck = [to[0] - x * head, to[1] - y * head];
  const tip = [to, [neck[0] - 0.5 * head * y, neck[1] + 0.5 * head * x], [neck[0] + 0.5 * head * y, neck[1] - 0.5 * head * x]];
  if (coat) {
    line(pen, [from, neck], coat, thickness + 2.5);
    line(pen, [...tip, to], coat, 2.5);
  }
  line(pen, [from, neck], color, thickness, dash);
  pen.fillStyle = color;
  pen.beginPath();
  for (const point of tip) pen.lineTo(...point);
  pen.fill();
}

export function dot(pen, [x, y], radius, color, edge = null) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fillStyle = color;
  pen.fill();
  if (!edge) return;
  Object.assign(pen, { strokeStyle: edge, lineWidth: 1.5 });
  pen.stroke();
}

export function drawImage(pen, pixels, { height, width }, view, colors) {
  pen.fillStyle = colors("outside");
  pen.fillRect(0, 0, INPUT, INPUT);
  const [left, top] = view.toPanel([-1, -1]);
  pen.drawImage(greyImage(pixels, height, width), left, top, Math.max(1, 2 * view.wide), Math.max(1, 2 * view.high));
}

// The frame, a few of the places where the output's pixels look, and the thick edge, the output's top.
export function drawFrame(pen, theta, view, color = FRAME, { dots = true } = {}) {
  const place = (u) => view.toPanel(placeOn(theta, u));
  const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(place);
  pen.fillStyle = color;
  if (dots)
    for (let i = -9; i <= 9; i += 2)
      for (let j = -9; j <= 9; j += 2) {
        const [x, y] = place([j / 10, i / 10]);
        pen.fillRect(x - 1, y - 1, 2, 2);
      }
  line(pen, [...corners, corners[0]], color, 2);
  line(pen, corners.slice(0, 2), color, 5);
  dot(pen, corners[0], 4, color);
}

// θ's columns: from the centre (the third) to the middle of the right edge (the first) and of the bottom edge (the second).
export function drawColumns(pen, theta, view, colors) {
  const place = (u) => view.toPanel(placeOn(theta, u)), centre = place([0, 0]), coat = colors("paper");
  arrow(pen, centre, place([1, 0]), colors("first"), { coat });
  arrow(pen, centre, place([0, 1]), colors("second"), { coat, dash: [5, 3] });
  dot(pen, centre, 5, FRAME, "#000");
}

// The ruler: -1, 0 and 1 along the image's upper and left edge.
export function drawRuler(pen, view, colors) {
  Object.assign(pen, { fillStyle: colors("ink"), font: "12px system-ui, sans-serif", textAlign: "center" });
  const [left, top] = view.toPanel([-1, -1]);
  for (const value of [-1, -0.5, 0, 0.5, 1]) {
    const [x] = view.toPanel([value, 0]), [, y] = view.toPanel([0, value]), long = Number.isInteger(value) ? 7 : 4;
    line(pen, [[x, top - 1], [x, top - 1 - long]], colors("ink"), 1.2);
    line(pen, [[left - 1, y], [left - 1 - long, y]], colors("ink"), 1.2);
    if (!Number.isInteger(value)) continue;
    const text = String(value).replace("-", "−");
    pen.fillText(text, x, top - 11);
    pen.textAlign = "right";
    pen.fillText(text, left - 11, y + 4);
    pen.textAlign = "center";
  }
  pen.fillText("x", view.toPanel([0.5, 0])[0], top - 11);
  pen.textAlign = "right";
  pen.fillText("y", left - 11, view.toPanel([0, 0.5])[1] + 4);
}

// The pixels' numbers: columns below the image, rows on its right.
export function drawPixelAxes(pen, view, { height, width, sampler_align_corners: align }, colors) {
  Object.assign(pen, { fillStyle: colors("ink"), font: "12px system-ui, sans-serif" });
  const ruler = (index, count) => (align ? (2 * index) / Math.max(count - 1, 1) - 1 : (2 * index + 1) / count - 1);
  const [right, bottom] = view.toPanel([1, 1]), rest = { textAlign: "center", textBaseline: "alphabetic" };
  for (const [count, side, across] of [[width, view.wide, true], [height, view.high, false]]) {
    const step = [1, 2, 5, 10, 20, 50].find((each) => (2 * side * each) / count >= 26) ?? count;
    for (let index = 0; index < count; index += step) {
      const [x, y] = view.toPanel([ruler(index, width), ruler(index, height)]);
      line(pen, across ? [[x, bottom + 1], [x, bottom + 6]] : [[right + 1, y], [right + 6, y]], colors("ink"), 1.2);
      Object.assign(pen, across ? rest : { textAlign: "left", textBaseline: "middle" });
      const at = across ? [x, bottom + 18] : [right + 9, y];
      Object.assign(pen, { strokeStyle: colors("outside"), lineWidth: 4, lineJoin: "round" }); // the frame may lie there
      pen.strokeText(index, ...at);
      pen.fillText(index, ...at);
    }
  }
  Object.assign(pen, rest);
}

// The output, its longer side IMAGE pixels long. The canvas has these sizes: what is on it are the pixels of the output.
export function drawOutput(canvas, levels, { out_height, out_width }) {
  const longest = Math.max(out_height, out_width);
  const [wide, high] = [out_width, out_height].map((side) => Math.max(1, Math.round((IMAGE * side) / longest)));
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(greyImage(Uint8ClampedArray.from(levels), out_height, out_width), 0, 0, wide, high);
}
