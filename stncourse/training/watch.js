// The panel of fit(…, watch=images), while a cell trains: per image the input with the frame that the transformer looks
// at, and below it what comes out and what the classifier says; then the loss and the right answers so far. The kernel
// sends what it has computed anyway (see watch.py, panel.py): nothing is computed twice, and any transform will do.

import { speak } from "../browser/language.js";
import { FRAME, floatsIn, imageOf, octetsIn, onceAFrame } from "../browser/screen.js";
import { toPixels } from "../browser/stn.js";

const SIDE = 176, AROUND = 0.25, FRAME_GAP = 8; // pixels of a canvas: a square for the input, one for the output
const OUTSIDE = "#DCDCDC", EDGE = "#808080", LOSS = "#0072B2", RIGHT = "#D55E00";
const CHART = { width: 300, height: 110, left: 52, right: 6, top: 8, bottom: 18 };

const STYLE = `
.stn-watch { color: var(--jp-ui-font-color0, inherit); font: 13px/1.35 var(--jp-ui-font-family, system-ui, sans-serif);
  max-width: 960px; }
.stn-watch p { margin: 2px 0 6px; font-variant-numeric: tabular-nums; }
.stn-watch .problem { color: inherit; border-left: 3px solid #D55E00; padding-left: 6px; overflow-wrap: anywhere; }
.stn-watch .problem:empty { display: none; }
.stn-watch .images { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(76px, 100%), 1fr)); gap: 8px; }
.stn-watch figure { margin: 0; min-width: 0; }
.stn-watch .images figure { max-width: 88px; text-align: center; }
.stn-watch .images figcaption { overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.stn-watch canvas { display: block; width: 100%; height: auto; }
.stn-watch .charts { display: flex; flex-wrap: wrap; gap: 8px 24px; margin-top: 8px; }
.stn-watch .charts figure { flex: 1 1 260px; max-width: 400px; }
.stn-watch svg { display: block; width: 100%; height: auto; overflow: visible; }
.stn-watch svg text { font: 10px var(--jp-ui-font-family, system-ui, sans-serif); fill: currentColor; }
.stn-watch svg .axis { fill: none; stroke: currentColor; opacity: 0.55; }
.stn-watch .spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }`;

// Where an image of this size lies in its square: left, top, wide, high.
function fitted([height, width], room) {
  const zoom = room / Math.max(height, width), wide = Math.round(width * zoom), high = Math.round(height * zoom);
  return [Math.floor((SIDE - wide) / 2), Math.floor((SIDE - high) / 2), wide, high];
}

// The input and the outline of where the transformer looks, [x, y, …] on the ruler; its first `top` points are the top.
function drawLook(pen, input, outline, top, { size, align_corners: aligned }) {
  const [left, above, wide, high] = fitted(size, SIDE / (1 + 2 * AROUND));
  const near = (value) => Math.min(Math.max(value, -50), 50); // where a pen can draw
  const points = Array.from({ length: outline.length / 2 }, (_, i) => [
    left + ((toPixels(near(outline[2 * i]), size[1], aligned) + 0.5) * wide) / size[1],
    above + ((toPixels(near(outline[2 * i + 1]), size[0], aligned) + 0.5) * high) / size[0],
  ]);
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, SIDE, SIDE);
  pen.clip();
  pen.fillStyle = OUTSIDE;
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.drawImage(input, left, above, wide, high);
  pen.fillStyle = pen.strokeStyle = FRAME;
  const line = (places, thickness) => {
    pen.lineWidth = thickness;
    pen.beginPath();
    places.forEach((place, i) => {
      const seen = place.every(Number.isFinite) && i > 0 && places[i - 1].every(Number.isFinite);
      pen[seen ? "lineTo" : "moveTo"](...place); // a pen does nothing for NaN
    });
    pen.stroke();
  };
  line([...points, points[0]], 3);
  line(points.slice(0, top), 7); // the output's top edge
  pen.beginPath();
  pen.arc(...points[0], 6, 0, 2 * Math.PI);
  pen.fill();
  pen.restore();
}

// One image: a function that shows it as it is now.
function watchedImage(number, room, scene) {
  const { size, channels, labels, names } = scene;
  const cut = (values, count) => values.subarray(number * count, (number + 1) * count);
  const input = imageOf(cut(octetsIn(scene.inputs), channels * size[0] * size[1]), ...size, channels);
  const figure = document.createElement("figure");
  figure.innerHTML = '<canvas role="img"></canvas><figcaption></figcaption>';
  const [canvas, caption] = figure.children;
  [canvas.width, canvas.height] = [SIDE, 2 * SIDE + FRAME_GAP];
  canvas.setAttribute("aria-label", `image ${number + 1}: there is no picture of it yet.`);
  room.append(figure);
  const pen = canvas.getContext("2d");
  Object.assign(pen, { imageSmoothingEnabled: false, strokeStyle: EDGE });
  const nameOf = (label) => names[label] ?? String(label);
  return ({ outputs, output_size: outputSize, outlines, points, top, answers, sure }) => {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    drawLook(pen, input, cut(outlines, 2 * points), top, scene);
    const output = imageOf(cut(outputs, channels * outputSize[0] * outputSize[1]), ...outputSize, channels);
    const [left, above, wide, high] = fitted(outputSize, SIDE);
    pen.drawImage(output, left, SIDE + FRAME_GAP + above, wide, high);
    pen.strokeRect(left + 0.5, SIDE + FRAME_GAP + above + 0.5, wide - 1, high - 1); // black on a dark page
    const what = labels ? nameOf(labels[number]) : `image ${number + 1}`;
    const looks = `${what}: the input with the frame, and what comes out.`, start = `${looks} The classifier`;
    if (!answers) { // a model that is no classifier, trained with a loss of its own
      caption.textContent = "";
      canvas.setAttribute("aria-label", looks);
      return;
    }
    if (answers[number] === null) { // its numbers are none, for example after the loss exploded
      caption.textContent = "no answer";
      canvas.setAttribute("aria-label", `${start} gives no answer.`);
      return;
    }
    const answer = nameOf(answers[number]), percent = `${Math.round(100 * sure[number])} %`;
    const mark = labels ? (answers[number] === labels[number] ? "✓" : "✗") : "";
    caption.textContent = `${answer} ${mark} ${percent}`;
    const verdict = labels ? (mark === "✓" ? ", which is right" : ", which is wrong") : "";
    canvas.setAttribute("aria-label", `${start} says ${answer}${verdict}, ${percent} sure.`);
  };
}

// A chart over the steps, from 0 to a top. Returns a function: lines and dots, [step, value] each, and its words.
function chartIn(room, name, color, scene) {
  const { width, height, left, right, top, bottom } = CHART;
  const figure = document.createElement("figure");
  figure.innerHTML =
    `<figcaption></figcaption><svg role="img" viewBox="0 0 ${width} ${height}">` +
    `<path class="axis" d="M${left} ${top}V${height - bottom}H${width - right}"></path>` +
    `<polyline fill="none" stroke="${color}" stroke-width="2"></polyline><g fill="${color}"></g>` +
    `<text x="${left - 4}" y="${top + 7}" text-anchor="end"></text>` +
    `<text x="${left - 4}" y="${height - bottom}" text-anchor="end">0</text>` +
    `<text x="${left}" y="${height - 5}">step ${scene.first_step}</text>` +
    `<text x="${width - right}" y="${height - 5}" text-anchor="end">${scene.steps}</text></svg>`;
  room.append(figure);
  const [caption, svg] = figure.children, [, line, dots, most] = svg.children;
  return (values, marks, highest, highestText, words) => {
    const x = (step) =>
      left + ((step - scene.first_step) / (scene.steps - scene.first_step)) * (width - left - right);
    const y = (value) => height - bottom - (Math.min(value, highest) / highest) * (height - top - bottom);
    const place = ([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`;
    line.setAttribute("points", values.map(place).join(" "));
    const dot = (radius) => ([step, value]) => `<circle cx="${x(step)}" cy="${y(value)}" r="${radius}"></circle>`;
    const alone = values.length === 1 ? values : []; // a line of one point cannot be seen
    dots.innerHTML = [...marks.map(dot(4)), ...alone.map(dot(2.5))].join("");
    most.textContent = highestText;
    caption.textContent = words;
    svg.setAttribute("aria-label", `${name} over the steps. ${words}`);
  };
}

const shortOf = (value, digits) =>
  value < 0.001 && value > 0 ? value.toExponential(digits - 1) : value.toPrecision(digits);
const percentOf = (value) => `${(100 * value).toFixed(1)} %`;

// What the numbers say: both curves, and the last of each in words.
function readNews(now, { labels, count }) {
  const curve = floatsIn(now.curve);
  const points = Array.from({ length: curve.length / 3 }, (_, i) => curve.subarray(3 * i, 3 * i + 3));
  const losses = points.map(([step, loss]) => [step, loss]);
  const known = labels ? points.filter(([, , right]) => Number.isFinite(right)) : []; // no picture, no answers
  const rights = known.map(([step, , right]) => [step, right / count]);
  const parts = [];
  if (labels && !now.problem)
    parts.push(`${now.answers.filter((answer, i) => answer === labels[i]).length} of ${count} watched`);
  if (now.tests.length) parts.push(`${percentOf(now.tests.at(-1)[1])} of the test set (●)`);
  const loss = `loss of the training batches: ${shortOf(losses.at(-1)[1], 3)}`;
  return { losses, rights, loss, right: parts.join(", ") };
}

// For those who listen: at the start, after every epoch and at the end, not ten times a second.
function spokenWords({ ended, step, epoch, epochs }, { loss, right }, already) {
  const result = `${loss}${right ? `; right: ${right.replace(" (●)", "")}` : ""}.`;
  if (ended) return `The training ${ended === "finished" ? "has finished" : "was stopped"} after step ${step}: ${result}`;
  if (already.epoch === epoch) return already.text;
  return epoch === 1 ? "The training has begun." : `Epoch ${epoch} of ${epochs} has begun: ${result}`;
}

function render({ model, el }) {
  speak(el, model.get("words"));
  const scene = model.get("scene");
  el.innerHTML =
    `<style>${STYLE}</style><div class="stn-watch" role="group" aria-label="a training, watched"><p class="where"></p>` +
    `<p class="problem"></p><div class="images"></div><div class="charts"></div>` +
    `<div class="spoken" role="status"></div></div>`;
  const root = el.querySelector(".stn-watch"), [where, problem, images, charts, spoken] = root.children;
  const all = Array.from({ length: scene.count }, (_, number) => watchedImage(number, images, scene));
  const drawLosses = chartIn(charts, "The loss", LOSS, scene);
  let drawRights = null, already = { epoch: 0, text: "" };

  const draw = () => {
    const now = model.get("now");
    if (!now.curve) return; // displayed, and the first picture is under way
    if (now.outputs) {
      const seen = { ...now, outputs: octetsIn(now.outputs), outlines: floatsIn(now.outlines) };
      for (const show of all) show(seen);
    }
    const last = now.outputs ? "what is shown is older" : "there is none yet";
    problem.textContent = now.problem ? `No picture of step ${now.step} could be made (${now.problem}); ${last}.` : "";
    const news = readNews(now, scene);
    const highest = Math.max(...news.losses.map(([, loss]) => loss).filter(Number.isFinite), 1e-6);
    drawLosses(news.losses, [], highest, shortOf(highest, 2), news.loss);
    if (news.right || drawRights) {
      drawRights ??= chartIn(charts, "Right answers", RIGHT, scene);
      drawRights(news.rights, now.tests, 1, "100 %", `right: ${news.right || "not known"}`);
    }
    const going = { "": "", finished: " – finished", stopped: " – stopped" }[now.ended];
    where.textContent = `epoch ${now.epoch} of ${now.epochs}, step ${now.step} of ${scene.steps}${going}`;
    already = { epoch: now.epoch, text: spokenWords(now, news, already) };
    if (spoken.textContent !== already.text) spoken.textContent = already.text;
    root.dataset.step = now.step; // for whoever wants to know what is drawn
  };
  const update = onceAFrame(draw);
  model.on("change:now", update);
  draw();
  return () => model.off("change:now", update);
}

export default { render };
