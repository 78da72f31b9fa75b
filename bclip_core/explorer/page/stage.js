// The picture with its patches, the maps and the caption, whose words show their maps.

function render({ model, el }) {
  const busy = part("bclip-busy", "div");
  busy.setAttribute("role", "status");
  const caption = part("bclip-words", "p"), bars = part("bclip-bars", "div");
  const panels = part("bclip-panels", "div");
  el.classList.add("bclip-stage");
  el.append(busy, panels, bars, caption);
  let state = {}, palette = new Uint8Array(768), photos = {}, cells = [], tokens = [];
  let asked = [0, 0], waiting = 0;

  const picture = figure("bclip-picture");
  picture.cover.tabIndex = 0;
  picture.cover.setAttribute("role", "application");
  picture.cover.addEventListener("pointermove", (event) => overPatch(patchAt(event)));
  picture.cover.addEventListener("pointerleave", () => overPatch(null));
  picture.cover.addEventListener("click", (event) => choose(...patchAt(event)));
  picture.cover.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!(event.key in step)) return;
    event.preventDefault();
    const [rows, columns] = state.grid, [down, along] = step[event.key];
    choose(
      Math.min(Math.max(asked[0] + down, 0), rows - 1),
      Math.min(Math.max(asked[1] + along, 0), columns - 1)
    );
  });

  function figure(name) {
    const image = part("", "img"), over = part("bclip-over", "canvas");
    const cover = part("bclip-cover", "div", image, over), words = part("", "figcaption");
    return { whole: part(name, "figure", cover, words), image, over, cover, words };
  }

  function choose(row, column) {
    asked = [row, column];
    model.send({ kind: "patch", row, column });
  }

  function patchAt(event) {
    const box = picture.cover.getBoundingClientRect(), [rows, columns] = state.grid;
    const at = (place, length, count) =>
      Math.min(Math.max(Math.floor((place / length) * count), 0), count - 1);
    return [
      at(event.clientY - box.top, box.height, rows),
      at(event.clientX - box.left, box.width, columns),
    ];
  }

  function load() {
    photos = {};
    for (const [name, source] of Object.entries(model.get("photos"))) {
      photos[name] = new Image();
      photos[name].src = source;
    }
  }

  function show() {
    state = model.get("state");
    if (!state.panels) return;
    palette = bytesOf(state.palette);
    asked = state.patch;
    picture.image.src = state.picture.source;
    picture.image.alt = state.picture.words;
    picture.cover.setAttribute("aria-label", `${state.picture.words}; arrow keys move the patch`);
    picture.words.innerHTML = state.picture.html;
    while (cells.length < state.panels.length) cells.push(figure("bclip-panel"));
    cells.length = state.panels.length;
    panels.style.setProperty("--shown", Math.min(1 + state.columns, 5));
    panels.dataset.many = state.columns > 3 ? "1" : "";
    state.panels.forEach((panel, number) => {
      const cell = cells[number];
      cell.image.src = panel.source;
      cell.image.alt = panel.words;
      cell.words.innerHTML = panel.html;
      cell.over.hidden = true;
    });
    const rows = [];
    for (let start = 0; start < cells.length; start += state.columns) {
      const row = cells.slice(start, start + state.columns).map((cell) => cell.whole);
      rows.push(start ? part("bclip-blank", "span") : picture.whole, ...row);
    }
    panels.replaceChildren(...rows);
    panels.hidden = false;
    bars.replaceChildren(...state.bars.map((bar) => colourBar(bar, palette)));
    write();
  }

  function write() {
    tokens = [];
    caption.replaceChildren(
      ...state.caption.map(([text, spoken]) => {
        if (spoken === null) return document.createTextNode(text);
        const token = part("bclip-word", "span", text);
        token.addEventListener("pointerenter", () => overText(spoken));
        token.addEventListener("pointerleave", () => overText(null));
        token.addEventListener("click", () => model.send({ kind: "text", text: spoken }));
        tokens.push([token, spoken]);
        return token;
      })
    );
  }

  // The map of a word or phrase in every panel of the first row, while it is under the mouse.
  function overText(text) {
    const maps = text === null ? undefined : state.spoken[text];
    cells.slice(0, state.columns).forEach((cell, number) => {
      const panel = state.panels[number], photo = photos[panel.photo];
      cell.over.hidden = !maps || !photo?.complete;
      if (cell.over.hidden) return;
      const shares = bytesOf(maps[number]);
      const pen = drawHeat(
        cell.over, photo, shares, panel.grid, palette, state.opacity, state.threshold
      );
      frameHottest(pen, shares, panel.grid);
      cell.over.setAttribute("aria-label", `map of ${text}`);
    });
    el.dataset.over = maps ? text : "";
  }

  // How much each word of the caption answers to the patch under the mouse, in the first panel.
  function overPatch(patch) {
    const place = patch && patch[0] * state.grid[1] + patch[1];
    picture.over.hidden = !patch;
    const at = tokens.map(([, spoken]) => (patch ? bytesOf(state.spoken[spoken][0])[place] : 0));
    const low = Math.min(...at), high = Math.max(...at, low + 1); // words are compared here
    for (const [number, [token]] of tokens.entries()) {
      const share = patch ? 3 * Math.round((255 * (at[number] - low)) / (high - low)) : -1;
      token.style.background =
        share < 0 ? "" : `rgb(${palette[share]},${palette[share + 1]},${palette[share + 2]})`;
      token.style.color = share < 0 ? "" : share > 3 * 140 ? "black" : "white";
    }
    el.dataset.patch = patch ? patch.map((n) => n + 1).join(" ") : "";
    if (!patch) return;
    const { width, height } = picture.cover.getBoundingClientRect();
    [picture.over.width, picture.over.height] = [width, height];
    framePatch(picture.over.getContext("2d"), ...patch, state.grid);
  }

  function work() {
    clearTimeout(waiting);
    busy.textContent = "";
    const words = model.get("busy");
    if (words) waiting = setTimeout(() => (busy.textContent = words), 300);
  }

  function hide() {
    panels.hidden = model.get("failed");
    bars.hidden = caption.hidden = panels.hidden;
  }

  const hovered = (event) => {
    if (event.detail.explorer === model.get("explorer")) overText(event.detail.text);
  };
  document.addEventListener("bclip-over", hovered);
  model.on("change:photos", load);
  model.on("change:state", show);
  model.on("change:busy", work);
  model.on("change:failed", hide);
  load();
  show();
  work();
  hide();
  return () => document.removeEventListener("bclip-over", hovered);
}

export default { render };
