// Tables: built from {columns, rows} with text nodes only, so that a name can hold any character.

const NUMERIC_KINDS = new Set(["integer", "bp", "percent", "share", "decimal", "depth", "measure"]);
const FILTER_FROM = 8; // rows; below, a filter would only be in the way

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function formatBasePairs(value) {
  for (const [size, unit] of [[1e9, "Gbp"], [1e6, "Mbp"], [1e3, "kbp"]]) {
    if (value >= size) return `${Number((value / size).toPrecision(3)).toLocaleString("en")} ${unit}`;
  }
  return `${value} bp`;
}

function formatValue(value, kind) {
  if (value === null || value === undefined) return "–";
  if (kind === "integer") return value.toLocaleString("en");
  if (kind === "bp") return formatBasePairs(value);
  if (kind === "percent" || kind === "share") return `${(100 * value).toFixed(1)}%`;
  if (kind === "measure") return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(3);
  if (kind === "decimal") return String(Number(value.toPrecision(3)));
  if (kind === "depth") return `${Number(value.toPrecision(3)).toLocaleString("en")}×`;
  return String(value);
}

function callGroup(call) {
  return ["known", "novel", "ambiguous"].find((group) => String(call).startsWith(group)) || "none";
}

function compareValues(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function tableCell(value, column, index, onChoose, row) {
  const classes = [];
  if (NUMERIC_KINDS.has(column.kind)) classes.push("number");
  if (column.kind === "name") classes.push("long");
  if (value === null) classes.push("missing");
  const attributes = {};
  if (column.kind === "share" && value !== null) {
    classes.push("share");
    attributes.style = `--value: ${100 * value}%`;
  }
  if (column.kind === "bp" && value !== null) attributes.title = `${value.toLocaleString("en")} bp`;
  if (column.kind === "name" && value !== null) attributes.title = value;
  if (classes.length) attributes.class = classes.join(" ");
  const cell = element(index === 0 ? "th" : "td", index === 0 ? { ...attributes, scope: "row" } : attributes);
  if (column.kind === "call" && value !== null) {
    cell.append(element("span", { class: `mark ${callGroup(value)}`, "aria-hidden": "true" }));
  }
  if (index === 0 && onChoose) {
    const button = element("button", { type: "button" }, formatValue(value, column.kind));
    button.addEventListener("click", () => onChoose(row));
    cell.append(button);
  } else {
    cell.append(formatValue(value, column.kind));
  }
  return cell;
}

// Draw a sortable table into `place`; returns {mark(name)} which marks the row whose first value is `name`.
function drawTable(place, { caption, columns, rows, onChoose = null, sortable = true }) {
  place.replaceChildren();
  const state = { column: null, direction: 1, filter: "", marked: null };
  const body = element("tbody");
  const shown = element("output", { "aria-live": "polite" });
  const headings = columns.map((column, index) => {
    const heading = element("th", { scope: "col", title: column.title });
    if (NUMERIC_KINDS.has(column.kind)) heading.className = "number";
    if (!sortable) {
      heading.append(column.label);
      return heading;
    }
    const button = element("button", { type: "button" }, column.label);
    button.addEventListener("click", () => {
      const first = NUMERIC_KINDS.has(column.kind) ? -1 : 1;
      state.direction = state.column === index ? -state.direction : first;
      state.column = index;
      fill();
    });
    heading.append(button);
    return heading;
  });

  function fill() {
    const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (row) => {
      const text = row.filter((value) => typeof value === "string").join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    };
    let chosen = rows.filter(matches);
    if (state.column !== null) {
      const { column, direction } = state;
      const missingLast = (a, b) => (a[column] === null) - (b[column] === null);
      chosen = [...chosen].sort((a, b) => missingLast(a, b) || direction * compareValues(a[column], b[column]));
    }
    headings.forEach((heading, index) => {
      if (index === state.column) heading.setAttribute("aria-sort", state.direction > 0 ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
    body.replaceChildren(...chosen.map((row) => {
      const cells = row.map((value, index) => tableCell(value, columns[index], index, onChoose, row));
      return element("tr", { "aria-current": row[0] === state.marked ? "true" : null }, ...cells);
    }));
    shown.textContent = words.length ? `${chosen.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "";
  }

  if (sortable && rows.length >= FILTER_FROM) {
    const input = element("input", { type: "search", placeholder: "any words", spellcheck: "false" });
    input.addEventListener("input", () => {
      state.filter = input.value;
      fill();
    });
    place.append(element("div", { class: "filter" }, element("label", {}, "Filter ", input), shown));
  }
  const head = element("thead", {}, element("tr", {}, ...headings));
  const table = element("table", {}, element("caption", {}, caption), head, body);
  place.append(element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table));
  fill();
  return {
    mark(name) {
      state.marked = name;
      for (const row of body.rows) {
        if (row.cells[0].textContent === name) row.setAttribute("aria-current", "true");
        else row.removeAttribute("aria-current");
      }
    },
  };
}
