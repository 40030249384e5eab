// The tool that draws: what is drawn on the pad is the image from there on, and the network follows it.

import { saidIn } from "../browser/language.js";
import { toPixels } from "../browser/stn.js";
import { THICKNESS, inkOf, spoiled, widthOf } from "./ink.js";
import { padOn } from "./pad.js";
import { INPUT, line } from "./panels.js";

const HELP = `Draw on the picture. By keyboard: the arrow keys move the pen (with Shift: less), Space puts it down and
  lifts it, Backspace undoes.`;
const USUAL = 0.62; // on the ruler: half the side of a square for a digit of a size that the network knows well
const EMPTY = { strokes: [], whole: null }; // `whole`: of a drawing that was spoiled, its strokes before

// `desk`: see playground.js.
export function drawingOn(desk) {
  const { state, board } = desk;
  let now = EMPTY, past = [], pixels = null; // the drawing, what it was before each step, and its grey levels
  let stroke = null, thickness = "medium", erases = false, entering = false, followed = false;
  const controls = controlsOf({
    thickness: (chosen) => (thickness = chosen),
    pen: () => choosePen(false),
    eraser: () => choosePen(true),
    undo,
    clear: () => change(EMPTY),
    spoil,
  });
  const pad = padOn(desk, controls.help, { begin, extend, end, undo });

  const isOnShow = () => pixels !== null && pixels.every((level, i) => level === state.images[i]);
  const isBlank = () => !desk.image().some(Boolean);
  const inPixels = ([x, y]) => [toPixels(x, state.scene.width, false), toPixels(y, state.scene.height, false)];

  // Steps

  function put(next) {
    now = next;
    pixels = inkOf(now.strokes, state.scene);
    desk.setImage(pixels);
  }

  function change(next) {
    pad.lift();
    past.push(now);
    put(next);
  }

  function undo() {
    pad.lift();
    if (past.length) put(past.pop());
  }

  function spoil() {
    const whole = now.whole ?? now.strokes; // spoilt again and again, it does not shrink to nothing
    change({ strokes: spoiled(whole, state.scene), whole });
  }

  // Strokes

  function begin(place) {
    if (!followed) desk.follow();
    followed = true;
    stroke = { places: [inPixels(place)], width: widthOf(thickness, state.scene), erases };
    past.push(now);
    put({ strokes: [...now.strokes, stroke], whole: null });
    desk.hold(true); // how much is shown around the image stays as it is
  }

  function extend(places) {
    stroke.places.push(...places.map(inPixels));
    put(now);
  }

  function end() {
    stroke = null;
    desk.hold(false);
  }

  function choosePen(toErase) {
    erases = toErase;
    desk.refresh();
  }

  // Another digit was chosen, or another view of this playground was drawn on.
  function forgetIfGone() {
    if (isOnShow()) return;
    pad.lift();
    [now, past, pixels] = [EMPTY, [], null];
  }

  return {
    strip: controls.strip,
    enter() {
      board.append(pad.element);
      entering = true;
    },
    leave() {
      pad.lift();
      pad.element.remove();
      if (!isOnShow() || now.strokes.length) return;
      pixels = null;
      desk.hear({ image: new Uint8Array() }); // nothing was drawn: the digit again
    },
    draw(pen, view) {
      if (isBlank()) drawInvitation(pen, view);
    },
    update() {
      forgetIfGone();
      if (entering && !pixels && !state.drawn) put(EMPTY);
      entering = false;
      pad.show(widthOf(thickness, state.scene), erases);
      controls.show({ erases, canUndo: past.length > 0, canSpoil: now.strokes.length > 0, held: pad.heldByKeys() });
    },
  };
}

// On an empty pad: about how large a digit is.
function drawInvitation(pen, view) {
  const [a, b] = [-USUAL, USUAL], corners = [[a, a], [b, a], [b, b], [a, b], [a, a]];
  line(pen, corners.map(view.toPanel), "#8a8a8a", 1, [4, 4]);
  Object.assign(pen, { fillStyle: "#c8c8c8", font: "15px system-ui, sans-serif", textAlign: "center" });
  pen.fillText(saidIn(pen.canvas, "draw a digit here"), INPUT / 2, INPUT / 2 + 5);
}

const BUTTONS = { pen: "pen", eraser: "eraser", undo: "undo", clear: "clear", spoil: "spoil it" };

// The strip of buttons. `actions`: what each does, by its name.
function controlsOf(actions) {
  const strip = Object.assign(document.createElement("div"), { className: "drawing" }), buttons = {};
  for (const [name, text] of Object.entries(BUTTONS)) {
    buttons[name] = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    buttons[name].addEventListener("click", () => actions[name]());
  }
  buttons.spoil.title = "turn it, shrink it, move it";
  const label = document.createElement("label"), select = document.createElement("select");
  for (const name of Object.keys(THICKNESS)) select.add(new Option(name, name, false, name === "medium"));
  select.addEventListener("change", () => actions.thickness(select.value));
  label.append("line", select);
  const help = Object.assign(document.createElement("p"), { className: "help", textContent: HELP });
  const said = document.createElement("span"); // for a screen reader; to be seen is the pen
  said.setAttribute("role", "status");
  strip.append(buttons.pen, buttons.eraser, label, buttons.undo, buttons.clear, buttons.spoil, said, help);
  const show = ({ erases, canUndo, canSpoil, held }) => {
    buttons.pen.setAttribute("aria-pressed", !erases);
    buttons.eraser.setAttribute("aria-pressed", erases);
    [buttons.undo.disabled, buttons.spoil.disabled] = [!canUndo, !canSpoil];
    const sentence = held ? "The pen is down." : "";
    if (said.textContent !== sentence) said.textContent = sentence; // said once
  };
  return { strip, help, show };
}
