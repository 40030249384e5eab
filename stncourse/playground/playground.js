// The θ playground itself, in a notebook and in a page alike: the input with the frame on it, to be dragged; the output; what
// the network says; and the tools. Its owner (theta.js, page.js) tells it what to show, and hears of every move.

import { answer, chooseTheta } from "../browser/network.js";
import { IDENTITY, invert, words } from "../browser/pose.js";
import { printed } from "../browser/printed.js";
import { FRAME, colorsOf, followTheme, glide, onceAFrame, sayer, sharpPen } from "../browser/screen.js";
import { sampled } from "../browser/stn.js";
import { answersIn } from "./answers.js";
import { drawingOn } from "./drawing.js";
import { placeOn, reachFor, within } from "./hand.js";
import { handlesOn, stalkEnd } from "./handles.js";
import { INPUT, drawColumns, drawFrame, drawImage, drawOutput, drawRuler, line, viewOf } from "./panels.js";
import { pixelTool } from "./pixel.js";
import { pullOn } from "./pull.js";
import { STYLE } from "./style.js";

const HAND = `Drag the frame, a corner, an edge, or the round handle, which turns it. Shift: one direction only, the same proportions,
  steps of 15°. Alt on an edge: shear. Or Tab to a handle, then the arrow keys.`;

function helpOf(text) {
  return Object.assign(document.createElement("p"), { className: "help", textContent: text });
}

// What a tool is: text (of its button); and, as far as it has them, a function of the desk that makes { strip, below: elements
// of its own; enter, leave: called when it is chosen, and no more; interrupt: called when another image comes, or the network looks;
// draw(pen, view, colors): over the input; update(): after each drawing }.
const TOOLS = {
  hand: { text: "move the frame", make: () => ({ strip: helpOf(HAND) }) },
  draw: { text: "draw a digit", make: drawingOn },
  pull: { text: "pull", make: pullOn },
  pixel: { text: "ask a pixel", make: pixelTool },
};

const MARKUP = `<style>${STYLE}</style>
<div class="tools"></div><div class="looks"></div><div class="strip"></div>
<div class="stage">
  <figure><div class="board"><canvas class="input" role="img"></canvas></div><figcaption>input</figcaption></figure>
  <div class="out"><figure><canvas class="output" role="img"></canvas><figcaption>output</figcaption></figure>
    <div class="answering"></div></div>
</div>
<div class="more"></div>
<div class="matrix"></div><p class="sentence"></p><p class="spoken" role="status"></p>
<div class="below"></div>`;

// `names`: of the classes, for the bars. `network`: see network.js; or null. `tools`: which of TOOLS; `tool`: the one to start with.
// `pixel`: [row, column] of the output pixel to ask first. `follow`: whether the network's θ is taken for each image. `matrix`: whether θ's numbers are shown.
// `hear`: a function that is told { theta, by, … } or { image }.
export function playgroundIn(root, options) {
  const { names = [], network = null, tools = ["hand"], tool = tools[0], follow = false, pixel = null } = options;
  const { matrix: numbers = true, hear = () => {} } = options;
  root.innerHTML = MARKUP;
  root.classList.add("stn", "stn-theta");
  // No shortcut of JupyterLab may take the arrow keys for itself: some look at the control in focus, not around it.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("focusin", ({ target }) => (target.dataset.lmSuppressShortcuts = "true"));
  const find = (selector) => root.querySelector(selector);
  const [board, inputCanvas, outputCanvas] = [".board", "canvas.input", "canvas.output"].map(find);
  const showAnswers = names.length ? answersIn(find(".answering"), names) : null;
  const state = {
    scene: null, images: null, label: null, theta: IDENTITY, tool, follow, ruler: false, network,
    levels: null, probabilities: null, pixel, reach: 1.5, held: false, problem: "",
  };
  const refresh = onceAFrame(draw), speak = sayer(find(".spoken"));
  let last = IDENTITY, stopGliding = () => {}, gliding = false;

  const desk = {
    state, root, board, stage: find(".stage"), names, hear, refresh,
    // Something else than the network decides from now on where the frame is.
    unfollow() {
      stand();
      setFollow(false);
    },
    // θ as it goes into the grid: output → input. Where the other direction is asked for and has no inverse: the last one.
    matrix: () => (last = (state.scene.inverse ? invert(state.theta) : state.theta) ?? last),
    view: () => viewOf(state.scene, state.reach),
    image: () => state.images.subarray(0, state.scene.height * state.scene.width),
    hold(held) {
      state.held = held;
      refresh();
    },
    // Move the frame. `by`: "hand", "STN" or "pull". `more`: what the owner is to hear besides.
    moveTo(matrix, by, more = {}) {
      if (by !== "STN") stand();
      if (by === "hand") {
        setFollow(false);
        if (state.held) matrix = within(desk.matrix(), matrix, state.reach, state.scene);
      }
      const theta = state.scene.inverse ? invert(matrix) : matrix;
      if (!theta || theta.some((value) => !(Math.abs(value) <= 1e6))) return;
      state.problem = "";
      state.theta = Array.from(theta, (value) => Math.round(1e6 * value) / 1e6);
      hear({ theta: state.theta, by, ...more });
      refresh();
    },
    // The network follows from now on, from the next image: no glide.
    follow() {
      if (network) state.follow = followBox.checked = true;
    },
    // Another image in place of the first: a drawing.
    setImage(pixels) {
      if (state.follow) stand();
      state.images = Uint8Array.from([...pixels, ...state.images.subarray(pixels.length)]);
      state.label = null;
      hear({ image: pixels });
      if (state.follow) desk.moveTo(wanted(), "STN");
      refresh();
    },
    // The network looks: the frame glides to where it wants it. `asked`: the reader lets it look at what they have done.
    look(asked = true) {
      stand();
      made[state.tool].interrupt?.();
      const from = desk.matrix(), to = wanted(), before = state.theta;
      state.problem = to.every(Number.isFinite) ? "" : "What the network chose is not six numbers: it cannot be shown.";
      if (state.problem) return refresh();
      gliding = true;
      stopGliding = glide(450, (share) => {
        if (share === 1) {
          stand();
          return desk.moveTo(to, "STN", asked ? { look: true, before } : {});
        }
        const between = from.map((value, i) => value + share * (to[i] - value));
        state.theta = (state.scene.inverse ? invert(between) : between) ?? state.theta;
        refresh();
      });
    },
  };

  function stand() {
    stopGliding();
    gliding = false;
  }

  // Where the network wants the frame; on an empty image, nowhere.
  function wanted() {
    const image = desk.image();
    return image.some(Boolean) ? Array.from(chooseTheta(network, image)) : IDENTITY;
  }

  // Controls

  const bar = find(".tools");
  const toolButtons = tools.map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: TOOLS[name].text });
    button.addEventListener("click", () => choose(name));
    if (tools.length > 1) bar.append(button);
    return [name, button];
  });
  const made = Object.fromEntries(tools.map((name) => [name, { ...TOOLS[name], ...TOOLS[name].make?.(desk) }]));
  const looks = find(".looks");
  const check = (text, checked, changed) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "checkbox", checked });
    input.addEventListener("change", () => changed(input.checked));
    label.append(input, text);
    looks.append(label);
    return input;
  };
  let followBox = null;
  if (network) {
    const look = Object.assign(document.createElement("button"), { type: "button", textContent: "let the STN look" });
    look.addEventListener("click", () => desk.look());
    looks.append(look);
    followBox = check("follow", follow, setFollow);
  }
  const rulerBox = check("ruler", false, (on) => {
    state.ruler = on;
    refresh();
  });

  function setFollow(on) {
    if (!network || state.follow === on) return;
    state.follow = followBox.checked = on;
    if (on) desk.look(false);
  }

  function choose(name) {
    made[state.tool].leave?.();
    state.tool = root.dataset.tool = name;
    for (const [other, button] of toolButtons) button.setAttribute("aria-pressed", other === name);
    rulerBox.parentNode.style.display = made[name].ruler ? "none" : ""; // there it is always drawn
    find(".strip").replaceChildren(...(made[name].strip ? [made[name].strip] : []));
    find(".below").replaceChildren(...(made[name].below ? [made[name].below] : []));
    made[name].enter?.();
    tellOfHelp();
    refresh();
  }

  // The arrows of "pull" tell where to go: what the reader does with this digit from here on is not theirs alone.
  function tellOfHelp() {
    if (state.tool === "pull" && network && state.scene) hear({ by: "pull" });
  }

  const placeHandles = handlesOn(board, desk);
  followTheme(root, refresh);
  // Where there is room, what a tool says stands beside the picture.
  new ResizeObserver(() => root.classList.toggle("wide", root.clientWidth >= 900)).observe(root);

  // Drawing

  function draw() {
    if (!state.scene) return; // the owner has not told yet what to show
    const { scene, images } = state, matrix = desk.matrix(), colors = colorsOf(root), size = scene.height * scene.width;
    if (!state.held) state.reach = reachFor(matrix, scene);
    const view = desk.view(), pen = sharpPen(inputCanvas, INPUT, INPUT), tool = made[state.tool];
    drawImage(pen, desk.image(), scene, view, colors);
    if (state.ruler || tool.ruler) drawRuler(pen, view, colors);
    drawFrame(pen, matrix, view, FRAME, { dots: state.tool !== "draw" });
    if (state.tool === "hand") {
      const place = (u) => view.toPanel(placeOn(matrix, u));
      line(pen, [place([0, -1]), stalkEnd(place)], FRAME, 2);
      drawColumns(pen, matrix, view, colors);
    }
    tool.draw?.(pen, view, colors);
    placeHandles(matrix, view);
    state.levels = sampled(desk.image(), matrix, scene);
    drawOutput(outputCanvas, state.levels, scene);
    drawMore(matrix, images.subarray(size), size, colors);
    say(matrix);
    answers();
    tool.update?.();
    outputCanvas.dataset.theta = state.theta; // for whoever wants to know what is drawn
  }

  // The other digits, each in a small row of its own.
  function drawMore(matrix, images, size, colors) {
    const more = find(".more"), count = images.length / size;
    while (more.children.length > count) more.lastChild.remove();
    while (more.children.length < count) {
      const row = Object.assign(document.createElement("div"), { className: "small" });
      row.innerHTML = '<canvas class="input" role="img"></canvas><canvas class="output" role="img"></canvas>';
      more.append(row);
    }
    [...more.children].forEach(({ children: [input, output] }, i) => {
      const image = images.subarray(i * size, (i + 1) * size), pen = sharpPen(input, INPUT, INPUT);
      drawImage(pen, image, state.scene, desk.view(), colors);
      drawFrame(pen, matrix, desk.view());
      drawOutput(output, sampled(image, matrix, state.scene), state.scene);
      input.setAttribute("aria-label", `input ${i + 2}, through the same frame`);
      output.setAttribute("aria-label", `output ${i + 2}`);
    });
  }

  function say(matrix) {
    const singular = state.scene.inverse && !invert(state.theta);
    const empty = !desk.image().some(Boolean);
    const sentence = state.problem || (singular
      ? "This θ has no inverse: the picture is still that of the last one that has."
      : empty ? "There is no digit yet." : words(matrix));
    if (numbers) find(".matrix").innerHTML = matrixHtml(state.theta, state.scene.inverse);
    find(".sentence").textContent = sentence;
    outputCanvas.setAttribute("aria-label", `Output. ${sentence}`);
    const [x, y] = placeOn(matrix, [0, 0]).map((value) => printed(value));
    inputCanvas.setAttribute("aria-label", `Input, and the frame through which θ looks at it, its middle at x ${x}, y ${y}.`);
    speak(() => `${sentence} ${find(".verdict")?.textContent ?? ""}`.trim());
  }

  function answers() {
    if (!showAnswers || !network) return;
    const fits = [state.scene.out_height, state.scene.out_width].every((side) => side === network.outputSize);
    const empty = !desk.image().some(Boolean), side = network.outputSize;
    const answers = fits && !empty ? Array.from(answer(network, state.levels), Math.exp) : null;
    state.probabilities = answers?.every(Number.isFinite) ? answers : null;
    const why = empty ? "There is nothing to read yet." : fits ? "The classifier's answer is no number." : `The classifier wants an output of ${side}×${side} pixels.`;
    showAnswers(state.probabilities, state.label, why);
  }

  choose(state.tool);
  return {
    desk,
    // What to show from now on: any of scene, images, theta, label; `drawn`: whether the first image is a drawing.
    show(news) {
      const first = !state.images, theta = gliding ? null : news.theta; // the owner hears of a glide when it ends
      const another = !first && Boolean(news.images?.some((value, i) => value !== state.images[i]));
      if (another) {
        stand();
        made[state.tool].interrupt?.();
        state.problem = "";
      } else if (theta?.some((value, i) => Math.abs(value - state.theta[i]) > 1e-4)) {
        state.problem = "";
        if (!first) setFollow(false);
      }
      Object.assign(state, news, { theta: (another && news.theta) || theta || state.theta });
      // A drawing that comes from the owner is another view's, which moves the frame itself.
      if (state.follow && (first || (another && !state.drawn))) desk.moveTo(wanted(), "STN");
      if (another) tellOfHelp();
      draw(); // at once: the owner asks once a frame
    },
  };
}

// θ as a matrix, its columns in the colours of the arrows; what differs from the identity is bold and underlined.
function matrixHtml(theta, inverse) {
  const columns = inverse ? ["", "", ""] : ["first", "second", ""];
  const cells = theta.map((value, i) => {
    const moved = Math.abs(value - IDENTITY[i]) > 1e-6 ? " moved" : "";
    return `<td class="${columns[i % 3]}${moved}">${printed(value)}</td>`;
  });
  const rows = `<tr>${cells.slice(0, 3).join("")}</tr><tr>${cells.slice(3).join("")}</tr>`;
  const key = inverse ? "" : '<span class="key"><span class="first">→ half the top edge</span>, <span class="second">⇢ half the left edge</span>, <span>● centre</span></span>';
  return `<span>θ =</span><table aria-label="θ">${rows}</table>${key}`;
}
