"use strict";
/* Every formula is written by KaTeX, from its TeX. */
addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".tex"))
    katex.render(element.textContent, element, { displayMode: element.tagName === "DIV", throwOnError: true });
});
