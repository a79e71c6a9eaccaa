"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const rows = [...document.querySelectorAll("tbody tr")];
const texts = rows.map(row => row.textContent.toLowerCase());
const points = rows.map(() => []);
const hover = document.getElementById("hover");
const all = data.groups.length ? data.groups : [{ name: "", colour: "#0072B2" }];
const SIZE = { width: 340, left: all.length > 1 ? 76 : 10, right: 322, row: rows.length > 100 ? 52 : 32, axis: 20 };
const link = i => data.images[i].link || `#image-${i + 1}`;
const short = value => String(Number(value.toPrecision(3)));

function svg(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return parent.appendChild(made);
}

function html(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  return parent.appendChild(made);
}

const middle = values => {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length / 2;
  return (sorted[Math.ceil(half - .5)] + sorted[Math.ceil(half) - 1]) / 2;
};

// Return where a value lies in a panel, and the values of the ticks.
function scale(values) {
  let low = Math.min(...values), high = Math.max(...values);
  const room = (high - low) * .03 || 1, same = low === high && [low];
  low -= room; high += room;
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(n => n * power).find(one => one >= rough), ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(n * step);
  return { at: value => SIZE.left + (SIZE.right - SIZE.left) * (value - low) / (high - low), ticks: same || ticks };
}

// Points that would cover each other lie above and below the middle of their group's row.
function heights(indices, x) {
  const columns = new Map();
  for (const i of indices) {
    const column = Math.round(x(i) / 4);
    columns.set(column, [...columns.get(column) || [], i]);
  }
  const most = Math.max(...[...columns.values()].map(column => column.length));
  const step = Math.min(5, (SIZE.row - 8) / most), found = new Map();
  for (const column of columns.values())
    column.forEach((i, n) => found.set(i, (n % 2 ? 1 : -1) * Math.ceil(n / 2) * step));
  return found;
}

// Groups share an axis, unless their medians differ more than fivefold, as volumes of species do.
function panel(measure, parent) {
  const figure = html("figure", "", parent), caption = html("figcaption", measure.name, figure);
  const strips = all.map(group => ({ group, own: [] })), by = new Map(strips.map(one => [one.group.name, one]));
  measure.values.forEach((value, i) => value !== null && by.get(data.images[i].group).own.push(i));
  const there = strips.filter(one => one.own.length);
  for (const one of there) one.median = middle(one.own.map(i => measure.values[i]));
  const medians = there.map(one => one.median), least = Math.min(...medians);
  const apart = least > 0 && Math.max(...medians) > 5 * least, height = SIZE.row + (apart ? SIZE.axis : 0);
  if (measure.good) html("small", `expected: ${measure.good}`, caption);
  if (apart) html("small", "own axes", caption);
  const whole = there.length * height + (apart ? 0 : SIZE.axis);
  const plot = svg("svg", { viewBox: `0 0 ${SIZE.width} ${whole}`, "aria-hidden": "true" }, figure);
  const common = scale(measure.values.filter(value => value !== null));
  if (!apart) ruler(plot, common, 0, whole - SIZE.axis, measure.good);
  there.forEach((one, n) => {
    const axis = apart ? scale(one.own.map(i => measure.values[i])) : common;
    if (apart) ruler(plot, axis, n * height, n * height + SIZE.row, measure.good);
    strip(plot, measure, axis, one, n * height + SIZE.row / 2);
  });
  outliers(measure, figure);
}

function ruler(plot, axis, top, base, good) {
  svg("path", { d: `M${SIZE.left} ${base}H${SIZE.right}`, class: "axis" }, plot);
  for (const tick of axis.ticks) {
    svg("path", { d: `M${axis.at(tick)} ${base}v4`, class: "axis" }, plot);
    svg("text", { x: axis.at(tick), y: base + 15, "text-anchor": "middle" }, plot).textContent = Number(tick.toPrecision(6));
  }
  for (const limit of (good.match(/\d[\d.]*(e[+-]?\d+)?/g) || []).map(Number)) {
    const x = axis.at(limit);
    if (x >= SIZE.left && x <= SIZE.right) svg("path", { d: `M${x} ${top}V${base}`, class: "limit" }, plot);
  }
}

function strip(plot, measure, axis, { group, own, median }, line) {
  const far = new Map(measure.odd), x = i => axis.at(measure.values[i]), y = heights(own, x);
  const radius = own.length > 100 ? 2.5 : 3.5;
  if (all.length > 1) {
    const name = group.name.length > 11 ? group.name.slice(0, 10) + "…" : group.name;
    svg("text", { x: 0, y: line + 4 }, plot).textContent = name;
  }
  for (const i of [...own.filter(i => !far.has(i)), ...own.filter(i => far.has(i))]) {
    const place = svg("a", { href: link(i), tabindex: -1 }, plot);
    const at = [x(i).toFixed(1), (line + y.get(i)).toFixed(1)];
    const mark = far.has(i)
      ? svg("path", { d: `M${at}m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z`, class: "point odd", fill: group.colour }, place)
      : svg("circle", { cx: at[0], cy: at[1], r: radius, class: "point", fill: group.colour }, place);
    mark.image = i;
    mark.says = [data.images[i].image, `${measure.name}: ${short(measure.values[i])}`, group.name,
      far.has(i) ? `robust z ${far.get(i)}` : "", data.images[i].verdict].filter(Boolean).join("\n");
    points[i].push(mark);
  }
  svg("path", { d: `M${axis.at(median)} ${line - SIZE.row / 2 + 3}v${SIZE.row - 6}`, class: "median" }, plot);
}

function outliers(measure, figure) {
  if (!measure.odd.length) return;
  const line = html("p", "outliers: ", figure);
  measure.odd.slice(0, 4).forEach(([i, z], n) => {
    if (n) line.append(", ");
    const name = html("a", data.images[i].image, line);
    name.href = link(i);
    line.append(` (z ${z})`);
  });
  if (measure.odd.length > 4) line.append(`, ${measure.odd.length - 4} more`);
}

function show(mark, event) {
  points[mark.image].forEach(one => one.classList.add("hot"));
  hover.textContent = mark.says;
  hover.hidden = false;
  const { width, height } = hover.getBoundingClientRect();
  hover.style.left = `${Math.max(0, Math.min(event.clientX + 12, innerWidth - width - 8))}px`;
  hover.style.top = `${Math.max(0, Math.min(event.clientY + 14, innerHeight - height - 8))}px`;
}

function filter() {
  const words = document.getElementById("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const ticked = name => new Set([...document.querySelectorAll(`input[name=${name}]:checked`)].map(one => one.value));
  const verdicts = ticked("verdict"), inGroups = ticked("group");
  let count = 0;
  rows.forEach((row, i) => {
    const image = data.images[i];
    const is = verdicts.has(image.verdict) && (!data.groups.length || inGroups.has(image.group))
      && words.every(word => texts[i].includes(word));
    count += is;
    row.hidden = !is;
    points[i].forEach(one => one.classList.toggle("off", !is));
  });
  document.getElementById("shown").textContent = `${count} of ${rows.length} shown`;
}

function sort(header) {
  const up = header.getAttribute("aria-sort") !== "ascending", column = header.cellIndex;
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const keys = new Map(rows.map(row => [row, key(row)]));
  const { compare } = new Intl.Collator("en", { numeric: true });
  const order = "number" in header.dataset ? (a, b) => a - b : compare;
  document.querySelectorAll("th[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const empty = row => keys.get(row) === "";
  const sorted = [...rows].sort((a, b) =>
    empty(a) - empty(b) || (up ? order(keys.get(a), keys.get(b)) : order(keys.get(b), keys.get(a))));
  document.querySelector("tbody").append(...sorted);
}

const panels = document.querySelector(".panels");
data.measures.forEach(measure => panel(measure, panels));
panels.addEventListener("mouseover", event => event.target.says && show(event.target, event));
panels.addEventListener("mouseout", event => {
  if (!event.target.says) return;
  points[event.target.image].forEach(one => one.classList.remove("hot"));
  hover.hidden = true;
});
document.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => sort(button.parentElement)));
const form = document.getElementById("filter");
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
new ResizeObserver(() => document.body.style.setProperty("--bar", `${form.offsetHeight}px`)).observe(form);
filter();
