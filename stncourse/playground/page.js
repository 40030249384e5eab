// The θ playground in a page without Python, with controls of the page's own: see page.py.

import { NAMES, compose } from "../browser/pose.js";
import { onceAFrame } from "../browser/screen.js";
import { pictureIn } from "./theta.js";

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
