"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const percent = (fraction) => `${(fraction * 100).toFixed(2).replace("-", "\u2212")}\u00a0%`;
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  function theme() {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
    });
  }

  function tabs() {
    const list = document.querySelector("[role=tablist]");
    if (!list) return;
    const buttons = all("[role=tab]", list);
    const select = (chosen) => {
      for (const button of buttons) {
        const on = button === chosen;
        button.setAttribute("aria-selected", String(on));
        button.tabIndex = on ? 0 : -1;
        document.getElementById(button.getAttribute("aria-controls")).hidden = !on;
      }
    };
    for (const figure of all("figure[data-tab]")) {
      figure.setAttribute("role", "tabpanel");
      figure.setAttribute("aria-labelledby", figure.dataset.tab);
    }
    list.hidden = false;
    list.addEventListener("click", (event) => {
      const button = event.target.closest("[role=tab]");
      if (button) select(button);
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons.indexOf(document.activeElement) + step;
      const button = buttons[(next + buttons.length) % buttons.length];
      select(button);
      button.focus();
      event.preventDefault();
    });
    select(buttons[0]);
  }

  /* Index of the last value that is not after the wanted one; -1 when all are after it. */
  function lastBefore(sorted, wanted) {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= wanted) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  function drawdowns(growth) {
    let peak = -Infinity;
    return growth.map((value) => {
      peak = Math.max(peak, value);
      return value / peak - 1;
    });
  }

  function readings(series, hidden, at) {
    const table = element("table");
    const head = table.createTHead().insertRow();
    for (const title of ["", "growth", "drawdown"]) head.append(element("th", title, "num"));
    const body = table.createTBody();
    series.forEach((line, index) => {
      const point = lastBefore(line.offset, at);
      if (hidden.has(index) || point < 0) return;
      const row = body.insertRow();
      row.append(element("td", line.label));
      row.append(element("td", line.growth[point].toFixed(4), "num"));
      row.append(element("td", percent(line.drawdown[point]), "num"));
    });
    return table;
  }

  function curves(figure) {
    const { start, end, series } = JSON.parse(figure.querySelector("script").textContent);
    const plots = figure.querySelector(".plots");
    const area = figure.querySelector(".plot");
    const tooltip = figure.querySelector(".tooltip");
    const crosses = all(".cross", figure);
    const hidden = new Set();
    let share = null;
    for (const line of series) line.drawdown = drawdowns(line.growth);

    const clear = () => {
      share = null;
      tooltip.hidden = true;
      for (const cross of crosses) cross.setAttribute("visibility", "hidden");
    };
    const show = (wanted) => {
      share = Math.min(1, Math.max(0, wanted));
      const at = share * (end - start);
      for (const cross of crosses) {
        cross.setAttribute("x1", `${share * 100}%`);
        cross.setAttribute("x2", `${share * 100}%`);
        cross.setAttribute("visibility", "visible");
      }
      const seen = series.map(({ offset }) => offset[Math.max(0, lastBefore(offset, at))]);
      const time = new Date(start + Math.max(...seen)).toISOString().replace("T", " ").slice(0, 19);
      tooltip.replaceChildren(element("strong", `${time} UTC`), readings(series, hidden, at));
      tooltip.hidden = false;
      const left = area.getBoundingClientRect().left - plots.getBoundingClientRect().left;
      const x = left + share * area.getBoundingClientRect().width;
      const flip = share > 0.5;
      tooltip.style.left = `${flip ? x - tooltip.offsetWidth - 12 : x + 12}px`;
    };

    plots.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect();
      show((event.clientX - box.left) / box.width);
    });
    plots.addEventListener("pointerleave", clear);
    plots.addEventListener("blur", clear);
    plots.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 0.01, ArrowLeft: -0.01 }[event.key];
      if (event.key === "Escape") clear();
      if (!step) return;
      show((share ?? 0.5) + (event.shiftKey ? 10 * step : step));
      event.preventDefault();
    });
    for (const button of all(".legend button", figure)) {
      button.addEventListener("click", () => {
        const index = Number(button.dataset.series);
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        if (on) hidden.delete(index);
        else hidden.add(index);
        for (const path of all(`path[data-series="${index}"]`, figure)) path.classList.toggle("off", !on);
      });
    }
  }

  function sortBy(table, header) {
    const column = header.cellIndex;
    const text = header.dataset.sort === "text";
    const first = text ? "ascending" : header.dataset.sort;
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = header.getAttribute("aria-sort") === first ? other : first;
    for (const cell of all("thead th", table)) cell.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const compareText = new Intl.Collator("en", { numeric: true }).compare;
    const compare = (left, right) => {
      const a = left.cells[column];
      const b = right.cells[column];
      if (text) return sign * compareText(a.textContent, b.textContent);
      const missing = (a.dataset.key === undefined) - (b.dataset.key === undefined);
      return missing || sign * (Number(a.dataset.key ?? 0) - Number(b.dataset.key ?? 0));
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
  }

  function runs() {
    const table = document.getElementById("run-table");
    if (!table) return;
    for (const header of all("thead th[data-sort]", table)) {
      const button = element("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortBy(table, header));
      header.append(button);
    }
    const inputs = ["search", "by-strategy", "by-symbol", "by-status"].map((id) => document.getElementById(id));
    const [search, strategy, symbol, status] = inputs;
    const rows = [...table.tBodies[0].rows].map((row) => ({
      row,
      text: row.textContent.toLowerCase(),
      ...row.dataset,
    }));
    const same = (select, value) => !select.value || select.value === value;
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/);
      let shown = 0;
      for (const item of rows) {
        const on =
          words.every((word) => item.text.includes(word)) &&
          same(strategy, item.strategy) &&
          same(symbol, item.symbol) &&
          same(status, item.status);
        item.row.hidden = !on;
        shown += on;
      }
      document.getElementById("shown").textContent = `${shown} of ${rows.length} runs`;
      document.getElementById("no-match").hidden = shown > 0;
    };
    for (const input of inputs) input.addEventListener("input", filter);
    document.querySelector(".filters").hidden = false;
  }

  theme();
  tabs();
  all("figure.curves").forEach(curves);
  runs();
})();
