// Guess, then see. The reader commits, and only then the page learns the truth. See guess.py; the kinds of guesses are
// in guesses/, asked.js says what each of them is.

import { speak } from "../browser/language.js";
import { choiceIn, numberIn } from "./guesses/asked.js";
import { curveIn } from "./guesses/curve.js";
import { ghostIn } from "./guesses/ghost.js";

const KINDS = {
  choice: [choiceIn, "Choose one. The answer comes when you have."],
  number: [numberIn, "Move the slider, then commit."],
  digit: [
    ghostIn,
    "Drag the blue ghost to where the digit will come out; or press Tab to reach it, then the arrow keys " +
      "(with Shift: small steps).",
  ],
  curve: [
    curveIn,
    "Draw with the mouse or a finger; or press Tab to reach the axes: ← → choose a point, ↑ ↓ move it " +
      "(with Shift: small steps).",
  ],
};

// The colours are JupyterLab's, where they are known, else the page's own.
const GUESS_STYLE = `
.stn-guess { box-sizing: border-box; max-width: 540px; padding: 12px 16px; border: 1px solid #8c8c8c;
  border-left-width: 6px; border-radius: 4px; font: 15px/1.45 var(--jp-ui-font-family, system-ui, sans-serif);
  color: var(--jp-ui-font-color0, CanvasText); background: var(--jp-layout-color0, Canvas);
  overflow-wrap: anywhere; }
.stn-guess p { margin: 0 0 8px; }
.stn-guess .question { font-weight: 600; }
.stn-guess [role=status] { margin: 8px 0; white-space: pre-line; }
.stn-guess [role=status]:empty { margin: 0; } /* there, though empty: what is put into it is read out */
.stn-guess button { font: inherit; color: inherit; background: transparent; border: 1.5px solid currentColor;
  border-radius: 4px; min-height: 36px; padding: 4px 14px; margin: 4px 8px 4px 0; cursor: pointer; }
.stn-guess button:disabled { cursor: default; color: inherit; opacity: 1; border-style: dotted; }
.stn-guess button.commit:disabled { border-style: dashed; }
.stn-guess button.guessed { border-style: dashed; border-width: 2px; }
.stn-guess button.true { border: 3px solid #D55E00; font-weight: 600; }
.stn-guess :focus-visible { outline: 3px solid #2A8FD0; outline-offset: 2px; }
.stn-guess [hidden] { display: none !important; }
.stn-guess figure { margin: 0; max-width: 100%; }
.stn-guess .boards { display: flex; flex-wrap: wrap; gap: 8px 20px; margin-bottom: 8px; }
.stn-guess canvas { display: block; max-width: 100%; image-rendering: pixelated; }
.stn-guess .output { position: relative; max-width: 100%; overflow: hidden; }
.stn-guess .output canvas { width: 100%; }
.stn-guess .output canvas.ghost { position: absolute; inset: 0; height: 100%; }
.stn-guess .open { touch-action: none; cursor: grab; }
.stn-guess button.handle { position: absolute; width: 32px; height: 32px; min-height: 0; margin: -16px 0 0 -16px;
  padding: 0; border: 2px solid #fff; border-radius: 50%; box-shadow: 0 0 0 2px #000; cursor: inherit; }
.stn-guess button.handle:disabled { display: none; }
.stn-guess button.handle:focus { outline: 3px solid #56B4E9; outline-offset: 2px; }
.stn-guess .slide { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin-bottom: 8px; }
.stn-guess .slide input { flex: 1 1 160px; min-height: 32px; margin: 0; accent-color: #0072B2; }
.stn-guess .slide .readout { min-width: 5em; }
.stn-guess svg { display: block; width: 100%; max-width: 480px; font-size: 14px; }
.stn-guess svg text { fill: currentColor; }
.stn-guess .axes { max-width: 480px; margin-bottom: 8px; }
.stn-guess .axes.open { cursor: crosshair; }`;

const GUESS_MARKUP = `<style>${GUESS_STYLE}</style><div class="stn-guess" role="group">
<p class="question"></p><p class="hint"></p><div class="board"></div>
<button class="commit" type="button">That is my guess</button>
<p role="status" tabindex="-1"></p>
<button class="again" type="button">Guess again</button></div>`;

function told({ truth, because, note, error, instead }, guess, sentence) {
  if (instead) return instead;
  if (error) return `The answer could not be computed (${error}).`;
  return [sentence(guess, truth), because, note].filter(Boolean).join("\n");
}

// Lay the guess open, and return what is said of it. Should that fail, the reader must not wait for an answer.
function shownOn(part, guess, answer) {
  try {
    part.show(guess, guess === null ? undefined : answer?.truth);
    if (guess === null) return "";
    if (!answer) return "Committed. The answer comes as soon as the kernel is free.";
    return told(answer, guess, part.sentence);
  } catch (error) {
    console.error(error);
    return `The answer cannot be shown here (${error.message}).`;
  }
}

// A question in `element`. `commit(guess)` is called when the reader has committed, `again()` when the guess is taken
// back. Returns `show(guess, answer)`: an answer is { truth, because, note } or { error }; null while it is under way.
// In a notebook the kernel has the answers (see render); a page without one may hold them itself, or say something `instead`.
export function guessIn(element, { question, kind, scene }, { commit, again }) {
  element.innerHTML = GUESS_MARKUP;
  const [root, ask, hint, board, done, status, retry] = [
    ".stn-guess", ".question", ".hint", ".board", ".commit", "[role=status]", ".again",
  ].map((selector) => element.querySelector(selector));
  const [kindIn, help] = KINDS[kind];
  ask.textContent = question;
  root.setAttribute("aria-label", `Guess: ${question}`);
  hint.textContent = help;
  const changed = () => (done.disabled = part.value() === null);
  const part = kindIn(board, scene, { commit, changed });
  // No shortcut of JupyterLab may take a key for itself. It asks the element in focus first, then those around it, and
  // some of its shortcuts are for whatever is in focus: so each has to say it.
  const controls = root.querySelectorAll("button, input, .axes, [tabindex]");
  for (const each of controls) each.dataset.lmSuppressShortcuts = "true";
  let shown = null;

  function show(guess, answer) {
    const now = JSON.stringify(guess === null ? null : [guess, answer]);
    if (now === shown) return; // news of an old answer must not undo what the hand is at
    const focused = shown !== null && root.contains(document.activeElement);
    shown = now;
    status.textContent = shownOn(part, guess, answer);
    hint.hidden = guess !== null;
    done.hidden = guess !== null || kind === "choice";
    retry.hidden = guess === null;
    changed();
    // What had the focus is gone: the next Tab goes on from here.
    if (focused) (guess === null ? board.querySelector("button:not(:disabled), input, [tabindex]") : status)?.focus();
  }

  done.addEventListener("click", () => commit(part.value()));
  retry.addEventListener("click", again);
  return show;
}

// In a notebook: an anywidget.
function render({ model, el }) {
  speak(el, model.get("words"));
  const set = (changes) => {
    model.set(changes);
    model.save_changes();
  };
  const page = Object.fromEntries(["question", "kind", "scene"].map((name) => [name, model.get(name)]));
  const show = guessIn(el, page, {
    commit: (guess) => set({ committed: guess, asked: true }),
    again: () => set({ committed: null, asked: false }),
  });
  const update = () => show(model.get("committed"), model.get("answer"));
  const news = ["change:committed", "change:answer"];
  for (const each of news) model.on(each, update);
  update();
  if (model.get("committed") !== null && !model.get("answer")) set({ asked: true }); // of an earlier day
  return () => news.forEach((each) => model.off(each, update));
}

export default { render };
