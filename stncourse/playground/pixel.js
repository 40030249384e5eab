// The tool that asks a pixel: point at one of the output, and see where it looks on the input, how its place comes about,
// and how the colour there is mixed.

import { printed } from "../browser/printed.js";
import { FRAME, sayer, sharpPen } from "../browser/screen.js";
import { readerOf, traced } from "../browser/trace.js";
import { levelText, outsideText, stepsOf, sumLines } from "./arithmetic.js";
import { INPUT, dot, drawPixelAxes, line } from "./panels.js";
import { drawPiece } from "./piece.js";

const PIXEL_STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const ARROWHEAD = 9, LEAST_MARK = 7; // pixels: of the arrow; the least side of the mark around the asked pixel
const SVG = "http://www.w3.org/2000/svg";

const CAPTIONS = {
  bilinear: `The place cuts the square between four centres into four areas. A pixel's weight is the area
    opposite to it: as much as a square of one pixel, laid on the place, would cover of it.`,
  nearest: "The nearest pixel gives its colour, alone.",
  bicubic: "Sixteen pixels. A weight is the number below its column times the number beside its row. Some are negative.",
};

const BELOW_PIXEL = `<div><p class="asks"></p><ol></ol></div>
<div class="around"><figure><canvas class="piece" role="img"></canvas><figcaption></figcaption></figure></div>
<div class="answer"><div class="sums"></div><p class="colour"><span class="patch"></span><span class="grey"></span></p>
<p class="outside"></p><p class="spoken" role="status"></p></div>`;

// `desk`: see playground.js.
export function pixelTool(desk) {
  const output = desk.stage.querySelector("canvas.output");
  const strip = Object.assign(document.createElement("p"), {
    textContent: "Point at a pixel of the output; click or tap to keep it. Arrow keys: the next pixel; Home: the first.",
  });
  const below = Object.assign(document.createElement("div"), { className: "traced", innerHTML: BELOW_PIXEL });
  const answer = answerIn(below), arrow = arrowOver(desk, output);
  let kept = null, pointed = null, now = null; // pixels are { row, column }

  // The pixel that asks, inside the output as large as it is now.
  function asked() {
    const { out_height: height, out_width: width } = desk.state.scene;
    const [row, column] = desk.state.pixel ?? [Math.floor(height / 2), Math.floor(width / 2)];
    kept ??= { row, column };
    const pixel = pointed ?? kept;
    return { row: Math.min(pixel.row, height - 1), column: Math.min(pixel.column, width - 1) };
  }

  // Let a pixel ask; null: the one that was kept. `stays`: whether it is kept when the pointer goes.
  function ask(pixel, stays) {
    pointed = stays ? null : pixel;
    if (stays) kept = pixel;
    desk.refresh();
  }
  listen(output, desk, asked, ask);

  return {
    ruler: true, strip, below,
    enter() {
      output.tabIndex = 0;
      desk.stage.append(arrow.element);
    },
    leave() {
      output.removeAttribute("tabindex");
      output.removeAttribute("aria-description");
      arrow.element.remove();
      pointed = null;
    },
    draw(pen, view, colors) {
      const { row, column } = asked();
      const trace = traced(desk.image(), desk.matrix(), row, column, desk.state.scene);
      now = { row, column, trace, view, colors };
      drawPixelAxes(pen, view, desk.state.scene, colors);
      drawNeighbours(pen, view, trace, desk.state.scene);
    },
    update() {
      arrow.point(now);
      output.setAttribute("aria-description", answer(now, desk));
    },
  };
}

// What mouse, finger and keys do on the output.
function listen(output, desk, asked, ask) {
  const mine = () => desk.state.tool === "pixel" && desk.state.scene;
  const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
  let pressed = null;

  function pixelUnder(event) {
    const { out_height: height, out_width: width } = desk.state.scene, rect = output.getBoundingClientRect();
    return {
      row: within(Math.floor(((event.clientY - rect.top) / rect.height) * height), height),
      column: within(Math.floor(((event.clientX - rect.left) / rect.width) * width), width),
    };
  }

  output.addEventListener("pointerdown", (event) => {
    if (!mine() || event.button !== 0) return;
    pressed = event.pointerId;
    output.setPointerCapture(pressed);
    ask(pixelUnder(event), true);
  });
  output.addEventListener("pointermove", (event) => {
    if (mine() && (event.pointerType !== "touch" || event.pointerId === pressed))
      ask(pixelUnder(event), event.pointerId === pressed);
  });
  const release = (event) => event.pointerId === pressed && (pressed = null);
  output.addEventListener("pointerup", release);
  output.addEventListener("pointercancel", release);
  output.addEventListener("pointerleave", () => mine() && ask(null, false));
  output.addEventListener("keydown", (event) => {
    const step = event.key === "Home" ? [-Infinity, -Infinity] : PIXEL_STEPS[event.key];
    if (!mine() || !step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const { out_height: height, out_width: width } = desk.state.scene, { row, column } = asked();
    ask({ row: within(row + step[0], height), column: within(column + step[1], width) }, true);
  });
}

// The neighbours, outlined on the input, and the place between them.
function drawNeighbours(pen, view, { source, across, down }, { height, width, sampler_align_corners: align }) {
  // A pixel's edges on the ruler, which align_corners stretches so that the outer *centres* are at -1 and 1.
  const edge = (index, count) => (align ? (2 * index - 1) / Math.max(count - 1, 1) - 1 : (2 * index) / count - 1);
  const [left, right] = [across[0].index, across.at(-1).index + 1].map((index) => edge(index, width));
  const [top, bottom] = [down[0].index, down.at(-1).index + 1].map((index) => edge(index, height));
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]].map(view.toPanel);
  line(pen, corners, "#000", 4);
  line(pen, corners, FRAME, 2);
  dot(pen, view.toPanel(source), 3, "#D55E00", "#fff");
}

// The answer in words and numbers, and the enlarged piece: a function ({ row, column, trace, colors }, desk) -> a sentence.
function answerIn(below) {
  const find = (selector) => below.querySelector(selector), say = sayer(find(".spoken"));
  return ({ row, column, trace, colors }, { image, matrix, state: { scene } }) => {
    const [x, y] = trace.place.map((value) => printed(value, 1)), { mode } = scene;
    const question = `Output pixel at column ${column}, row ${row}: “the colour at (${x}, ${y}), please”.`;
    find(".asks").textContent = question;
    find("ol").innerHTML = stepsOf(trace, matrix(), row, column, scene)
      .map(({ text, ...lines }) => {
        const named = ["x", "y"].filter((name) => lines[name]);
        const sums = named.map((name) => `<span class="sum"><b>${name}</b>  ${lines[name]}</span>`);
        return `<li><span class="what">${text}</span>${sums.join("")}</li>`;
      })
      .join("");
    const canvas = find(".piece"), penFor = (width, height) => {
      Object.assign(canvas.style, { width: `${width}px`, aspectRatio: `${width} / ${height}` });
      return sharpPen(canvas, width, height);
    };
    drawPiece(penFor, trace, readerOf(image(), scene), mode, colors);
    find("figcaption").textContent = CAPTIONS[mode];
    find(".sums").innerHTML = sumLines(trace, mode).map((text) => `<span class="sum">${text}</span>`).join("");
    const answer = `grey level ${trace.level}`;
    find(".patch").style.background = `rgb(${trace.level}, ${trace.level}, ${trace.level})`;
    find(".grey").textContent = clampedText(trace, answer);
    find(".outside").textContent = outsideText(trace, scene);
    canvas.setAttribute("aria-label", pieceText(trace, [x, y]));
    const sentence = `${question} The answer: ${answer}.`;
    say(() => sentence);
    return sentence;
  };
}

// bicubic may overshoot.
function clampedText({ sum }, grey) {
  if (sum > 255.5) return `${printed(sum, 0)} is more than white, so ${grey}`;
  return sum < -0.5 ? `${printed(sum, 0)} is less than black, so ${grey}` : grey;
}

function pieceText({ neighbours }, [x, y]) {
  const parts = neighbours.map(({ row, column, weight, level, inside }) => {
    const place = `column ${printed(column, 0)}, row ${printed(row, 0)}${inside ? "" : ", outside"}`;
    return `${place}: grey level ${levelText(level)}, weight ${printed(weight)}`;
  });
  return `The input around (${x}, ${y}), enlarged. ${parts.join("; ")}.`;
}

// The arrow across the panels, from the asked pixel to its place, in an SVG that lies over the stage.
function arrowOver(desk, output) {
  const element = document.createElementNS(SVG, "svg");
  element.setAttribute("class", "asking");
  element.setAttribute("aria-hidden", "true");
  element.innerHTML = `
    <rect class="coat" fill="none" stroke="#fff" stroke-width="5"/>
    <rect class="pixel" fill="none" stroke="#D55E00" stroke-width="2.5"/>
    <line class="coat" stroke="#fff" stroke-width="5"/>
    <path class="coat" fill="#fff" stroke="#fff" stroke-width="3" stroke-linejoin="round"/>
    <line class="arrow" stroke="#D55E00" stroke-width="2.5"/><path class="head" fill="#D55E00"/>`;
  const set = (selector, attributes) => {
    for (const shape of element.querySelectorAll(selector))
      for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  };
  let last = null;

  // Lengths are those of the page: the panels may be scaled, and stand side by side or on each other.
  function point(now) {
    last = now;
    const { row, column, trace, view } = now, { out_height: height, out_width: width } = desk.state.scene;
    const stage = desk.stage.getBoundingClientRect(), board = desk.board.getBoundingClientRect();
    const panel = output.getBoundingClientRect();
    const [x, y] = view.toPanel(trace.source).map((value) => (value * board.width) / INPUT);
    const to = [board.left - stage.left + x, board.top - stage.top + y];
    const [wide, high] = [panel.width / width, panel.height / height];
    const from = [panel.left - stage.left + (column + 0.5) * wide, panel.top - stage.top + (row + 0.5) * high];
    const [a, b] = [Math.max(wide, LEAST_MARK) + 3, Math.max(high, LEAST_MARK) + 3];
    set("rect", { x: from[0] - a / 2, y: from[1] - b / 2, width: a, height: b });
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
    const [u, v] = [0, 1].map((i) => (to[i] - from[i]) / length);
    const rim = Math.min(a / 2 / Math.abs(u), b / 2 / Math.abs(v), length); // where the arrow leaves the pixel's mark
    const neck = [to[0] - ARROWHEAD * u, to[1] - ARROWHEAD * v];
    set("line", { x1: from[0] + rim * u, y1: from[1] + rim * v, x2: neck[0], y2: neck[1] });
    const side = (sign) => `${neck[0] - sign * 0.45 * ARROWHEAD * v} ${neck[1] + sign * 0.45 * ARROWHEAD * u}`;
    set("path", { d: `M ${to[0]} ${to[1]} L ${side(1)} L ${side(-1)} Z` });
  }

  new ResizeObserver(() => last && element.isConnected && point(last)).observe(desk.stage);
  return { element, point };
}
