// The exported page: click a text, or move with the arrow keys, and every map is drawn anew.

const palette = bytesOf(STATE.palette);
const at = (name) => document.getElementById(name);
at("caption").textContent = STATE.caption;
at("about").textContent = `Picture ${STATE.sha256.slice(0, 12)}. Frame: the hottest patch.`;
at("bars").append(...STATE.bars.map((bar) => colourBar(bar, palette)));
at("notes").append(...STATE.notes.map((note) => part("", "li", note)));

at("panels").style.setProperty("--shown", Math.min(STATE.panels.length, 5));
const cells = STATE.panels.map((panel) => {
  const canvas = part("", "canvas"), words = part("", "figcaption");
  const photo = new Image();
  photo.src = panel.photo;
  at("panels").append(part("", "figure", canvas, words));
  return { panel, canvas, words, photo };
});

const buttons = STATE.texts.map((text, number) => {
  const button = part("", "button", text);
  button.addEventListener("click", () => show(number));
  return button;
});
at("phrases").append(...buttons);
at("phrases").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const now = buttons.indexOf(document.activeElement);
  if (!step || now < 0) return;
  event.preventDefault();
  const next = Math.min(Math.max(now + step, 0), buttons.length - 1);
  buttons[next].focus();
  show(next);
});

function show(number) {
  buttons.forEach((button, other) => {
    button.setAttribute("aria-pressed", other === number);
    button.tabIndex = other === number ? 0 : -1;
  });
  const { opacity, threshold } = STATE.settings;
  cells.forEach(({ panel, canvas, words, photo }, place) => {
    const bytes = bytesOf(STATE.maps[number][place]);
    const pen = drawHeat(canvas, photo, bytes, panel.grid, palette, opacity, threshold, 512);
    frameHottest(pen, bytes, panel.grid);
    const [low, high] = panel.scale;
    const hottest = low + (Math.max(...bytes) / 255) * (high - low);
    words.textContent = `${panel.title}: ${hottest.toFixed(2)} ${panel.unit} at the hottest patch`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${STATE.texts[number]}. ${words.textContent}`);
  });
}

Promise.all(cells.map((cell) => cell.photo.decode())).then(() => show(0));
