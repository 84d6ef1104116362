/* The page as a whole: reads its data, fills the sections, says why one is empty. */

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function masthead(data) {
  const measured = data.curves.filter((curve) => !curve.source);
  document.getElementById("headline").textContent = `${counted(measured.length, "codec")} on ${counted(data.images.length, "image")}`;
  const rates = measured.flatMap((curve) => curve.points.map((point) => point.bpp[0]));
  const span = rates.length ? `${rate(Math.min(...rates))} to ${rate(Math.max(...rates))} bits per pixel. ` : "";
  const names = data.images.length > 4 ? `${data.images[0]} to ${data.images.at(-1)}` : data.images.join(", ");
  document.getElementById("lead").textContent = `${span}Measured on ${names || "nothing"}.`;
}

function themeButton() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => (button.textContent = dark() ? "Light" : "Dark");
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
}

function notes(root, data) {
  const { confidence, interpolation, minPoints, minOverlap } = data.method;
  const paragraphs = [
    "Rates are bytes of whole files times 8 over pixels of the original. Rates and metrics are computed per image and " +
      `then averaged, every image counting once. Intervals are Student\u2019s t for the mean, ${100 * confidence}\u00a0%, ` +
      "over images; images differ more than codecs do, so overlapping intervals do not mean that two codecs are equal.",
    `BD-rate is Bj\u00f8ntegaard\u2019s delta rate between curves of means, ${interpolation} interpolation of log rate over ` +
      "quality, by the bjontegaard package; quality is mirrored where lower is better. It is given for curves of at " +
      `least ${minPoints} points that rise throughout and share at least ${Math.round(100 * minOverlap)}\u00a0% of their ` +
      "joint range of quality.",
  ];
  root.append(...paragraphs.map((text) => html("p", {}, text)));
  if (data.gaps.length) {
    root.append(html("h3", {}, "Left out"), html("ul", { id: "gaps" }, ...data.gaps.map((text) => html("li", {}, text))));
  }
  const published = data.curves.filter((curve) => curve.source);
  if (published.length) {
    root.append(
      html("h3", {}, "Published figures"),
      html("p", {}, "Drawn for the same images, and only for metrics that are defined as here; nobody has measured them anew."),
      html("dl", {}, ...published.flatMap((curve) => [html("dt", {}, curve.name), html("dd", {}, curve.source)])),
    );
  }
  const labels = { codec_version: "", weights: "weights ", device: "on ", lcodec_version: "measured by lcodec ", commit: "commit " };
  const origins = data.origins.map((origin) => [
    html("dt", {}, origin.codec),
    html("dd", {}, Object.entries(labels).filter(([column]) => origin[column])
      .map(([column, label]) => label + origin[column]).join("; ") || "the table does not say"),
  ]);
  root.append(html("h3", {}, "Where the figures come from"), html("dl", {}, ...origins.flat()));
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const part = (id) => document.getElementById(id);
  const empty = (id, text) => part(id).append(html("p", { class: "empty" }, text));
  masthead(data);
  themeButton();
  if (data.metrics.length) {
    new Chart(part("chart"), data);
    bdTable(part("bd"), data);
    meansTable(part("means"), data);
  } else {
    for (const id of ["chart", "bd", "means"]) {
      empty(id, "No codec has a metric for every image at any target; the last section says what is missing.");
    }
  }
  if (data.comparisons.length) new Compare(part("compare"), data);
  else empty("compare", "The table names no decoded pictures that could be shown.");
  notes(part("notes"), data);
}

start();
