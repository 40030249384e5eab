// The tool "pull": how a loss tells θ where to go. Small arrows, the slopes by the places where the output looks; large ones,
// what they add up to at the frame's corners; and gradient descent on θ alone.

import { ask, placesOf } from "../browser/network.js";
import { printed } from "../browser/printed.js";
import { FRAME, prefersStill } from "../browser/screen.js";
import { HIGH, WIDE, curveOf } from "./curve.js";
import { descentFrom, endOf, notTheNetworks, pulledAt, stepDown, strongest } from "./descent.js";
import { placeOn } from "./hand.js";
import { arrow, dot, line } from "./panels.js";

const STEP_SIZES = [0.0005, 0.002, 0.005, 0.02], USUAL_STEP = 0.002; // the usual one: of notebook 05
const LET_GO = 400, A_SECOND = 80, A_FRAME = 4; // steps: of one "let go"; and no more in a second, in a frame of the screen
const SMALL = { count: 120, longest: 34, most: 50_000 }, LARGE = { longest: 52, most: 500 }; // arrows: pixels, magnification
const BLUE = "#2088c8"; // of the small ones: to be seen on black and on white
const CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1]];

const STRIP = `<label>become <select class="target"></select></label>
<label>step size <select class="step-size"></select></label>
<button type="button" class="one">one step</button><button type="button" class="go">let go</button>
<button type="button" class="back">back to the start</button>`;
const BELOW = `<p class="needs"></p><div class="lesson">
<p class="arrows"></p>
<div class="numbers"><div>
  <p><span class="count"></span> small pulls add up to six numbers, the slopes of the loss:</p>
  <div class="six">∂loss/∂θ = <table aria-label="slopes of the loss by θ"></table></div><p class="loss"></p>
</div><figure><figcaption></figcaption><svg viewBox="0 0 ${WIDE} ${HIGH}" role="img"></svg></figure></div>
<p class="now"></p><p class="ending" role="status"></p></div>`;

const percent = (p) => (p > 0.995 || p < 0.005 ? (100 * p).toFixed(1) : (100 * p).toFixed(0)) + " %";
const inRoundNumbers = (value) => Number(value.toPrecision(2)).toLocaleString("en");

const sentenceOf = (end, sure) =>
  ({
    arrived: `Arrived: the classifier is ${sure}.`,
    black: "The frame sees only black: no slope, no step.",
    flat: "No slope here in any of the six numbers: no step.",
    bottom: `It hardly gets any surer now: ${sure}.`,
    stuck: `Stuck: the last steps went only to and fro, over a kink or across a narrow valley. It is only ${sure}.`,
    paused: `${LET_GO} steps are done: ${sure}. It still gets surer; let go again to go on.`,
  })[end] ?? "";

export function pullOn(desk) {
  const strip = Object.assign(document.createElement("div"), { className: "pull-strip", innerHTML: STRIP });
  const below = Object.assign(document.createElement("div"), { className: "pull", innerHTML: BELOW });
  const part = (name) => strip.querySelector(`.${name}`) ?? below.querySelector(`.${name}`);
  const { network } = desk.state;
  let descent = null, put = null, target = null, ending = null, running = null;

  desk.names.forEach((name, i) => part("target").add(new Option(name, i)));
  for (const size of STEP_SIZES) part("step-size").add(new Option(size, size, size === USUAL_STEP, size === USUAL_STEP));
  const stepSize = () => Number(part("step-size").value);
  const sure = () => `${percent(Math.exp(-descent.now.loss))} sure of “${desk.names[target]}”`;
  const needs = () => notTheNetworks(desk.state.scene, network);

  // The descent goes on only while all is as it left it: the image, what it shall become, and θ.
  function follow() {
    const image = desk.image(), { theta, label } = desk.state;
    const another = !descent || descent.image.some((value, i) => value !== image[i]);
    if (another) target = label ?? likeliest(image);
    const moved = !put || put.some((value, i) => Math.abs(value - theta[i]) > 1e-6);
    if (!another && !moved && descent.label === target) return;
    stop();
    begin(desk.matrix());
    put = [...theta];
  }

  function likeliest(image) {
    const answers = ask(network, image, desk.matrix()).logProbabilities;
    return answers.indexOf(Math.max(...answers));
  }

  function begin(theta) {
    descent = descentFrom(network, desk.image().slice(), theta, target);
    ending = null;
  }

  function publish() {
    desk.moveTo(descent.theta, "pull");
    put = [...desk.state.theta];
  }

  // Steps

  function stop(end = null) {
    if (running) cancelAnimationFrame(running.frame);
    running = null;
    ending = end;
    desk.refresh();
  }

  function steps(count) {
    for (let i = 0; i < count; i++) {
      const end = running.made === LET_GO ? "paused" : endOf(descent);
      if (end) return end;
      stepDown(descent, stepSize());
      running.made += 1;
    }
    return null;
  }

  function tick(now) {
    follow();
    if (!running) return;
    if (desk.state.tool !== "pull" || !desk.root.isConnected || needs().length) return stop();
    const due = Math.floor(((now - running.begun) * A_SECOND) / 1000) - running.made;
    const end = steps(running.still ? 10 * A_FRAME : Math.min(Math.max(due, 0), A_FRAME));
    if (!running.still || end) publish();
    if (end) return stop(end);
    running.frame = requestAnimationFrame(tick);
  }

  function letGo() {
    if (running) return stop();
    desk.unfollow();
    follow(); // the frame may have been on its way elsewhere
    descent.since = descent.losses.length - 1;
    ending = null;
    running = { made: 0, begun: performance.now(), still: prefersStill() }; // who prefers no motion sees only the end
    running.frame = requestAnimationFrame(tick);
    desk.refresh();
  }

  part("go").addEventListener("click", letGo);
  part("one").addEventListener("click", () => {
    stop();
    desk.unfollow();
    follow(); // the frame may have been on its way elsewhere
    descent.since = descent.losses.length - 1;
    const end = endOf(descent);
    if (end === "black" || end === "flat") return stop(end);
    stepDown(descent, stepSize());
    publish();
    stop(endOf(descent));
  });
  part("back").addEventListener("click", () => {
    stop();
    desk.unfollow();
    begin(descent.path[0]);
    publish();
  });
  part("target").addEventListener("change", ({ target: { value } }) => {
    target = Number(value);
    desk.refresh();
  });

  // What is seen

  function draw(pen, view, colors) {
    if (needs().length) return;
    follow();
    drawTrace(pen, view, descent.path);
    below.querySelector(".arrows").innerHTML = arrowsSay(drawPulls(pen, view, descent, stepSize(), colors));
  }

  function update() {
    const missing = needs();
    part("needs").textContent = missing.length
      ? `To pull, the frame must see as the network does. Please set: ${missing.join("; ")}.` : "";
    below.querySelector(".lesson").hidden = missing.length > 0;
    for (const control of strip.querySelectorAll("button, select")) control.disabled = missing.length > 0;
    if (missing.length) return stopQuietly();
    const made = descent.losses.length - 1, name = desk.names[target];
    part("target").value = target;
    part("go").textContent = running ? "stop" : "let go";
    part("back").disabled = made === 0;
    part("count").textContent = network.outputSize ** 2;
    below.querySelector("table").innerHTML = [0, 3].map((k) =>
      `<tr>${[0, 1, 2].map((i) => `<td>${printed(descent.now.byTheta[k + i])}</td>`).join("")}</tr>`).join("");
    part("loss").textContent = `loss = −log(how sure of it) = ${printed(descent.now.loss, 3)}`;
    const probabilities = descent.losses.map((loss) => Math.exp(-loss)), first = percent(probabilities[0]);
    below.querySelector("figcaption").textContent = `how sure of “${name}”`;
    const curve = below.querySelector("svg"), word = made === 1 ? "step" : "steps";
    curve.innerHTML = curveOf(probabilities);
    curve.setAttribute("aria-label", `How sure of “${name}”, against steps: ${first} at the start, ${sure()} after ${made} ${word}.`);
    part("now").textContent = made ? `After ${made} ${word}: ${sure()}. At the start: ${first}.` : `At the start: ${sure()}.`;
    const sentence = running ? "" : sentenceOf(ending, sure());
    if (part("ending").textContent !== sentence) part("ending").textContent = sentence; // it is spoken when it changes
  }

  function stopQuietly() {
    if (running) cancelAnimationFrame(running.frame);
    running = null;
  }

  return { strip, below, draw, update, leave: stopQuietly, interrupt: stop, enter: desk.refresh };
}

// Earlier frames, faintly, and the path of the frame's middle.
function drawTrace(pen, view, path) {
  if (path.length < 2) return;
  const place = (theta, u) => view.toPanel(placeOn(theta, u)), between = Math.max(1, Math.ceil(path.length / 8));
  for (let i = 0; i < path.length - 1; i += between) {
    const corners = CORNERS.map((u) => place(path[i], u));
    line(pen, [...corners, corners[0]], `${FRAME}80`, i ? 1 : 1.5, i ? [] : [4, 3]);
  }
  const middles = path.map((theta) => place(theta, [0, 0]));
  line(pen, middles, "#000", 4);
  line(pen, middles, FRAME, 2);
  dot(pen, middles[0], 3.5, "#fff", "#000");
  dot(pen, middles.at(-1), 3.5, FRAME, "#000");
}

// The arrows, each kind drawn so many times as long as one step is. Returns these two numbers, 0 where there is no slope, and
// how many small arrows there are.
function drawPulls(pen, view, { theta, now }, stepSize, colors) {
  const onPanel = ([x, y]) => [stepSize * x * view.wide, stepSize * y * view.high];
  const drawn = (arrows, { longest, most }, color, look) => {
    const length = Math.max(0, ...arrows.map(({ pull }) => Math.hypot(...onPanel(pull)))), times = length ? Math.min(longest / length, most) : 0;
    for (const { place, pull } of arrows.toReversed()) {
      const from = view.toPanel(place), by = onPanel(pull);
      arrow(pen, from, [from[0] + times * by[0], from[1] + times * by[1]], color, look);
    }
    return times;
  };
  const side = Math.sqrt(now.seen.length), small = strongest(now.byPlace, placesOf(theta, side), SMALL.count);
  const large = CORNERS.map((u) => ({ place: placeOn(theta, u), pull: pulledAt(now.byTheta, u) }));
  return {
    count: small.length,
    small: drawn(small, SMALL, BLUE, { thickness: 1.6 }),
    large: drawn(large, LARGE, colors("ink"), { thickness: 4, coat: colors("paper") }),
  };
}

function arrowsSay({ count, small, large }) {
  if (!large) return "No arrows: no slope.";
  return `<span class="key-arrow small-pull">→</span> small arrows: where the ${count} strongest pulls want their places,
    ${inRoundNumbers(small)} × as long as one step. <span class="key-arrow">➞</span> large: what all pulls together do to the corners
    in one step, ${inRoundNumbers(large)} × as long.`;
}
