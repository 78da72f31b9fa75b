// One control: a text, an area, a range, a grouped list, chips or thumbnails. Native elements, so
// that a screen reader has a name for each and keys do what they do everywhere.

function part(name, kind, ...inside) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

function render({ model, el }) {
  const name = model.get("description"), id = `bclip-${model.get("key")}`;
  const label = part("bclip-label", "label", name);
  label.htmlFor = id;
  el.classList.add("bclip-field", `bclip-field-${model.get("kind")}`);
  el.classList.toggle("bclip-hidden", model.get("hidden"));
  model.on("change:hidden", () => el.classList.toggle("bclip-hidden", model.get("hidden")));
  const commit = (value) => {
    model.set("value", value);
    model.set("committed", model.get("committed") + 1);
    model.save_changes();
  };
  const kinds = { text, area, range, select, chips, thumbs };
  kinds[model.get("kind")]();

  function text() {
    written(part("", "input"), (event) => event.key === "Enter");
  }

  function area() {
    const field = part("", "textarea");
    field.rows = 3;
    written(field, (event) => event.key === "Enter" && !event.shiftKey);
  }

  function written(field, ends) {
    field.id = id;
    field.placeholder = model.get("placeholder");
    field.spellcheck = false;
    const show = () => (field.value = model.get("value"));
    field.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the notebook has keys of its own
      if (!ends(event)) return;
      event.preventDefault();
      commit(field.value);
    });
    field.addEventListener("change", () => {
      if (field.value !== model.get("value")) commit(field.value);
    });
    model.on("change:value", show);
    show();
    el.append(label, field);
  }

  function range() {
    const field = part("", "input"), readout = part("bclip-readout", "output");
    field.id = id;
    field.type = "range";
    const words = (value) => Number(value).toFixed(model.get("step") < 1 ? 2 : 0);
    const show = () => {
      for (const end of ["min", "max", "step"]) field[end] = model.get(end);
      field.value = model.get("value");
      readout.textContent = words(field.value);
    };
    field.addEventListener("keydown", (event) => event.stopPropagation());
    field.addEventListener("input", () => (readout.textContent = words(field.value)));
    field.addEventListener("change", () => commit(Number(field.value)));
    for (const change of ["value", "min", "max"]) model.on(`change:${change}`, show);
    show();
    el.append(label, field, readout);
  }

  function select() {
    const field = part("", "select");
    field.id = id;
    field.multiple = model.get("multiple");
    if (field.multiple) field.size = 4;
    const show = () => {
      const groups = new Map(), chosen = [model.get("value")].flat();
      for (const [words, value, group] of model.get("options")) {
        const option = part("", "option", words);
        option.value = value;
        if (!groups.has(group || "")) groups.set(group || "", []);
        groups.get(group || "").push(option);
      }
      field.replaceChildren(
        ...[...groups].flatMap(([group, options]) => {
          if (!group) return options;
          const heading = part("", "optgroup", ...options);
          heading.label = group;
          return [heading];
        })
      );
      for (const option of field.options) option.selected = chosen.includes(option.value);
    };
    field.addEventListener("keydown", (event) => event.stopPropagation());
    field.addEventListener("change", () =>
      commit(field.multiple ? [...field.selectedOptions].map((o) => o.value) : field.value)
    );
    model.on("change:options", show);
    model.on("change:value", show);
    show();
    el.append(label, field);
  }

  // One stop of the Tab key; arrows, Home and End move inside.
  function roving(box, choose, over) {
    box.setAttribute("role", "toolbar");
    box.setAttribute("aria-label", name);
    box.addEventListener("keydown", (event) => {
      event.stopPropagation();
      const all = [...box.children], at = all.indexOf(document.activeElement);
      const last = all.length - 1;
      const next = {
        ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1,
        Home: 0, End: last,
      }[event.key];
      if (next === undefined || at < 0) return;
      event.preventDefault();
      const chosen = all[Math.min(Math.max(next, 0), last)];
      for (const each of all) each.tabIndex = each === chosen ? 0 : -1;
      chosen.focus();
    });
    const show = () => {
      const value = model.get("value"), options = model.get("options");
      const at = Math.max(options.findIndex((option) => option[1] === value), 0);
      box.replaceChildren(
        ...options.map((option, number) => {
          const button = part("bclip-chip", "button");
          button.type = "button";
          button.title = option[2] || option[0];
          button.tabIndex = number === at ? 0 : -1;
          button.setAttribute("aria-pressed", option[1] === value);
          button.addEventListener("click", () => commit(option[1]));
          if (over) {
            button.addEventListener("pointerenter", () => over(option[1]));
            button.addEventListener("pointerleave", () => over(null));
          }
          choose(button, option);
          return button;
        })
      );
      box.hidden = label.hidden = options.length === 0;
    };
    const press = () => {
      const value = model.get("value");
      model.get("options").forEach((option, number) => {
        const button = box.children[number];
        if (button) button.setAttribute("aria-pressed", option[1] === value);
      });
    };
    model.on("change:options", show);
    model.on("change:value", press);
    show();
    el.append(label, box);
  }

  function chips() {
    const say = (text) =>
      document.dispatchEvent(
        new CustomEvent("bclip-over", { detail: { explorer: model.get("explorer"), text } })
      );
    roving(part("bclip-chips", "div"), (button, option) => button.append(option[0]), say);
  }

  function thumbs() {
    roving(part("bclip-thumbs", "div"), (button, option) => {
      const image = part("", "img");
      image.src = option[3];
      image.alt = option[0];
      button.append(image);
    });
  }
}

export default { render };
