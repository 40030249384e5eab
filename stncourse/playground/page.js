// The θ playground in a page without Python, with controls of the page's own: see page.py. Where a page has several, each names the
// `groups` of controls it has ("theta" too), the `first` θ, the `index` of the first digit, and the `count` of digits at once.

import { speak } from "../browser/language.js";
import { networkOf } from "../browser/network.js";
import { IDENTITY, NAMES, compose, decompose } from "../browser/pose.js";
import { printed } from "../browser/printed.js";
import { playgroundIn } from "./playground.js";

const GROUPS = ["presets", "sliders", "digit", "sampling"];
const ENTRIES = ["θ11", "θ12", "tx", "θ21", "θ22", "ty"];

const decoded = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

export function pageIn(root, { digits, labels, weights, start, sliders, presets, paddings, scene, words, ...options }) {
  speak(root, words);
  const { groups = GROUPS, first = IDENTITY, index = 0, count = 1 } = options;
  const picture = document.createElement("div"), controls = document.createElement("form");
  root.append(picture, ...(groups.length ? [controls] : []));
  const { scale, ...about } = start, network = scale && networkOf(decoded(weights), scale);
  const all = decoded(digits), pixels = scene.height * scene.width;
  const playground = playgroundIn(picture, { ...about, network, hear });
  const matrix = Object.assign(document.createElement("div"), { className: "entries" }); // its six numbers stand as in θ
  const add = (group, text, input) => {
    const label = document.createElement("label");
    const name = document.createElement("span");
    name.textContent = text;
    label.append(name, input);
    if (groups.includes(group)) (group === "theta" ? matrix : controls).append(label);
    return input;
  };
  const select = (group, text, options) => {
    const input = add(group, text, document.createElement("select"));
    for (const option of options) input.add(new Option(option, option));
    return input;
  };
  const input = (group, text, attributes) =>
    add(group, text, Object.assign(document.createElement("input"), attributes));

  const digit = input("digit", "digit no.", { type: "number", min: 0, max: all.length / pixels - 1, value: index });
  const preset = select("presets", "preset", ["choose …", ...Object.keys(presets)]);
  const inputs = sliders.map(({ text, min, max, step, value }) => {
    const slider = input("sliders", text, { type: "range", min, max, step, value });
    slider.after(Object.assign(document.createElement("span"), { className: "value" }));
    return slider;
  });
  const entries = ENTRIES.map((name) => input("theta", name, { type: "number", step: 0.05, className: "entry" }));
  if (groups.includes("theta")) controls.append(matrix);
  const direction = select("sampling", "θ maps", ["output → input", "input → output"]);
  const padding = select("sampling", "outside", Object.keys(paddings));
  const mode = select("sampling", "sampling", ["bilinear", "nearest", "bicubic"]);
  const size = input("sampling", "output px", { type: "number", min: 1, max: 112, value: scene.out_height });
  const gridAlign = input("sampling", "align_corners of the grid", { type: "checkbox" });
  const samplerAlign = input("sampling", "align_corners of the sampler", { type: "checkbox" });
  [padding.value, mode.value, direction.selectedIndex] = [scene.padding, scene.mode, scene.inverse ? 1 : 0];
  [gridAlign.checked, samplerAlign.checked] = [scene.grid_align_corners, scene.sampler_align_corners];

  // What the sliders stand for, exactly: a slider can only be on its steps.
  let parameters = sliders.map(({ value }) => value), theta = first;
  function named(values) {
    return Object.fromEntries(NAMES.map((name, i) => [name, values[i]]));
  }
  function hear(event) {
    if (event.theta) put(event.theta);
    if (event.image?.length === 0) show(true); // nothing was drawn
  }
  function put(to) {
    theta = to;
    const found = decompose(to);
    if (found) parameters = NAMES.map((name) => found[name]);
    showNumbers();
  }
  function showNumbers() {
    inputs.forEach((slider, i) => {
      if (Math.abs(Number(slider.value) - parameters[i]) > slider.step / 2) slider.value = parameters[i];
      slider.nextSibling.textContent = printed(parameters[i], slider.step < 1 ? 2 : 0);
    });
    entries.forEach((entry, i) => {
      if (entry !== document.activeElement) entry.value = Math.round(1e4 * theta[i]) / 1e4;
    });
    preset.selectedIndex = 0;
  }

  const whole = ({ min, max, value }) => Math.round(Math.min(Math.max(value, min), max)); // whatever is typed
  const show = (withImages) => {
    const number = whole(digit), outputSide = whole(size) || 1;
    const now = {
      ...scene, ...paddings[padding.value], mode: mode.value, inverse: direction.selectedIndex === 1,
      grid_align_corners: gridAlign.checked, sampler_align_corners: samplerAlign.checked,
      ...(outputSide === scene.out_height ? {} : { out_height: outputSide, out_width: outputSide }), // else as it was, square or not
    };
    const images = { images: all.slice(number * pixels, (number + count) * pixels), label: labels ? labels[number] : null };
    playground.show({ scene: now, theta, ...(withImages ? images : {}) });
  };
  preset.addEventListener("input", () => {
    const chosen = preset.selectedIndex, values = presets[preset.value];
    if (!values) return;
    playground.desk.unfollow();
    put(compose(named(values)));
    preset.selectedIndex = chosen;
  });
  controls.addEventListener("input", ({ target }) => {
    const moved = inputs.indexOf(target);
    if (moved >= 0) {
      playground.desk.unfollow();
      parameters[moved] = Number(target.value);
      theta = compose(named(parameters));
      showNumbers();
    }
    const typed = entries.map(({ value }) => (value === "" ? NaN : Number(value)));
    if (entries.includes(target) && typed.every((value) => Math.abs(value) <= 1e6)) {
      playground.desk.unfollow();
      put(typed);
    }
    show(target === digit);
  });
  controls.addEventListener("change", ({ target }) => {
    if (entries.includes(target)) showNumbers();
    else if (target.type === "number") target.value = whole(target); // what was taken
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  put(first);
  show(true);
}
