// What every page lacks for who has no mouse or no eyes: a name for what unfolds in the contents; a way to reach what scrolls by keys.
// For who has searched: where on the page it is. For all: the page in other languages.

(() => {
  for (const toggle of document.querySelectorAll("summary:not([aria-label])"))
    if (!toggle.textContent.trim()) toggle.setAttribute("aria-label", "show the pages below");
  const reach = () => {
    for (const box of document.querySelectorAll("pre, table, mjx-container, div.cell_output"))
      if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
  };
  window.addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
  window.addEventListener("resize", reach);
  // The page in another language, at the same place: its n-th section.
  const sections = [...document.querySelectorAll("article section")];
  const links = [...document.querySelectorAll("link[rel=alternate][hreflang]")];
  if (links.length) {
    const menu = Object.assign(document.createElement("select"), { className: "stn-languages", ariaLabel: "Language" });
    for (const { title, hreflang } of links) menu.add(new Option(title, hreflang));
    menu.value = document.documentElement.lang;
    menu.addEventListener("change", () => {
      const here = sections.findLastIndex((section) => section.getBoundingClientRect().top < innerHeight / 2);
      location.href = links[menu.selectedIndex].href + (scrollY > 100 && here > 0 ? `#section-${here}` : "");
    });
    document.querySelector(".article-header-buttons")?.prepend(menu);
  }
  const came = location.hash.match(/^#section-(\d+)$/);
  if (came) window.addEventListener("load", () => sections[came[1]]?.scrollIntoView());
  // The words that were searched for. Sphinx marks them only on pages without its search, and here every page has it.
  const marks = typeof SphinxHighlight !== "undefined" && !location.pathname.endsWith("/search.html");
  if (marks) SphinxHighlight.highlightSearchWords();
})();
