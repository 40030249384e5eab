// The piece of the input around a place, enlarged: pixels with their numbers and grey levels, the place, and the weights.

import { printed } from "../browser/printed.js";
import { FRAME } from "../browser/screen.js";
import { levelText } from "./arithmetic.js";
import { dot, line } from "./panels.js";

const LEFT = 34, TOP = 22, SIDE = 40, FOOT = 20; // pixels: room for the pixel numbers, and for the weights along the sides
const AREAS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7"]; // of the four neighbours, row by row; black is read on each
const FONT = "12px system-ui, sans-serif";

// `trace`: see traced(); `look`: see readerOf().
export function drawPiece(penFor, trace, look, mode, colors) {
  const cubic = mode === "bicubic", count = cubic ? 6 : 4, cell = cubic ? 44 : 60;
  const pen = penFor(LEFT + count * cell + (cubic ? SIDE : 2), TOP + count * cell + (cubic ? FOOT : 2));
  const [left, top] = trace.place.map((value) => Math.floor(value) - count / 2 + 1);
  const piece = {
    pen, cell, count, left, top, colors,
    // Places in pixels of the input -> the canvas.
    at: (x, y) => [LEFT + (x - left + 0.5) * cell, TOP + (y - top + 0.5) * cell],
  };
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  drawPixels(piece, look, trace.neighbours);
  drawNumbers(piece);
  if (cubic) {
    drawPlace(piece, trace.place, cubic); // below the numbers
    drawCubic(piece, trace);
  } else {
    (mode === "nearest" ? drawNearest : drawAreas)(piece, trace);
    drawPlace(piece, trace.place, cubic);
  }
}

// A dot; or a ring, where it would hide a number.
function drawPlace({ pen, at }, place, hollow) {
  if (!hollow) return dot(pen, at(...place), 5.5, "#D55E00", "#fff");
  for (const [color, thickness] of [["#fff", 5], ["#D55E00", 2.5]]) {
    Object.assign(pen, { strokeStyle: color, lineWidth: thickness });
    pen.beginPath();
    pen.arc(...at(...place), 6, 0, 2 * Math.PI);
    pen.stroke();
  }
}

// `coat`: a colour around the letters, where there are lines behind them.
function write({ pen }, text, [x, y], color, { align = "center", room = 60, coat = null } = {}) {
  Object.assign(pen, { font: FONT, textAlign: align, textBaseline: "middle", fillStyle: color });
  if (coat) {
    Object.assign(pen, { strokeStyle: coat, lineWidth: 5, lineJoin: "round" });
    pen.strokeText(text, x, y, room);
  }
  pen.fillText(text, x, y, room);
}

// The colour, black or white, that is read on a grey.
const inkOn = (grey) => (grey > 117 ? "#000" : "#fff");

function greyOf(level) {
  const [grey] = Uint8ClampedArray.of(level);
  return { grey, color: `rgb(${grey}, ${grey}, ${grey})` };
}

// All pixels of the piece; those outside of the image are hatched. Of the neighbours, the grey levels are written later.
function drawPixels(piece, look, neighbours) {
  const { pen, cell, count, left, top, at, colors } = piece;
  for (let row = top; row < top + count; row++)
    for (let column = left; column < left + count; column++) {
      const { level, inside } = look(row, column), { grey, color } = greyOf(level);
      const [x, y] = at(column - 0.5, row - 0.5);
      pen.fillStyle = color;
      pen.fillRect(x, y, cell, cell);
      if (!inside) hatch(pen, x, y, cell, grey);
      Object.assign(pen, { strokeStyle: colors("line"), lineWidth: 1 });
      pen.strokeRect(x, y, cell, cell);
      if (!neighbours.some((each) => each.row === row && each.column === column))
        write(piece, levelText(level), at(column, row), inkOn(grey), { room: cell - 6, coat: color });
    }
}

function hatch(pen, x, y, cell, grey) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, cell, cell);
  pen.clip();
  const color = grey > 117 ? "rgba(0, 0, 0, 0.35)" : "rgba(255, 255, 255, 0.35)";
  for (let shift = -cell; shift < cell; shift += 8) line(pen, [[x + shift, y + cell], [x + shift + cell, y]], color, 1);
  pen.restore();
}

// Columns above, rows on the left.
function drawNumbers(piece) {
  const { count, left, top, cell, at, colors } = piece;
  for (let i = 0; i < count; i++) {
    write(piece, printed(left + i, 0), [at(left + i, 0)[0], TOP / 2], colors("ink"), { room: cell });
    write(piece, printed(top + i, 0), [LEFT - 5, at(0, top + i)[1]], colors("ink"), { align: "right", room: LEFT - 6 });
  }
}

// bilinear: the place cuts the square between the four centres into four areas; a pixel's weight is the one opposite to it.
function drawAreas(piece, { place: [x, y], neighbours }) {
  const { pen, at, cell } = piece, opposite = [...neighbours].reverse();
  opposite.forEach(({ row, column }, i) => {
    const [from, to] = [at(x, y), at(column, row)];
    const rectangle = [from[0], from[1], to[0] - from[0], to[1] - from[1]];
    pen.globalAlpha = 0.8;
    pen.fillStyle = AREAS[i];
    pen.fillRect(...rectangle);
    pen.globalAlpha = 1;
    Object.assign(pen, { strokeStyle: "#000", lineWidth: 1 });
    pen.strokeRect(...rectangle);
  });
  neighbours.forEach(({ row, column, weight, level }, i) => {
    const [right, below] = [i % 2, i >> 1], [centreX, centreY] = at(column, row), reach = cell / 2 - 4;
    const edge = centreX + (right ? reach : -reach), outer = centreY + (below ? reach - 7 : 7 - reach);
    const align = right ? "right" : "left", { grey, color } = greyOf(level);
    write(piece, levelText(level), [edge, outer], inkOn(grey), { align, coat: color });
    chip(piece, printed(weight), [edge, outer + (below ? -15 : 15)], AREAS[i], right);
  });
}

// A number on a patch of a colour; its left or right edge at x.
function chip(piece, text, [x, y], color, fromRight) {
  const { pen } = piece, width = 32;
  pen.fillStyle = color;
  pen.fillRect(fromRight ? x - width : x, y - 8, width, 16);
  write(piece, text, [x + (fromRight ? -width : width) / 2, y], "#000");
}

function drawNearest(piece, { place, neighbours: [{ row, column, level }] }) {
  const { pen, at, cell } = piece, [x, y] = at(column - 0.5, row - 0.5), { grey, color } = greyOf(level);
  line(pen, [at(...place), at(column, row)], FRAME, 2);
  Object.assign(pen, { strokeStyle: FRAME, lineWidth: 4 });
  pen.strokeRect(x + 2, y + 2, cell - 4, cell - 4);
  write(piece, levelText(level), [x + cell / 2, place[1] > row ? y + 14 : y + cell - 13], inkOn(grey), { coat: color });
}

// bicubic: sixteen weights, each the product of one below its column and one beside its row.
function drawCubic(piece, { across, down, neighbours }) {
  const { pen, at, cell, count, left, top, colors } = piece;
  for (const { row, column, weight, level, inside } of neighbours) {
    const [x, y] = at(column, row), { grey, color } = greyOf(level), how = { room: cell - 4, coat: inside ? null : color };
    write(piece, levelText(level), [x, y - 9], inkOn(grey), how);
    write(piece, printed(weight), [x, y + 9], inkOn(grey), how);
  }
  const [x, y] = at(across[0].index - 0.5, down[0].index - 0.5);
  Object.assign(pen, { strokeStyle: FRAME, lineWidth: 2.5 });
  pen.strokeRect(x, y, 4 * cell, 4 * cell);
  const color = (weight) => colors(printed(weight).startsWith("−") ? "accent" : "ink");
  for (const { index, weight } of across)
    write(piece, printed(weight), [at(index, 0)[0], at(0, top + count - 0.5)[1] + FOOT / 2 + 1], color(weight));
  for (const { index, weight } of down)
    write(piece, printed(weight), [at(left + count - 0.5, 0)[0] + 4, at(0, index)[1]], color(weight), { align: "left" });
}
