// What every page lacks for who has no mouse or no eyes: a name for what unfolds in the contents; a way to reach what scrolls by keys.
// And for who has searched: where on the page it is.

(() => {
  for (const toggle of document.querySelectorAll("summary:not([aria-label])"))
    if (!toggle.textContent.trim()) toggle.setAttribute("aria-label", "show the pages below");
  const reach = () => {
    for (const box of document.querySelectorAll("pre, table, mjx-container, div.cell_output"))
      if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
  };
  window.addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
  window.addEventListener("resize", reach);
  // The words that were searched for. Sphinx marks them only on pages without its search, and here every page has it.
  const marks = typeof SphinxHighlight !== "undefined" && !location.pathname.endsWith("/search.html");
  if (marks) SphinxHighlight.highlightSearchWords();
})();
