// What the scripts do with a page: bytes from Python, grey images on a canvas, colours of its theme, motion.

export const FRAME = "#ff9f1c"; // the colour of every frame, as FRAME_COLOR of the figures

// Bytes that Python has sent (a DataView), as numbers.
export const octetsIn = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
export const floatsIn = (view) => new Float32Array(octetsIn(view).slice().buffer); // a copy is aligned
export const bytes = (model, name) => octetsIn(model.get(name));
export const floats = (model, name) => floatsIn(model.get(name));

// Grey levels (1 channel) or colours (3), pixel by pixel, on a canvas of their own size.
export function imageOf(values, height, width, channels) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 4; c++)
      image.data[4 * i + c] = c === 3 ? 255 : values[channels * i + (channels === 3 ? c : 0)];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export const greyImage = (pixels, height, width) => imageOf(pixels, height, width, 1);

// At most one drawing per frame of the screen.
export function onceAFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

// A pen for a canvas of width × height on the page, as sharp as the screen is.
export function sharpPen(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [wide, high] = [width * ratio, height * ratio];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.imageSmoothingEnabled = false;
  return pen;
}

// Colours. Every widget's outermost element has the class "stn" and this style.

export const THEME = `
.stn { --stn-ink: #1b1b1b; --stn-quiet: #595959; --stn-paper: #fff; --stn-line: #8a8a8a; --stn-outside: #dcdcdc;
  --stn-first: #0068a3; --stn-second: #9c3873; --stn-accent: #b34700; --stn-good: #00674a; --stn-soft: #f1f1f1;
  color: var(--stn-ink); font: 14px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); text-align: left; }
.stn-dark .stn, .stn.stn-dark { --stn-ink: #f0f0f0; --stn-quiet: #b8b8b8; --stn-paper: #161616; --stn-line: #8d8d8d;
  --stn-outside: #4a4a4a; --stn-first: #6fc3f5; --stn-second: #f0a3cf; --stn-accent: #ffb066; --stn-good: #5cd6ae; --stn-soft: #2a2a2a; }
.stn button, .stn select, .stn input { font: inherit; color: inherit; }
.stn button { background: var(--stn-paper); border: 1px solid var(--stn-line); border-radius: 6px; padding: 3px 10px;
  min-height: 30px; cursor: pointer; }
.stn button:hover { background: var(--stn-soft); }
.stn button[aria-pressed="true"] { background: var(--stn-ink); color: var(--stn-paper); border-color: var(--stn-ink); }
.stn button:disabled { opacity: 0.45; cursor: default; }
.stn select, .stn input[type="number"] { background: var(--stn-paper); border: 1px solid var(--stn-line); border-radius: 6px;
  padding: 2px 6px; min-height: 28px; }
.stn :focus-visible { outline: 3px solid var(--stn-first); outline-offset: 2px; }
.stn .spoken { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); }`;

// Whether what is around the widget is dark: JupyterLab's theme, Colab's or the website's, or what the reader prefers.
function isDark() {
  const light = document.body.dataset.jpThemeLight, page = document.documentElement;
  if (light) return light === "false";
  const theme = page.getAttribute("theme") ?? page.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Mark an element as dark where its surroundings are, now and whenever they change. Returns a function that stops it.
export function followTheme(element, changed) {
  const mark = () => {
    element.classList.toggle("stn-dark", isDark());
    changed();
  };
  const watcher = new MutationObserver(mark), preference = matchMedia("(prefers-color-scheme: dark)");
  watcher.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  watcher.observe(document.documentElement, { attributeFilter: ["theme", "data-theme"] });
  preference.addEventListener("change", mark);
  mark();
  return () => {
    watcher.disconnect();
    preference.removeEventListener("change", mark);
  };
}

// Function: a name such as "ink" -> the colour of that name in the theme.
export function colorsOf(element) {
  const style = getComputedStyle(element);
  return (name) => style.getPropertyValue(`--stn-${name}`).trim();
}

// Words

// Function: (words) => { }, which puts what `words()` returns into a live region once nothing has changed for half a second,
// and only if it is another than before: so a screen reader is told once.
export function sayer(region) {
  let waiting = null;
  return (words) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const said = words();
      if (region.textContent !== said) region.textContent = said;
    }, 500);
  };
}

// Motion

export const prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Call show(share) with a share that grows from 0 to 1, frame by frame; at once with 1 for who prefers no motion.
// Returns a function that stops it.
export function glide(milliseconds, show) {
  if (prefersStill()) {
    show(1);
    return () => {};
  }
  let stopped = false;
  const start = performance.now();
  const step = (now) => {
    if (stopped) return;
    const share = Math.min(Math.max((now - start) / milliseconds, 0), 1);
    show(share * share * (3 - 2 * share));
    if (share < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
  return () => (stopped = true);
}
