/* One chart of quality over bits per pixel, redrawn for every metric, width and choice of codecs. */

function decades(low, high, steps) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const step of steps) {
      const value = Number((step * 10 ** power).toPrecision(3));
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks;
}

/* Round numbers, about `count` of them, that lie between low and high. */
function roundTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(i * step);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/* Move labels apart where they would overlap: downwards, and to the right of the rightmost of those that touch. */
function spread(labels, height, bottom) {
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, i) => {
    const above = labels[i - 1];
    label.y = Math.min(label.y, bottom - (labels.length - 1 - i) * height);
    if (!above || label.y >= above.y + height) return;
    label.y = above.y + height;
    label.x = Math.max(label.x, above.x);
    for (let j = i - 1; j >= 0 && labels[j].y + height >= labels[j + 1].y; j--) labels[j].x = label.x;
  });
}

class Chart {
  constructor(root, data) {
    this.data = data;
    this.looks = looks(data.curves);
    this.metric = data.metrics[0];
    this.hidden = new Set();
    this.intervals = false;
    this.active = null;

    this.svg = svg("svg", {
      class: "plot",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "chart",
      onpointermove: (event) => this.point(event),
      onpointerdown: (event) => this.point(event),
      onpointerleave: (event) => event.pointerType === "touch" || this.activate(null),
      onkeydown: (event) => this.walk(event),
      onblur: () => this.activate(null),
    });
    this.tip = html("div", { class: "tip", role: "status", hidden: true });
    this.legend = html("ul", { class: "legend" });
    this.tabs = this.makeTabs();
    const intervals = html("input", {
      type: "checkbox",
      onchange: (event) => {
        this.intervals = event.target.checked;
        this.draw();
      },
    });
    const aside = html(
      "div",
      { class: "key" },
      this.legend,
      html("label", { class: "check" }, intervals, `${Math.round(100 * data.method.confidence)}\u00a0% intervals`),
    );
    this.frame = html("div", { class: "frame", id: "panel", role: "tabpanel" }, this.svg, this.tip);
    root.append(this.tabs, html("div", { class: "with-key" }, this.frame, aside));
    new ResizeObserver(() => this.draw()).observe(this.frame);
    this.show(this.metric);
  }

  makeTabs() {
    const list = html("div", { class: "tabs", role: "tablist", "aria-label": "Metric" });
    for (const kind of new Set(this.data.metrics.map((metric) => metric.kind))) {
      const tabs = this.data.metrics.filter((metric) => metric.kind === kind).map((metric) =>
        html("button", {
          type: "button",
          role: "tab",
          id: `tab-${metric.column}`,
          "aria-controls": "panel",
          onclick: () => this.show(metric),
        }, metric.title),
      );
      list.append(html("div", { class: "group", role: "presentation" }, html("span", { "aria-hidden": "true" }, kind), ...tabs));
    }
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const all = this.data.metrics;
      const next = all[(all.indexOf(this.metric) + step + all.length) % all.length];
      this.show(next);
      document.getElementById(`tab-${next.column}`).focus();
      event.preventDefault();
    });
    return list;
  }

  show(metric) {
    this.metric = metric;
    for (const tab of this.tabs.querySelectorAll("[role=tab]")) {
      const chosen = tab.id === `tab-${metric.column}`;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.frame.setAttribute("aria-labelledby", `tab-${metric.column}`);
    this.svg.setAttribute(
      "aria-label",
      `${metric.title} over bits per pixel, ${direction(metric)}. Left and right walk along a curve, up and down change it.`,
    );
    this.drawLegend();
    this.draw();
  }

  /* Curves that have the metric, with their points in the order of rates. */
  curves() {
    return this.data.curves
      .map((curve) => ({ ...curve, points: curve.points.filter((point) => point.values[this.metric.column]) }))
      .filter((curve) => curve.points.length);
  }

  visible() {
    return this.curves().filter((curve) => !this.hidden.has(curve.name));
  }

  drawLegend() {
    const items = this.curves().map((curve) =>
      html(
        "li",
        {},
        html(
          "button",
          {
            type: "button",
            "aria-pressed": String(!this.hidden.has(curve.name)),
            title: curve.source || undefined,
            onclick: (event) => this.toggle(curve.name, event.currentTarget),
            onpointerenter: () => this.emphasise(curve.name),
            onpointerleave: () => this.emphasise(null),
          },
          swatch(this.looks.get(curve.name)),
          html("span", {}, curve.name),
        ),
      ),
    );
    const first = this.curves().findIndex((curve) => curve.source);
    if (first >= 0) items.splice(first, 0, html("li", { class: "caption" }, "Published by others"));
    this.legend.replaceChildren(...items);
  }

  toggle(name, button) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    this.activate(null);
    this.draw();
  }

  emphasise(name) {
    this.svg.classList.toggle("dimmed", name !== null && !this.hidden.has(name));
    for (const group of this.svg.querySelectorAll("[data-codec]")) {
      group.classList.toggle("lit", group.dataset.codec === name);
    }
  }

  value(point) {
    return point.values[this.metric.column];
  }

  /* Scales from the visible points, with the intervals where they are drawn. */
  scale(curves, area) {
    const points = curves.flatMap((curve) => curve.points);
    const margin = (pair) => (this.intervals && pair[1]) || 0;
    const rates = points.flatMap((p) => [p.bpp[0] - Math.min(margin(p.bpp), 0.9 * p.bpp[0]), p.bpp[0] + margin(p.bpp)]);
    const values = points.flatMap((p) => [this.value(p)[0] - margin(this.value(p)), this.value(p)[0] + margin(this.value(p))]);
    const x = [Math.log10(Math.min(...rates)), Math.log10(Math.max(...rates))];
    const y = [Math.min(...values), Math.max(...values)];
    const pad = (range, share, least) => {
      const room = Math.max(share * (range[1] - range[0]), least);
      return [range[0] - room, range[1] + room];
    };
    this.domain = { x: pad(x, 0.04, 0.02), y: pad(y, 0.06, 1e-3) };
    const along = (range, from, to) => (value) => from + ((value - range[0]) / (range[1] - range[0])) * (to - from);
    const logX = along(this.domain.x, area.left, area.right);
    this.x = (bpp) => logX(Math.log10(bpp));
    this.y = along(this.domain.y, area.bottom, area.top);
  }

  draw() {
    const width = this.frame.clientWidth;
    if (!width) return;
    const named = width >= 620;
    const height = Math.round(Math.min(540, Math.max(300, width * 0.58)));
    const area = (this.area = { left: 46, right: width - (named ? 96 : 10), top: 30, bottom: height - 44 });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    const curves = this.visible();
    if (!curves.length) {
      this.svg.replaceChildren(
        svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "axis" }, "All codecs are switched off."),
      );
      return;
    }
    this.scale(curves, area);
    this.spots = curves.map((curve) => ({
      name: curve.name,
      points: curve.points.map((point) => ({ point, x: this.x(point.bpp[0]), y: this.y(this.value(point)[0]) })),
    }));
    this.cross = svg("path", { class: "cross" });
    this.svg.replaceChildren(
      this.axes(area, width, height),
      this.cross,
      ...this.spots.toReversed().map((spots) => this.line(spots)),
      ...(named ? this.names(area) : []),
    );
  }

  axes(area, width, height) {
    const group = svg("g", { class: "axis" });
    const { ticks, digits } = roundTicks(...this.domain.y, 8);
    for (const tick of ticks) {
      const y = Math.round(this.y(tick)) + 0.5;
      group.append(
        svg("path", { class: "grid", d: `M${area.left},${y}H${area.right}` }),
        svg("text", { x: area.left - 8, y: y + 4, "text-anchor": "end" }, tick.toFixed(digits).replace("-", "\u2212")),
      );
    }
    const [low, high] = this.domain.x.map((value) => 10 ** value);
    const fine = decades(low, high, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const round = decades(low, high, width < 480 ? [1, 3] : [1, 2, 5]);
    const coarse = round.length < 2 ? fine : round;
    for (const tick of fine) {
      const x = Math.round(this.x(tick)) + 0.5;
      group.append(svg("path", { class: "tick", d: `M${x},${area.bottom}v${coarse.includes(tick) ? 7 : 4}` }));
    }
    for (const tick of coarse) {
      const x = Math.round(this.x(tick)) + 0.5;
      group.append(
        svg("path", { class: "grid", d: `M${x},${area.top}V${area.bottom}` }),
        svg("text", { x, y: area.bottom + 20, "text-anchor": "middle" }, String(tick)),
      );
    }
    const arrow = this.metric.higher ? "\u2191" : "\u2193";
    group.append(
      svg("path", { class: "base", d: `M${area.left},${area.bottom + 0.5}H${area.right}` }),
      svg(
        "text",
        { x: 0, y: 14, class: "title" },
        svg("tspan", { class: "strong" }, this.metric.title + (this.metric.unit ? `, ${this.metric.unit}` : "")),
        svg("tspan", { dx: 8 }, `${arrow} ${direction(this.metric)}`),
      ),
      svg("text", { x: area.right, y: height - 6, "text-anchor": "end", class: "title" }, "bits per pixel, logarithmic"),
    );
    return group;
  }

  line({ name, points }) {
    const look = this.looks.get(name);
    const group = svg("g", { class: `curve ${look.className}`, "data-codec": name });
    if (this.intervals) for (const spot of points) group.append(this.whiskers(spot));
    group.append(svg("path", { class: "line", d: `M${points.map((p) => `${p.x.toFixed(1)},${p.y.toFixed(1)}`).join("L")}` }));
    for (const spot of points) {
      const marker = glyph(look);
      marker.setAttribute("transform", `translate(${spot.x.toFixed(1)},${spot.y.toFixed(1)})`);
      group.append(marker);
    }
    return group;
  }

  whiskers({ point }) {
    const [bpp, along] = point.bpp;
    const [value, across] = this.value(point);
    const x = this.x(bpp);
    const y = this.y(value);
    const left = along ? this.x(Math.max(bpp - along, bpp / 10)) : x;
    const right = along ? this.x(bpp + along) : x;
    const [top, bottom] = across ? [this.y(value + across), this.y(value - across)] : [y, y];
    return svg("path", { class: "whisker", d: `M${left},${y}H${right}M${x},${top}V${bottom}` });
  }

  /* Names of the measured codecs: right of the curves that end there, under the first point of the others. */
  names(area) {
    const ends = [];
    const starts = [];
    for (const { name, points } of this.spots) {
      if (this.source(name)) continue;
      const last = points.at(-1);
      if (last.x > area.right - 160) ends.push({ name, x: last.x + 11, y: last.y + 4 });
      else starts.push({ name, x: points[0].x - 6, y: points[0].y + 22 });
    }
    spread(ends, 15, area.bottom);
    return [...ends, ...starts].map(({ name, x, y }) =>
      svg("text", { class: `name ${this.looks.get(name).className}`, x, y, "data-codec": name }, name),
    );
  }

  source(name) {
    return this.data.curves.find((curve) => curve.name === name).source;
  }

  point(event) {
    if (!this.spots || !this.visible().length) return;
    const box = this.svg.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    let best = null;
    let nearest = 44;
    this.spots.forEach(({ points }, curve) =>
      points.forEach((spot, index) => {
        const distance = Math.hypot(spot.x - at.x, spot.y - at.y);
        if (distance < nearest) {
          nearest = distance;
          best = { curve, index };
        }
      }),
    );
    this.activate(best);
  }

  walk(event) {
    if (event.key === "Escape") return this.activate(null);
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || !this.spots || !this.visible().length) return;
    event.preventDefault();
    if (!this.active) return this.activate({ curve: 0, index: 0 });
    const curve = (this.active.curve + step[0] + this.spots.length) % this.spots.length;
    const last = this.spots[curve].points.length - 1;
    this.activate({ curve, index: Math.min(last, Math.max(0, this.active.index + step[1])) });
  }

  activate(active) {
    this.active = active;
    this.tip.hidden = !active;
    this.emphasise(active ? this.spots[active.curve].name : null);
    if (!active) return this.cross?.setAttribute("d", "");
    const { name, points } = this.spots[active.curve];
    const { point, x, y } = points[active.index];
    this.cross.setAttribute("d", `M${this.area.left},${y}H${x}V${this.area.bottom}`);
    const pair = ([mean, margin], write) => (margin === null ? write(mean) : `${write(mean)} \u00b1 ${write(margin)}`);
    this.tip.replaceChildren(
      html("strong", {}, point.target ? `${name}, ${point.target}` : name),
      html("span", {}, `${this.metric.title} ${pair(this.value(point), (value) => figure(this.metric, value))}`),
      html("span", {}, `${pair(point.bpp, rate)} bpp`),
      html("span", { class: "muted" }, this.source(name)
        ? "published, without interval"
        : `mean of ${point.images} ${point.images === 1 ? "image" : "images"}`),
    );
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const left = x + 14 + width <= this.frame.clientWidth ? x + 14 : Math.max(0, x - 14 - width);
    this.tip.style.transform = `translate(${left}px, ${Math.max(0, y - height - 10)}px)`;
  }
}
