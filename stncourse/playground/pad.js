// The pad that lies over the input while the reader draws: mouse, finger and keyboard move its pen.

import { pixelCenter } from "../browser/stn.js";
import { ARROWS, FINE, STEP } from "./handles.js";
import { INPUT } from "./panels.js";

const PAD = "Pad to draw a digit on"; // its name
let pads = 0;

// `desk`: see playground.js. `help`: the element that says how to draw. The others are told of the pen: begin(place),
// extend(places), end(); and undo(). A place is [x, y] on the input's ruler, always on the image.
export function padOn(desk, help, { begin, extend, end, undo }) {
  const element = padElement(help);
  // Where the pen is; what holds it down: a pointer's id, or "keys"; its width in pixels.
  let nib = [0, 0], by = null, side = 0;

  function lower(holder) {
    lift();
    by = holder;
    element.classList.add("down");
    begin(nib);
  }

  function lift() {
    if (by === null) return;
    by = null;
    element.classList.remove("down");
    end();
  }

  function placeNib() {
    const view = desk.view(), [x, y] = view.toPanel(nib), { style } = element.firstChild;
    const wide = (2 * view.wide * side) / desk.state.scene.width;
    [style.left, style.top, style.width] = [x, y, wide].map((value) => `${(100 * value) / INPUT}%`);
  }

  function moveTo(places) {
    nib = places[places.length - 1];
    if (by === null) placeNib();
    else extend(places);
  }

  function placeUnder({ clientX, clientY }) {
    const box = element.getBoundingClientRect();
    return desk.view().fromPanel([clientX - box.left, clientY - box.top].map((value) => (value / box.width) * INPUT));
  }

  element.addEventListener("pointerdown", (event) => {
    const place = placeUnder(event);
    if (event.button || typeof by === "number" || place.some((value) => Math.abs(value) > 1)) return;
    element.setPointerCapture(event.pointerId);
    nib = onImage(place, desk.state.scene);
    lower(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (by !== null && by !== event.pointerId) return;
    const events = event.getCoalescedEvents?.() ?? [];
    moveTo((events.length ? events : [event]).map((each) => onImage(placeUnder(each), desk.state.scene)));
  });
  for (const name of ["pointerup", "pointercancel"])
    element.addEventListener(name, (event) => event.pointerId === by && lift());

  // What a key does; undefined for a key that is not the pad's.
  function actionOf({ key, shiftKey, repeat }) {
    const arrow = ARROWS[key], step = shiftKey ? FINE : STEP;
    if (arrow) return () => moveTo([onImage(nib.map((value, axis) => value + step * arrow[axis]), desk.state.scene)]);
    if (key === " ") return () => repeat || (by === null ? lower("keys") : lift());
    if (key === "Escape" && by !== null) return lift;
    return key === "Backspace" ? undo : undefined;
  }
  element.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : actionOf(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  element.addEventListener("blur", lift);

  return {
    element,
    lift,
    heldByKeys: () => by === "keys",
    // Show the pen, of this width in pixels, where it is.
    show(width, erases) {
      side = width;
      element.classList.toggle("erases", erases);
      placeNib();
    },
  };
}

// The nearest place on the image: on, or between, the centres of its pixels.
function onImage(place, { height, width }) {
  return place.map((value, axis) => {
    const edge = -pixelCenter(0, axis ? height : width, false);
    return Math.min(Math.max(value, -edge), edge);
  });
}

function padElement(help) {
  const element = Object.assign(document.createElement("div"), { className: "pad", tabIndex: 0 });
  element.innerHTML = '<span class="nib"></span>';
  help.id = `stn-pad-${(pads += 1)}`;
  // It takes keys that a screen reader would keep for itself: hence an application.
  const attributes = { role: "application", "aria-label": PAD, "aria-describedby": help.id };
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
