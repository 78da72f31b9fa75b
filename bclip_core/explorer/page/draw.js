// Heat over a picture in the browser: for what is under the mouse, and for the exported page.
// Colours and scale are Python's (plotting/heat.py): it sends the palette, and every map as one
// byte per patch, its share of the scale.

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// A map of rows x columns at width x height, linear between the centres of its patches.
function enlarge(shares, [rows, columns], width, height) {
  const found = new Float32Array(width * height);
  const place = (n, length, count) => {
    const at = Math.min(Math.max(((n + 0.5) * count) / length - 0.5, 0), count - 1);
    const low = Math.min(Math.floor(at), Math.max(count - 2, 0));
    return [low, Math.min(low + 1, count - 1), at - low];
  };
  const across = Array.from({ length: width }, (_, n) => place(n, width, columns));
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = place(y, height, rows);
    for (let x = 0; x < width; x++) {
      const [left, right, along] = across[x];
      const row = (r) => shares[r * columns + left] * (1 - along) + shares[r * columns + right] * along;
      found[y * width + x] = row(top) * (1 - down) + row(bottom) * down;
    }
  }
  return found;
}

function drawHeat(canvas, photo, shares, grid, palette, opacity, threshold, least = 256) {
  const width = Math.min(Math.max(photo.naturalWidth, least), 512);
  const height = Math.round((width * photo.naturalHeight) / photo.naturalWidth);
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingEnabled = photo.naturalWidth >= 256; // a scene's pixels are whole squares
  pen.drawImage(photo, 0, 0, width, height);
  const drawn = pen.getImageData(0, 0, width, height);
  const heat = enlarge(shares, grid, width, height);
  let low = 255, high = 0;
  for (const share of shares) {
    low = Math.min(low, share);
    high = Math.max(high, share);
  }
  const bare = low + threshold * (high - low);
  for (let n = 0; n < heat.length; n++) {
    const pixel = drawn.data.subarray(4 * n, 4 * n + 4);
    const grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
    const alpha = heat[n] >= bare ? opacity : 0;
    const colour = 3 * Math.round(heat[n]);
    for (let part = 0; part < 3; part++) {
      pixel[part] = (1 - alpha) * grey + alpha * palette[colour + part];
    }
  }
  pen.putImageData(drawn, 0, 0);
  return pen;
}

// The hottest patch, framed in white and black.
function frameHottest(pen, shares, [rows, columns]) {
  const hottest = shares.indexOf(Math.max(...shares));
  framePatch(pen, Math.floor(hottest / columns), hottest % columns, [rows, columns]);
}

function framePatch(pen, row, column, [rows, columns]) {
  const width = pen.canvas.width / columns, height = pen.canvas.height / rows;
  for (const [inset, colour] of [[1, "white"], [3, "black"]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.strokeRect(
      column * width + inset, row * height + inset, width - 2 * inset, height - 2 * inset
    );
  }
}

function part(name, kind, ...inside) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

// A colour bar with the ends of its scale.
function colourBar({ unit, low, high }, palette) {
  const colours = [];
  for (let n = 0; n < 256; n += 15) {
    colours.push(`rgb(${palette[3 * n]},${palette[3 * n + 1]},${palette[3 * n + 2]})`);
  }
  const bar = part("bclip-ramp", "span");
  bar.style.background = `linear-gradient(to right, ${colours.join(",")})`;
  const ends = [low, high].map((end) => part("", "span", end));
  const made = part("bclip-bar", "div", part("", "span", unit), ends[0], bar, ends[1]);
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `colours: ${unit}, from ${low} to ${high}`);
  return made;
}
