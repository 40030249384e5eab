// Brings the living pictures of a page to life: STN (playground.js, made of the package's scripts) has what draws them. A page
// is told by the JSON beside each what it is; a network's weights are a script of their own, which several pages share, and so
// are the words of a language.

(() => {
  const asView = (array) => new DataView(array.buffer);

  // What a widget asks of its model in a notebook, without one.
  function modelOf({ state, octets, floats }) {
    const values = { ...state }, listeners = {};
    for (const [name, numbers] of Object.entries(octets)) values[name] = asView(Uint8Array.from(numbers));
    for (const [name, numbers] of Object.entries(floats)) values[name] = asView(Float32Array.from(numbers));
    const tell = (event) => (listeners[event] ?? []).forEach((listener) => listener());
    return {
      get: (name) => values[name],
      set(name, value) {
        for (const [key, given] of Object.entries(typeof name === "string" ? { [name]: value } : name)) {
          if (JSON.stringify(values[key]) === JSON.stringify(given)) continue;
          values[key] = given;
          tell(`change:${key}`);
        }
      },
      save_changes() {},
      on: (event, listener) => (listeners[event] ??= []).push(listener),
      off: (event, listener) => (listeners[event] = (listeners[event] ?? []).filter((other) => other !== listener)),
    };
  }

  // The answer that belongs to a guess: the first folded output after it.
  function answerAfter(element) {
    const folded = [...document.querySelectorAll(".tag_answer details")];
    return folded.find((each) => element.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
  }

  const MAKE = {
    playground(root, { network, ...told }) {
      STN.playground(root, { ...told, weights: network ? STN.weights[network] : "" });
    },
    sheet(root, told) {
      STN.sheet({ model: modelOf(told), el: root });
    },
    guess(root, { answer, ...asked }) {
      const below = answer ? null : answerAfter(root);
      const instead = "Committed. What came out stands below, unfolded now.";
      const show = STN.guess(root, asked, {
        commit(guess) {
          if (below) below.open = true;
          show(guess, answer ?? { instead });
        },
        again: () => show(null),
      });
      show(null);
    },
  };

  for (const root of document.querySelectorAll(".stn-live")) {
    const { kind } = root.dataset, told = JSON.parse(root.querySelector("script").textContent);
    root.replaceChildren();
    STN.speak(root, STN.words);
    MAKE[kind](root, told);
    root.dataset.alive = "";
  }
})();
