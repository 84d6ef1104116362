/* One picture twice: what two files became, or the original, wiped against each other. */

const ORIGINAL = "original";

const apart = (file, size) => Math.abs(Math.log(file.bytes / size));

const keyOf = (file) => `${file.codec}\n${file.target}`;

class Side {
  constructor(label, name, changed) {
    this.name = name;
    this.select = html("select", { id: `${name}-file`, onchange: changed });
    this.field = html("label", { class: "field" }, html("span", {}, label), this.select);
    this.picture = html("img", { alt: "", draggable: "false" });
    this.layer = html("div", { class: `layer ${name}` }, this.picture);
    this.chip = html("span", { class: `chip ${name}`, "aria-hidden": "true" });
    this.caption = html("div", { class: "caption", "data-side": name });
  }

  offer(comparison) {
    const wanted = this.select.value;
    const groups = [...new Set(comparison.files.map((file) => file.codec))].map((codec) =>
      html(
        "optgroup",
        { label: codec },
        ...comparison.files
          .filter((file) => file.codec === codec)
          .sort((a, b) => a.bytes - b.bytes)
          .map((file) => html("option", { value: keyOf(file) }, `${codec} ${file.target} \u2013 ${bytes(file.bytes)}`)),
      ),
    );
    this.select.replaceChildren(html("option", { value: ORIGINAL }, "Original"), ...groups);
    this.select.value = wanted;
    return this.select.value === wanted && wanted !== "";
  }

  /* The file that is shown, or undefined for the original. */
  file(comparison) {
    return comparison.files.find((file) => keyOf(file) === this.select.value);
  }
}

class Compare {
  constructor(root, data) {
    this.data = data;
    this.wipe = 50;
    this.zoom = "fit";
    this.centre = { x: 0.5, y: 0.5 };
    this.left = new Side("Left", "left", () => this.chosen(this.left, this.right));
    this.right = new Side("Right", "right", () => this.chosen(this.right, this.left));
    this.reference = html("img", { alt: "", class: "reference", hidden: true, draggable: "false" });
    this.handle = html("div", {
      class: "handle",
      role: "slider",
      tabindex: "0",
      "aria-label": "Wipe between left and right",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      onkeydown: (event) => this.slide(event),
    });
    this.stage = html(
      "div",
      {
        class: "stage",
        tabindex: "0",
        role: "group",
        "aria-label": "Compared pictures; with zoom, the arrow keys move them",
        onpointerdown: (event) => this.grab(event),
        onkeydown: (event) => this.pan(event),
      },
      this.right.layer,
      this.left.layer,
      this.reference,
      this.left.chip,
      this.right.chip,
      this.handle,
    );
    root.append(this.explain(), this.thumbnails(), this.choices(), this.stage, this.captions(), this.tools());
    new ResizeObserver(() => this.layout()).observe(this.stage);
    this.open(data.comparisons[0]);
    this.setWipe(50);
  }

  explain() {
    return html(
      "p",
      { class: "explanation" },
      "Drag the line across the picture, or focus it and use the arrow keys. With \u201csame size\u201d, a choice on one side ",
      "gives the other side its file that is nearest in bytes.",
    );
  }

  thumbnails() {
    this.thumbs = this.data.comparisons.map((comparison) =>
      html(
        "button",
        { type: "button", class: "thumb", "aria-pressed": "false", onclick: () => this.open(comparison) },
        html("img", { src: comparison.original, alt: "", loading: "lazy" }),
        html("span", {}, comparison.image),
      ),
    );
    return html("div", { class: "thumbs", role: "group", "aria-label": "Image" }, ...this.thumbs);
  }

  choices() {
    this.same = html("input", { type: "checkbox", id: "same-size", checked: true });
    const swap = html("button", { type: "button", class: "quiet", id: "swap", title: "Swap sides", onclick: () => this.swap() }, "\u21c4");
    swap.setAttribute("aria-label", "Swap sides");
    return html(
      "div",
      { class: "controls sides" },
      this.left.field,
      swap,
      this.right.field,
      html("label", { class: "check" }, this.same, "same size"),
    );
  }

  captions() {
    return html("div", { class: "captions" }, this.left.caption, this.right.caption);
  }

  tools() {
    const zooms = ["fit", 1, 2, 4].map((zoom) =>
      html(
        "button",
        { type: "button", "data-zoom": zoom, onclick: () => this.setZoom(zoom) },
        zoom === "fit" ? "Fit" : `${zoom}\u00d7`,
      ),
    );
    this.zooms = zooms;
    const nearest = html("input", {
      type: "checkbox",
      id: "nearest",
      onchange: () => this.stage.classList.toggle("nearest", nearest.checked),
    });
    const peek = html("button", { type: "button", id: "peek" }, "Hold for original");
    const show = (shown) => () => this.peek(shown);
    peek.addEventListener("pointerdown", show(true));
    for (const name of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) peek.addEventListener(name, show(false));
    peek.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") this.peek(true);
    });
    peek.addEventListener("contextmenu", (event) => event.preventDefault());
    return html(
      "div",
      { class: "controls" },
      html("div", { class: "segments", role: "group", "aria-label": "Zoom" }, ...zooms),
      html("label", { class: "check" }, nearest, "nearest neighbour"),
      peek,
    );
  }

  open(comparison) {
    this.comparison = comparison;
    this.thumbs.forEach((thumb, index) =>
      thumb.setAttribute("aria-pressed", String(this.data.comparisons[index] === comparison)),
    );
    const kept = [this.left, this.right].map((side) => side.offer(comparison));
    if (!kept.every(Boolean)) this.begin();
    this.reference.src = comparison.original;
    this.stage.style.aspectRatio = `${comparison.width} / ${comparison.height}`;
    this.centre = { x: 0.5, y: 0.5 };
    this.show();
    this.setZoom(this.zoom);
  }

  /* The two files of the first two codecs that are closest in size; the original where there is one codec only. */
  begin() {
    const { files } = this.comparison;
    const [first, second] = new Set(files.map((file) => file.codec));
    const pairs = files
      .filter((file) => file.codec === first)
      .map((file) => [file, second && this.nearest(second, file.bytes)])
      .sort(([a, b], [c, d]) => (second ? apart(a, b.bytes) - apart(c, d.bytes) : a.bytes - c.bytes));
    const [left, right] = pairs[0] ?? [];
    this.left.select.value = left ? keyOf(left) : ORIGINAL;
    this.right.select.value = right ? keyOf(right) : ORIGINAL;
  }

  nearest(codec, size) {
    return this.comparison.files
      .filter((file) => file.codec === codec)
      .sort((a, b) => apart(a, size) - apart(b, size))[0];
  }

  chosen(side, other) {
    const [file, opposite] = [side.file(this.comparison), other.file(this.comparison)];
    if (this.same.checked && file && opposite) other.select.value = keyOf(this.nearest(opposite.codec, file.bytes));
    this.show();
  }

  swap() {
    [this.left.select.value, this.right.select.value] = [this.right.select.value, this.left.select.value];
    this.show();
  }

  show() {
    const files = [this.left, this.right].map((side) => side.file(this.comparison));
    [this.left, this.right].forEach((side, index) => {
      const file = files[index];
      const name = file ? `${file.codec} ${file.target}` : "Original";
      side.picture.src = file ? file.picture : this.comparison.original;
      side.picture.alt = `${this.comparison.image}, ${name}`;
      side.chip.textContent = name;
      side.caption.replaceChildren(...this.describe(file, files[1 - index]));
    });
  }

  describe(file, other) {
    const { width, height } = this.comparison;
    if (!file) {
      return [html("strong", {}, "Original"), html("span", {}, `${width} \u00d7 ${height} pixels`)];
    }
    const values = this.data.metrics
      .filter((metric) => metric.column in file.values)
      .map((metric) => html("span", { class: "value" }, html("i", {}, metric.title), figure(metric, file.values[metric.column])));
    return [
      html("strong", {}, `${file.codec} ${file.target}`),
      html("span", { class: "size" }, `${bytes(file.bytes)} \u00b7 ${rate(file.bpp)} bpp`),
      other ? html("span", { class: "ratio" }, `${(file.bytes / other.bytes).toFixed(2)}\u00d7 the other file`) : "",
      html("span", { class: "values" }, ...values),
    ];
  }

  peek(shown) {
    this.reference.hidden = !shown;
    this.stage.classList.toggle("peeking", shown);
  }

  setWipe(percent) {
    this.wipe = Math.min(100, Math.max(0, percent));
    this.stage.style.setProperty("--wipe", `${this.wipe}%`);
    this.handle.setAttribute("aria-valuenow", Math.round(this.wipe));
    this.handle.setAttribute("aria-valuetext", `${Math.round(this.wipe)} percent from the left`);
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.zooms.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.zoom === String(zoom))));
    this.layout();
  }

  /* Size and place of the pictures: `centre` is the point of the picture that lies in the middle of the stage. */
  layout() {
    const { clientWidth, clientHeight } = this.stage;
    const { width, height } = this.comparison;
    const scale = this.zoom === "fit" ? Math.min(clientWidth / width, clientHeight / height) : this.zoom;
    const size = { x: width * scale, y: height * scale };
    const place = (room, length, centre) =>
      length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, room / 2 - centre * length));
    const x = place(clientWidth, size.x, this.centre.x);
    const y = place(clientHeight, size.y, this.centre.y);
    this.size = size;
    this.movable = size.x > clientWidth + 1 || size.y > clientHeight + 1;
    this.stage.classList.toggle("movable", this.movable);
    for (const picture of [this.left.picture, this.right.picture, this.reference]) {
      picture.style.width = `${size.x}px`;
      picture.style.height = `${size.y}px`;
      picture.style.transform = `translate(${x}px, ${y}px)`;
    }
  }

  moveBy(dx, dy) {
    const within = (value, length, room) => {
      const half = Math.min(0.5, room / 2 / length);
      return Math.min(1 - half, Math.max(half, value));
    };
    this.centre.x = within(this.centre.x - dx / this.size.x, this.size.x, this.stage.clientWidth);
    this.centre.y = within(this.centre.y - dy / this.size.y, this.size.y, this.stage.clientHeight);
    this.layout();
  }

  /* The line follows the pointer from anywhere on the stage; a picture larger than the stage moves instead. */
  grab(event) {
    if (event.button > 0) return;
    const moves = this.movable && !this.handle.contains(event.target);
    let last = { x: event.clientX, y: event.clientY };
    const follow = (to) => {
      if (moves) this.moveBy(to.clientX - last.x, to.clientY - last.y);
      else {
        const box = this.stage.getBoundingClientRect();
        this.setWipe((100 * (to.clientX - box.left)) / box.width);
      }
      last = { x: to.clientX, y: to.clientY };
    };
    const release = () => {
      this.stage.removeEventListener("pointermove", follow);
      this.stage.classList.remove("held");
    };
    this.stage.setPointerCapture(event.pointerId);
    this.stage.classList.add("held");
    this.stage.addEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) this.stage.addEventListener(name, release, { once: true });
    if (!moves) follow(event);
  }

  slide(event) {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -100, End: 100 }[event.key];
    if (!step) return;
    this.setWipe(this.wipe + step * (event.shiftKey ? 5 : 1));
    event.preventDefault();
    event.stopPropagation();
  }

  pan(event) {
    const step = { ArrowLeft: [48, 0], ArrowRight: [-48, 0], ArrowUp: [0, 48], ArrowDown: [0, -48] }[event.key];
    if (!step || !this.movable) return;
    this.moveBy(...step);
    event.preventDefault();
  }
}
