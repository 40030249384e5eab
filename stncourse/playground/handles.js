// The handles on the frame: buttons that are dragged by mouse or finger, and moved by the arrow keys.

import { signed } from "../browser/printed.js";
import { HANDLES, dragged, placeOn, turned } from "./hand.js";
import { INPUT } from "./panels.js";

export const STEP = 0.05, FINE = 0.01; // of the keys, on the ruler
const TURN = 5, FINE_TURN = 1; // in degrees
const STALK = 26, ROOM = 44; // pixels: the turning handle's distance from the edge; the least length of an edge with a handle
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// θ after an arrow key on a handle; null for another key.
export function nudged(theta, handle, { key, shiftKey, altKey }) {
  const arrow = ARROWS[key];
  if (!arrow) return null;
  if (handle === "turn") return turned(theta, (arrow[0] || arrow[1]) * (shiftKey ? FINE_TURN : TURN));
  const step = shiftKey ? FINE : STEP, from = placeOn(theta, HANDLES[handle].u);
  return dragged(theta, handle, from, [from[0] + step * arrow[0], from[1] + step * arrow[1]], { alt: altKey });
}

// `desk`: see playground.js. `board`: the element over which the input's canvas lies.
export function handlesOn(board, desk) {
  let hold = null; // the drag under way: its handle, where it began, and θ then

  function begin(event, handle) {
    if (hold || desk.state.tool !== "hand") return;
    event.preventDefault();
    board.setPointerCapture(event.pointerId);
    hold = { handle, pointer: event.pointerId, from: placeUnder(event), theta: desk.matrix() };
    desk.hold(true);
    board.classList.add("held");
  }

  function placeUnder(event) {
    const box = board.getBoundingClientRect();
    return desk.view().fromPanel([event.clientX - box.left, event.clientY - box.top].map((v) => (v / box.width) * INPUT));
  }

  board.addEventListener("pointermove", (event) => {
    if (!hold || event.pointerId !== hold.pointer) return;
    const keys = { shift: event.shiftKey, alt: event.altKey };
    desk.moveTo(dragged(hold.theta, hold.handle, hold.from, placeUnder(event), keys), "hand");
  });
  const end = (event) => {
    if (!hold || event.pointerId !== hold.pointer) return;
    hold = null;
    desk.hold(false);
    board.classList.remove("held");
  };
  board.addEventListener("pointerup", end);
  board.addEventListener("pointercancel", end);
  board.addEventListener("pointerdown", (event) => {
    const [x, y] = placeUnder(event), matrix = desk.matrix();
    if (event.target === board || event.target.tagName === "CANVAS") if (isInside(matrix, [x, y])) begin(event, "inside");
  });

  const buttons = Object.entries(HANDLES).map(([handle, { text }]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "handle" });
    button.dataset.handle = handle;
    button.addEventListener("pointerdown", (event) => {
      button.focus({ preventScroll: true });
      begin(event, handle);
      event.stopPropagation();
    });
    button.addEventListener("keydown", (event) => {
      const theta = nudged(desk.matrix(), handle, event);
      if (!theta) return;
      event.preventDefault();
      event.stopPropagation();
      desk.moveTo(theta, "hand");
    });
    board.append(button);
    return { button, handle, text };
  });

  // Put each handle where it lies; those that would lie on each other are hidden.
  return (matrix, view) => {
    const place = (u) => view.toPanel(placeOn(matrix, u)), shown = desk.state.tool === "hand";
    const scale = INPUT / (board.clientWidth || INPUT); // pixels of the panel for one on the page
    for (const { button, handle, text } of buttons) {
      const { u } = HANDLES[handle], at = handle === "turn" ? stalkEnd(place) : apart(place(u), place([0, 0]), handle, STALK * scale);
      const edge = handle !== "inside" && handle !== "turn" && !(u[0] && u[1]);
      const ends = edge ? (u[0] ? [[u[0], -1], [u[0], 1]] : [[-1, u[1]], [1, u[1]]]).map(place) : null;
      button.hidden = !shown || (edge && Math.hypot(ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]) < ROOM * scale);
      [button.style.left, button.style.top] = at.map((v) => `${(100 * Math.min(Math.max(v, 6), INPUT - 6)) / INPUT}%`);
      const [x, y] = placeOn(matrix, u);
      const turn = Math.round((Math.atan2(matrix[3], matrix[0]) * 180) / Math.PI);
      button.setAttribute("aria-label", handle === "turn" ? `${text}, ${turn}°` : `${text}, at x ${signed(x)}, y ${signed(y)}`);
    }
  };
}

// The handles of a small frame stand off its centre, which has a handle of its own.
function apart(at, centre, handle, distance) {
  const away = [at[0] - centre[0], at[1] - centre[1]], length = Math.hypot(...away);
  if (handle === "inside" || length >= distance || length < 1e-6) return at;
  return [0, 1].map((i) => centre[i] + (away[i] * distance) / length);
}

// The turning handle stands off the thick edge, away from the centre.
export function stalkEnd(place) {
  const [top, centre] = [place([0, -1]), place([0, 0])];
  const length = Math.hypot(top[0] - centre[0], top[1] - centre[1]) || 1;
  return [0, 1].map((i) => top[i] + ((top[i] - centre[i]) * STALK) / length);
}

function isInside([a, b, tx, c, d, ty], [x, y]) {
  const determinant = a * d - b * c;
  const [u, v] = [(d * (x - tx) - b * (y - ty)) / determinant, (a * (y - ty) - c * (x - tx)) / determinant];
  return Math.max(Math.abs(u), Math.abs(v)) <= 1;
}
