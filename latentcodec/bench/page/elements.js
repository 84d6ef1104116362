"use strict";

/* What every part of the page uses: making elements, and writing numbers. Text from the table only ever becomes
   text nodes and attributes here, never markup. */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

const grouped = new Intl.NumberFormat("en");

const bytes = (count) => `${grouped.format(count)} bytes`;

const rate = (bpp) => bpp.toFixed(4);

/* A typographic minus, so that signs line up with digits. */
const signed = (value, digits) => `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(digits)}`;

function figure(metric, value) {
  return value.toFixed(metric.digits).replace("-", "\u2212") + (metric.unit ? `\u00a0${metric.unit}` : "");
}

const direction = (metric) => (metric.higher ? "higher is better" : "lower is better");

/* One look per curve: measured codecs are filled and coloured, published ones hollow, dashed and gray. */
function looks(curves) {
  const counts = { measured: 0, published: 0 };
  return new Map(
    curves.map((curve) => {
      const kind = curve.source ? "published" : "measured";
      const index = counts[kind]++;
      const own = curve.own;
      return [curve.name, { className: `${kind} ${kind}-${index % 8}${own ? " own" : ""}`, marker: (index + Math.floor(index / 8)) % MARKERS.length }];
    }),
  );
}

const polygon = (corners) => `M${corners.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join("L")}Z`;

const regular = (count, radius, turn) =>
  polygon(
    Array.from({ length: count }, (_, i) => {
      const angle = turn + (2 * Math.PI * i) / count;
      return [radius * Math.sin(angle), -radius * Math.cos(angle)];
    }),
  );

function star(radius) {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const length = i % 2 ? radius * 0.5 : radius;
    return [length * Math.sin((Math.PI * i) / 5), -length * Math.cos((Math.PI * i) / 5)];
  });
  return polygon(corners);
}

/* Markers of about the same area, so that colour is never the only difference. */
const MARKERS = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  (r) => regular(4, r * 1.25, Math.PI / 4),
  (r) => regular(3, r * 1.4, 0),
  (r) => regular(4, r * 1.3, 0),
  (r) => regular(3, r * 1.4, Math.PI),
  (r) => star(r * 1.5),
  (r) => regular(6, r * 1.15, 0),
  (r) => regular(5, r * 1.2, 0),
];

const glyph = (look, radius = 4.5) => svg("path", { class: "marker", d: MARKERS[look.marker](radius) });

/* A short line with its marker, as in the chart. */
function swatch(look) {
  return svg(
    "svg",
    { class: `swatch ${look.className}`, viewBox: "-14 -8 28 16", width: 28, height: 16, "aria-hidden": "true" },
    svg("path", { class: "line", d: "M-13,0H13" }),
    glyph(look),
  );
}
