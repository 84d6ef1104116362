/* BD-rates against an anchor that can be chosen, and the means behind the curves. */

function scrolling(label, table) {
  return html("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, table);
}

function codecCell(look, name) {
  return html("th", { scope: "row" }, html("span", { class: "codec" }, swatch(look), name));
}

/* A tint that grows with the difference and is full at 60 percent. */
function bdCell(result) {
  if (result.reason) return html("td", { class: "none" }, result.reason);
  const cell = html(
    "td",
    { class: result.percent <= 0 ? "better" : "worse" },
    html("span", { class: "percent" }, `${signed(result.percent, 1)}\u00a0%`),
    html("small", {}, `overlap ${Math.round(100 * result.overlap)}\u00a0%`),
  );
  cell.style.setProperty("--strength", Math.min(1, Math.abs(result.percent) / 60).toFixed(2));
  return cell;
}

function bdTable(root, data) {
  if (data.curves.length < 2) {
    root.append(html("p", { class: "empty" }, "There is one codec only, so there is nothing to compare it with."));
    return;
  }
  const look = looks(data.curves);
  const body = html("tbody");
  const columns = data.metrics.map((metric) => html("th", { scope: "col" }, metric.title));
  const show = (anchor) =>
    body.replaceChildren(
      ...data.curves.map((curve) => {
        const name = codecCell(look.get(curve.name), curve.name);
        if (curve.name === anchor) {
          return html("tr", { class: "anchor" }, name, html("td", { colspan: data.metrics.length }, "the anchor"));
        }
        return html("tr", {}, name, ...data.metrics.map((metric) => bdCell(data.bd[anchor][curve.name][metric.column])));
      }),
    );
  const anchors = data.curves.map((curve) => html("option", { value: curve.name }, curve.name));
  const select = html("select", { id: "anchor", onchange: () => show(select.value) }, ...anchors);
  select.value = data.anchor;
  const head = html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "Codec"), ...columns));
  root.append(
    html(
      "p",
      { class: "explanation" },
      "How many bits a codec spends more (+) or fewer (\u2212) than the anchor for equal quality, where their curves ",
      "overlap. Where the figure would mean nothing, the cell says why.",
    ),
    html("div", { class: "controls" }, html("label", { class: "field" }, html("span", {}, "Anchor"), select)),
    scrolling("BD-rates", html("table", { class: "bd" }, head, body)),
  );
  show(data.anchor);
}

function meansTable(root, data) {
  const look = looks(data.curves);
  const cell = (pair, write) =>
    pair
      ? html("td", {}, write(pair[0]), pair[1] === null ? null : html("small", {}, `\u00b1 ${write(pair[1])}`))
      : html("td", { class: "none" }, "\u2013");
  const bodies = data.curves.map((curve) =>
    html(
      "tbody",
      {},
      ...curve.points.map((point, index) =>
        html(
          "tr",
          {},
          index ? html("th", { scope: "row" }, html("span", { class: "sr" }, curve.name)) : codecCell(look.get(curve.name), curve.name),
          html("td", { class: "text" }, point.target || (index ? "" : "published")),
          cell(point.bpp, rate),
          ...data.metrics.map((metric) => cell(point.values[metric.column], (value) => value.toFixed(metric.digits))),
        ),
      ),
    ),
  );
  const titles = [
    "Codec",
    "Target",
    "bpp",
    ...data.metrics.map((metric) => metric.title + (metric.unit ? `, ${metric.unit}` : "")),
  ];
  const percent = Math.round(100 * data.method.confidence);
  root.append(
    html(
      "p",
      { class: "explanation" },
      `Means over ${data.images.length} ${data.images.length === 1 ? "image" : "images"} with ${percent}\u00a0% intervals: `,
      "what the curves are drawn from.",
    ),
    scrolling(
      "Means and intervals",
      html("table", { class: "means" }, html("thead", {}, html("tr", {}, ...titles.map((title, index) =>
        html("th", { scope: "col", class: index === 1 ? "text" : undefined }, title)))), ...bodies),
    ),
  );
}
