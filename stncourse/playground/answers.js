// How sure the classifier is: a bar for each class, the longest in colour and marked.

export function answersIn(element, names) {
  const list = document.createElement("ol");
  const long = names.length > 10 || names.some((name) => name.length > 2);
  list.className = long ? "answers rows" : "answers columns";
  list.setAttribute("aria-label", "how sure the classifier is");
  const items = names.map((name) => {
    const item = document.createElement("li");
    item.innerHTML = '<span class="track"><span class="bar"></span></span><span class="name"></span>';
    item.lastChild.textContent = name;
    list.append(item);
    return item;
  });
  const verdict = Object.assign(document.createElement("p"), { className: "verdict" });
  element.replaceChildren(verdict, list);

  // Show probabilities; or, for null, the sentence that says why there are none. `truth`: the right class, or null.
  return (probabilities, truth, why = "") => {
    list.hidden = !probabilities;
    if (!probabilities) {
      verdict.textContent = why;
      return;
    }
    const best = probabilities.indexOf(Math.max(...probabilities));
    verdict.innerHTML = "<b></b> <span></span>";
    verdict.firstChild.textContent = `“${names[best]}”, ${(100 * probabilities[best]).toFixed(1)} % sure`;
    verdict.lastChild.textContent = truth === null ? "" : truth === best ? "✓" : `(it is “${names[truth]}”)`;
    items.forEach((item, i) => {
      const p = probabilities[i];
      item.style.setProperty("--p", p);
      item.dataset.p = p.toFixed(6);
      item.classList.toggle("best", i === best);
      item.classList.toggle("truth", i === truth);
      item.setAttribute("aria-label", `${names[i]}: ${(100 * p).toFixed(1)} %`);
    });
  };
}
