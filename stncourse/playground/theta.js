// The θ playground in a notebook: an anywidget beside ipywidgets' own sliders, whose moves it hears before the kernel does. It
// draws without the kernel, and so follows the hand also while a cell trains. scene.py and picture.py do the same in Python;
// tests/browser compares them.

import { speak } from "../browser/language.js";
import { networkOf } from "../browser/network.js";
import { NAMES, compose, decompose } from "../browser/pose.js";
import { bytes, onceAFrame } from "../browser/screen.js";
import { playgroundIn } from "./playground.js";

async function render({ model, el }) {
  speak(el, model.get("words"));
  const find = (reference) => model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""));
  const sliders = await Promise.all(model.get("sliders").map(find));
  const { scale, ...options } = model.get("start");
  const network = scale ? networkOf(bytes(model, "weights"), scale) : null;
  // The last thing that the hand did here, until the kernel's scene has heard of it: θ, and the sliders' values then.
  let number = 0, hand = null, sketch = 0, shown = model.get("scene").digit; // the number of the digit on show
  const playground = playgroundIn(el, { ...options, network, hear });
  const values = () => sliders.map((slider) => slider.get("value"));
  const movedFrom = (base) => values().map((value, i) => Math.abs(value - base.sliders[i]) > 1e-6);

  function hear({ theta, image, ...more }) {
    const before = model.get("hand"); // of whatever view
    number = (before.number ?? 0) + 1;
    if (image) {
      sketch = number;
      model.set("drawing", new DataView(Uint8Array.from(image).buffer));
    }
    if (theta) hand = { theta, sliders: values(), parameters: Object.values(decompose(theta) ?? {}) };
    // While the kernel is busy, only the last word reaches it: a drawing must not swallow the move before it.
    theta ??= hand && !movedFrom(hand).includes(true) ? hand.theta : null;
    model.set("hand", { theta, number, sketch: image ? number : (before.sketch ?? 0), digit: shown, ...more });
    model.save_changes();
  }

  // A slider that the kernel moves after the hand is behind the hand; one that the reader moves is ahead of it.
  const sliderMoved = (slider, i) => {
    if (slider._state_lock) {
      if (hand) hand.sliders[i] = slider.get("value");
      return update();
    }
    playground.desk.unfollow();
    show(); // at once: a hand is waiting
  };

  const show = () => {
    const scene = model.get("scene");
    if (hand && scene.heard >= number) hand = null;
    // The scene is the kernel's last word, and may be older than the sliders: what has moved since counts.
    const base = hand ?? scene, moved = movedFrom(base);
    const value = (i) => (moved[i] ? sliders[i].get("value") : (base.parameters[i] ?? scene.parameters[i]));
    const theta = moved.includes(true)
      ? compose(Object.fromEntries(NAMES.map((name, i) => [name, value(i)])))
      : base.theta;
    const news = { scene, theta };
    const { label, sketch: drawn } = scene;
    if (drawn >= sketch) Object.assign(news, { images: bytes(model, "images"), label, drawn: drawn && label === null });
    shown = scene.digit;
    playground.show(news);
  };
  const update = onceAFrame(show);

  const moves = sliders.map((slider, i) => () => sliderMoved(slider, i));
  model.on("change:scene", update);
  model.on("change:images", update);
  sliders.forEach((slider, i) => slider.on("change:value", moves[i]));
  update();
  return () => sliders.forEach((slider, i) => slider.off("change:value", moves[i]));
}

export default { render };
