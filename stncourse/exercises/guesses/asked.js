// Guesses that are said: one of a few answers, or a number. See asked.py.
//
// Each kind is a function (board, scene, { commit, changed }): it fills an element of the page, calls `changed` when
// the reader has moved something, and returns { value, show, sentence }. `value()` is the guess as it stands, or null
// while it is not complete; `show(guess, truth)` lays a guess open (guess null: ask anew; truth undefined: not known).

export const numeral = (value) => String(Number(value.toPrecision(4))).replace("-", "−");

export function choiceIn(board, { choices }, { commit }) {
  const buttons = choices.map((choice) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "choice";
    button.addEventListener("click", () => commit(choice));
    board.append(button);
    return button;
  });
  const show = (guess, truth) =>
    buttons.forEach((button, i) => {
      const marks = [choices[i] === guess && "your guess", choices[i] === truth && "so it is"].filter(Boolean);
      button.textContent = [choices[i], ...marks].join(" · ");
      button.disabled = guess !== null;
      button.classList.toggle("guessed", choices[i] === guess);
      button.classList.toggle("true", choices[i] === truth);
    });
  const sentence = (guess, truth) =>
    guess === truth ? `You said “${guess}”, and so it is.` : `You said “${guess}”. It is “${truth}”.`;
  return { value: () => null, show, sentence };
}

const SCALE = `<label class="slide"><span class="name">your guess</span>
  <input type="range"><span class="readout"></span></label>
<svg class="scale" role="img" viewBox="0 0 360 62"></svg>`;

// Guess and truth on one line; each with its own mark and word, so that no colour is needed to tell them apart.
function scaleMarkup({ low, high }, marks) {
  const place = (value) => 12 + (336 * (value - low)) / (high - low);
  const drawn = marks.map(({ value, text, color, above }) => {
    const x = place(value), y = above ? 14 : 58;
    const anchor = x < 90 ? "start" : x > 270 ? "end" : "middle", at = Math.min(Math.max(x, 4), 356);
    const mark = above
      ? `<circle cx="${x}" cy="31" r="6" fill="none" stroke="${color}" stroke-width="3"/>`
      : `<path d="M${x - 6} 31l6 -8l6 8l-6 8z" fill="${color}"/>`;
    return `${mark}<text x="${at}" y="${y}" text-anchor="${anchor}">${text}</text>`;
  });
  const line = '<path d="M12 31H348M12 25V37M348 25V37" fill="none" stroke="currentColor" stroke-width="1.5"/>';
  return line + drawn.join("");
}

export function numberIn(board, scene, { changed }) {
  board.innerHTML = SCALE;
  const [label, svg] = board.children, slider = label.querySelector("input"), readout = label.querySelector(".readout");
  const { low, high, step, unit } = scene;
  const shown = (value) => numeral(value) + (unit && ` ${unit}`);
  Object.assign(slider, { min: low, max: high, step });
  let touched = false;
  slider.addEventListener("input", () => {
    touched = true;
    readout.textContent = shown(Number(slider.value));
    slider.setAttribute("aria-valuetext", readout.textContent);
    changed();
  });
  const sentence = (guess, truth) => `You said ${shown(guess)}. It is ${shown(truth)}.`;
  function show(guess, truth) {
    label.hidden = guess !== null;
    svg.style.display = guess === null ? "none" : "";
    if (guess === null) {
      touched = false;
      slider.value = (low + high) / 2;
      slider.removeAttribute("aria-valuetext");
      readout.textContent = `${numeral(low)} to ${shown(high)}`;
      return;
    }
    const marks = [{ value: guess, text: "", color: "#0072B2", above: true }];
    if (truth !== undefined) marks.push({ value: truth, text: "", color: "#D55E00", above: false });
    svg.innerHTML = scaleMarkup(scene, marks);
    const texts = svg.querySelectorAll("text"); // what somebody wrote as a unit is text, not markup
    texts[0].textContent = `your guess ${shown(guess)}`;
    if (truth !== undefined) texts[1].textContent = `it is ${shown(truth)}`;
    svg.setAttribute("aria-label", truth === undefined ? texts[0].textContent : sentence(guess, truth));
  }
  return { value: () => (touched ? Number(slider.value) : null), show, sentence };
}
