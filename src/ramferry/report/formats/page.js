// Draws the figures of the page, in the colours of page.css, and again when these change.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  const config = { responsive: true, displayModeBar: false, displaylogo: false };

  // under a name that ends in "color": "@zstd" → the value of --zstd in page.css
  function coloured(value, styles, name = "") {
    if (typeof value === "string") {
      const found = name.endsWith("color") && value.startsWith("@");
      return found ? styles.getPropertyValue(`--${value.slice(1)}`).trim() : value;
    }
    if (Array.isArray(value)) {
      return value.map((one) => coloured(one, styles, name));
    }
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, one]) => [key, coloured(one, styles, key)]),
      );
    }
    return value;
  }

  function draw(place) {
    const figure = figures[place.dataset.figure];
    const { data, layout } = coloured(figure, getComputedStyle(document.documentElement));
    // a finger that scrolls the page must not zoom a plot
    layout.dragmode = coarse.matches ? false : "zoom";
    return Plotly.react(place, data, layout, config);
  }

  const places = [...document.querySelectorAll("[data-figure]")];
  const drawAll = () => Promise.all(places.map(draw));

  for (const choice of document.querySelectorAll("select[data-place]")) {
    const place = document.getElementById(choice.dataset.place);
    const change = () => {
      place.dataset.figure = choice.value;
      return draw(place);
    };
    choice.addEventListener("change", change);
    // a browser may have kept an earlier choice over a reload
    place.dataset.figure = choice.value;
  }
  dark.addEventListener("change", drawAll);
  drawAll().then(() => {
    document.documentElement.dataset.drawn = String(places.length);
  });
})();
