"use strict";
/* Draws what Python computed of a prompt; the page itself computes the sampling, and nothing else. */

const page = JSON.parse(document.getElementById("data").textContent);
const { model } = page;
const state = { position: 0, layer: 0, head: 0, row: 0, neuronLayer: 0, rank: 0, point: null };
const off = { heads: new Set(), mlps: new Set(), replaced: new Map() };
const TOP_K = [1, 2, 3, 5, 10, 20, 40, 100, 200, 500, 1000, 2000, 0]; // 0: no limit
const MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
let view = prepare(page.view);
let hovered = null; // the query that the pointer is on

/* ---- Texts: the English one is the key of its translation; {name} stands for a field, a text or an element */

const pieces = (text, fields = {}) => (page.texts[text] ?? text).split(/\{(\w+)\}/).flatMap((piece, i) => (i % 2 ? fields[piece] : piece || []));
const say = (text, fields) => pieces(text, fields).join("");
const comma = (parts) => parts.flatMap((part, i) => (i ? [say(", "), part] : [part])); // in a row, elements too
const headName = (layer, head) => say("head {head} of layer {layer}", { head, layer });

/* ---- Data */

function prepare(raw) {
  const heads = { patterns: unpack(raw.attention.patterns), entropy: unpack(raw.attention.entropy) };
  const habits = raw.attention.habits.map((habit) => ({ ...habit, share: unpack(habit.share) }));
  const unpacked = (tree, names) => tree && { ...tree, ...Object.fromEntries(names.map((name) => [name, unpack(tree[name])])) };
  const logits = unpack(raw.logits);
  return {
    ...raw,
    n: raw.ids.length,
    keys: raw.source_ids ?? raw.ids, // what attention looks at: of a translation, the source
    neighbors: unpacked(raw.neighbors, ["ids", "cosine"]),
    attention: { ...heads, habits },
    stream: unpacked(raw.stream, ["added", "norm", "push", "head_push", "targets"]),
    lens: unpacked(raw.lens, ["ids", "probabilities"]),
    neurons: unpacked(raw.neurons, ["strongest", "activation", "more", "less"]),
    logits,
    firstLogits: raw.ids.length - logits.shape[0],
    pictures: new Map(),
  };
}

function unpack({ dtype, shape, data, scale = 1 }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const kinds = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };
  const values = dtype === "float16" ? Float32Array.from(new Uint16Array(bytes.buffer), half) : new kinds[dtype](bytes.buffer);
  const offset = (place) => place.reduce((before, index, axis) => before * shape[axis] + index, 0);
  return {
    shape,
    values,
    at: (...place) => values[offset(place)] / scale,
    row(...place) {
      const length = shape[shape.length - 1];
      return Array.from(values.subarray(offset(place) * length, (offset(place) + 1) * length), (value) => value / scale);
    },
  };
}

function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

const token = (id) => model.vocabulary[id];
const plain = (ids) => ids.map(token).join("").replaceAll("␣", " ");
const word = (position) => token(view.ids[position]);
const keyWord = (position) => token(view.keys[position]);
const translates = () => "source_ids" in view; // then a token's logits and attention are those that chose it, not those after it
const moment = () => say(translates() ? "To choose {word}" : "After {word}", { word: word(state.position) });
const percent = (share) => (share > 0 && share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`);
const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
const signed = (value, digits = 1) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
const blockName = (layer) => `h.${layer}`;

/* ---- Sampling: the definitions, and the order, of numpygpt/sampling.py */

function softmax(logits) {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const exp = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = exp.reduce((total, value) => total + value, 0);
  return exp.map((value) => value / sum);
}

/* The logits that temperature, top-k and top-p leave; the others are -Infinity. Temperature 0 is greedy. */
function filtered(logits, temperature, topK, topP) {
  let left = Float64Array.from(logits);
  if (temperature === 0) {
    const best = left.indexOf(left.reduce((most, logit) => Math.max(most, logit), -Infinity));
    return { left: left.map((logit, id) => (id === best ? logit : -Infinity)), afterTopK: 1 };
  }
  left = left.map((logit) => logit / temperature);
  const order = Array.from(left.keys()).sort((a, b) => left[a] - left[b] || a - b); // from the least likely
  if (topK) {
    const smallest = left[order[Math.max(0, order.length - topK)]];
    left = left.map((logit) => (logit < smallest ? -Infinity : logit));
  }
  const afterTopK = count(left);
  if (topP < 1) {
    const probabilities = softmax(left);
    let lessLikely = 0;
    order.forEach((id, rank) => {
      lessLikely += probabilities[id];
      if (lessLikely <= 1 - topP && rank < order.length - 1) left[id] = -Infinity;
    });
  }
  return { left, afterTopK };
}

const count = (logits) => logits.reduce((n, logit) => n + (logit > -Infinity), 0);

/* The token whose piece of the line from 0 to 1 a point falls into. */
function tokenAt(probabilities, point) {
  let cumulative = 0;
  const total = probabilities.reduce((sum, p) => sum + p, 0);
  for (let id = 0; id < probabilities.length; id++) {
    cumulative += probabilities[id];
    if (cumulative > point * total) return id;
  }
  return probabilities.length - 1;
}

function settings() {
  const value = (id) => Number(byId(id).value);
  return [value("temperature"), TOP_K[value("top-k")], value("top-p")];
}

function largest(values, n) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b).slice(0, n);
}

/* ---- Elements: text goes in as text alone, so that no prompt can become markup */

const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const write = (x, y, text, kind = "", more = {}) => draw("text", { x, y, class: kind, ...more }, text);
const tokenSpan = (text) => make("span", { class: "token" }, text);

/* Pictures are drawn for letters of 13 px and enlarged with the page's own, so that they can be read on a projector. */
const zoom = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 15;
const room = (id) => Math.max(240, byId(id).clientWidth / zoom());
function figure(id, height, label, { width = room(id), role = "img" } = {}) {
  const svg = draw("svg", { role, "aria-label": label });
  byId(id).replaceChildren(svg);
  return setSize(svg, width, height);
}
function setSize(svg, width, height) {
  return fill(svg, { width: width * zoom(), height: height * zoom(), viewBox: `0 0 ${width} ${height}` }, []);
}
const widthOf = (svg) => svg.viewBox.baseVal.width;

const pen = document.createElement("canvas").getContext("2d");
function textWidth(text, size = 13) {
  pen.font = `${size}px ${MONO}`;
  return pen.measureText(text).width;
}
function fit(text, width, size = 13) {
  if (textWidth(text, size) <= width) return text;
  const letters = Array.from(text);
  while (letters.length > 1 && textWidth(`${letters.join("")}…`, size) > width) letters.pop();
  return `${letters.join("")}…`;
}

function color(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}
function shades() {
  const [low, high] = [color("low"), color("high")];
  return (share) => low.map((value, channel) => Math.round(value + (high[channel] - value) * Math.min(1, Math.max(0, share))));
}
const css = (rgb) => `rgb(${rgb.join(" ")})`;
function inkOn(rgb) { // black or white, whichever has the greater contrast (WCAG 2)
  const [r, g, b] = rgb.map((value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

/* Arrow keys within a group of [data-item]; one of them is in the tab order. `choose` may be null: focus alone moves. */
function rove(container, columns, choose) {
  container.onkeydown = (event) => {
    const items = [...container.querySelectorAll("[data-item]")];
    const here = items.indexOf(event.target.closest("[data-item]"));
    if (here < 0) return;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -here, End: items.length - 1 - here };
    let next = here + (steps[event.key] ?? NaN);
    if (choose && (event.key === "Enter" || event.key === " ")) next = here;
    if (!(next >= 0 && next < items.length)) return;
    event.preventDefault();
    if (choose) choose(next);
    focusItem(container, next);
  };
  container.onclick = (event) => {
    const item = event.target.closest("[data-item]");
    if (item && choose) choose([...container.querySelectorAll("[data-item]")].indexOf(item));
  };
}
function focusItem(container, index) {
  const items = container.querySelectorAll("[data-item]");
  items.forEach((item, at) => item.setAttribute("tabindex", at === index ? 0 : -1));
  items[index]?.focus();
}
const item = (chosen, label) => ({
  "data-item": "", role: "radio", "aria-checked": chosen, tabindex: chosen ? 0 : -1, "aria-label": label,
});

/* Boxes with a text each, one after the other, in as many lines as they need; below each a small text. */
function flow(svg, boxes, x0, y0, width, height = 24) {
  let [x, y] = [x0, y0];
  for (const { text, below = "", chosen = false, fill: rgb = null, value = null } of boxes) {
    const shown = fit(text, width - x0 - 12);
    const boxWidth = Math.max(textWidth(shown), textWidth(below, 11), 12) + 10;
    if (x > x0 && x + boxWidth > width) [x, y] = [x0, y + height + (below ? 22 : 6)];
    svg.append(draw("rect", { x, y, width: boxWidth, height, rx: 4, "data-value": value, class: rgb ? "rule" : "box" }));
    if (rgb) svg.lastChild.style.fill = css(rgb);
    svg.append(write(x + boxWidth / 2, y + height / 2 + 5, shown, "token middle"));
    if (rgb) svg.lastChild.style.fill = inkOn(rgb);
    if (below) svg.append(write(x + boxWidth / 2, y + height + 13, below, "quiet middle"));
    if (chosen) svg.append(draw("rect", { x, y, width: boxWidth, height, rx: 4, class: "chosen" }));
    x += boxWidth + 4;
  }
  return y + height + (below(boxes) ? 20 : 4);
}
const below = (boxes) => boxes.some((box) => box.below);

/* ---- The prompt and the summary */

function drawStrip() {
  const buttons = view.ids.map((id, position) =>
    make("button", { type: "button", class: "token", ...item(position === state.position, say("{word}, token {position}", { word: token(id), position })) }, token(id)));
  byId("strip").replaceChildren(...buttons);
  const strip = byId("strip").getBoundingClientRect();
  const button = buttons[state.position].getBoundingClientRect();
  if (button.top < strip.top || button.bottom > strip.bottom) byId("strip").scrollTop += button.top - strip.top - strip.height / 2;
  for (const element of document.querySelectorAll(".token.at")) element.textContent = word(state.position);
}

function drawSummary() {
  const { position } = state;
  if (translates()) return drawTranslationSummary();
  const rows = view.lens.rows.length;
  const target = view.stream.targets.at(position);
  const pushes = [];
  for (let layer = 0; layer < model.n_layer; layer++)
    for (let head = 0; head < model.n_head; head++) pushes.push(view.stream.head_push.at(layer, head, position));
  const best = largest(pushes, 1)[0];
  const [layer, head] = [Math.floor(best / model.n_head), best % model.n_head];
  const weights = view.attention.patterns.row(layer, head, position);
  const key = largest(weights, 1)[0];
  const button = make("button", { type: "button", class: "link", id: "strongest-head" }, headName(layer, head));
  button.onclick = () => { change({ layer, head }); byId("attention").scrollIntoView(); };
  const answer = { word: tokenSpan(word(position)), next: tokenSpan(token(target)), share: percent(view.lens.probabilities.at(rows - 1, position, 0)) };
  const place = { head: button, key: tokenSpan(word(key)), position: key, share: percent(weights[key]) };
  byId("summary").replaceChildren(
    ...pieces("After {word} the model says {next} ({share}). ", answer),
    ...pieces("The head that adds most to this answer, {head}, looks most at {key} (token {position}, {share} of its attention). ", place),
    ...(position < view.n - 1 ? pieces("The text itself goes on with {word}.", { word: tokenSpan(word(position + 1)) }) : []));
}

function drawTranslationSummary() {
  const { position } = state;
  const chance = softmax(logitsHere())[view.ids[position]];
  const sums = view.keys.map((_, key) => Array.from({ length: model.n_head }, (_, head) => view.attention.patterns.at(model.n_layer - 1, head, position, key)));
  const weights = sums.map((each) => each.reduce((sum, weight) => sum + weight, 0) / model.n_head);
  const key = largest(weights, 1)[0];
  byId("summary").replaceChildren(
    ...pieces("“{source}” becomes “{translation}”. ", { source: view.text, translation: plain(view.ids).trim() }),
    ...pieces("When the model chose {word} ({chance}), its last layer looked most at {key} ({share} of the attention, the mean of its heads).", {
      word: tokenSpan(word(position)), chance: percent(chance), key: tokenSpan(keyWord(key)), share: percent(weights[key]),
    }));
}

/* ---- 1 Tokens */

function drawMerges() {
  const ids = figure("ids", 10, say("The tokens with their ids"));
  const boxes = view.ids.map((id, i) => ({ text: token(id), below: String(id), chosen: i === state.position, value: id }));
  const source = view.keys.map((id) => ({ text: token(id), below: String(id), value: id }));
  const top = translates() ? flow(ids, source, 1, 1, widthOf(ids)) + 10 : 1;
  setSize(ids, widthOf(ids), flow(ids, boxes, 1, top, widthOf(ids)));
  if (translates()) return;
  const svg = figure("merges", 10, say("How the chosen word was merged"));
  let y = 1;
  (wordAt(state.position) ?? []).forEach((parts, step) => {
    svg.append(write(1, y + 16, step ? say("merge {step}", { step }) : say("bytes"), "quiet"));
    y = flow(svg, parts.map((text) => ({ text })), 66, y, widthOf(svg)) + 2;
  });
  if (y === 1) svg.append(write(1, 16, say("This tokenizer does more than merge; no steps."), "quiet"));
  setSize(svg, widthOf(svg), Math.max(y, 24));
}
function wordAt(position) {
  let first = 0;
  for (const steps of view.words) {
    first += steps[steps.length - 1].length;
    if (position < first) return steps;
  }
  return null;
}

function drawNeighbors() {
  const ids = view.neighbors.ids.row(state.position);
  const svg = figure("neighbors", 24 * ids.length + 4, say("The nearest tokens, by cosine"));
  const [width, left] = [widthOf(svg), 130];
  ids.forEach((id, rank) => {
    const [cosine, y] = [view.neighbors.cosine.at(state.position, rank), 24 * rank];
    svg.append(
      write(left - 8, y + 17, fit(token(id), left - 12), "token end"),
      draw("rect", { x: left, y: y + 4, width: Math.max(0, cosine) * (width - left - 50), height: 16, class: "bar", "data-id": id, "data-value": cosine }),
      write(left + Math.max(0, cosine) * (width - left - 50) + 6, y + 17, cosine.toFixed(2)));
  });
}

/* ---- 2 Attention */

function picture(layer, head) { // a head's pattern, the square root of the weights, so that small ones can be seen
  const key = `${layer} ${head}`;
  if (!view.pictures.has(key)) {
    const width = view.keys.length;
    const board = make("canvas", { width, height: view.n });
    const context = board.getContext("2d");
    const image = context.createImageData(width, view.n);
    const shade = shades();
    for (let query = 0; query < view.n; query++) {
      const weights = view.attention.patterns.row(layer, head, query);
      const seen = translates() ? width : query + 1; // no token sees a later one
      for (let at = 0; at < seen; at++) image.data.set([...shade(Math.sqrt(weights[at])), 255], 4 * (query * width + at));
    }
    context.putImageData(image, 0, 0);
    view.pictures.set(key, board.toDataURL());
  }
  return view.pictures.get(key);
}

const looksAt = ({ name }) => say("looks at {name}", { name: say(name) });
const signsOf = (layer, head) => view.attention.habits.filter((habit) => habit.marked[layer][head]);
function entropyOf(layer, head) {
  const row = view.attention.entropy.row(layer, head);
  return row.reduce((sum, value) => sum + value, 0) / row.length;
}

function drawMaps() {
  const left = 34;
  const size = Math.max(26, Math.min(120, Math.floor((room("maps") - left - 4) / model.n_head) - 6));
  const [step, labelled] = [size + 6, size >= 44];
  const rowHeight = step + (labelled ? 14 : 0);
  const width = Math.max(room("maps"), left + step * model.n_head + 4);
  const svg = figure("maps", rowHeight * model.n_layer + 20, say("Attention maps of all heads"), { width, role: "radiogroup" });
  for (let head = 0; head < model.n_head; head++)
    svg.append(write(left + head * step + size / 2, 12, labelled ? say("head {head}", { head }) : head, "quiet middle"));
  for (let layer = 0; layer < model.n_layer; layer++) {
    const y = 18 + layer * rowHeight;
    svg.append(write(0, y + size / 2, blockName(layer), "quiet"));
    for (let head = 0; head < model.n_head; head++) {
      const x = left + head * step;
      const chosen = layer === state.layer && head === state.head;
      const [signs, entropy] = [signsOf(layer, head), entropyOf(layer, head)];
      const label = comma([say("layer {layer}, head {head}, entropy {bits} bits", { layer, head, bits: entropy.toFixed(1) }), ...signs.map(looksAt)]).join("");
      svg.append(draw("g", { ...item(chosen, label), "data-value": entropy },
        draw("title", {}, label),
        draw("rect", { x, y, width: size, height: size, class: "box focus" }),
        draw("image", { x, y, width: size, height: size, href: picture(layer, head), preserveAspectRatio: "none" }),
        draw("rect", { x, y, width: size, height: size, class: chosen ? "chosen focus" : "hit focus" }),
        draw("rect", { x: x - 4, y: y + (size / view.n) * state.position, width: 4, height: Math.max(2, size / view.n), class: "point" }),
        write(x + size - 4, y + 13, signs.map(({ sign }) => sign).join(" "), "sign end"),
        ...(labelled ? [write(x + size / 2, y + size + 12, say("{bits} bits", { bits: entropy.toFixed(1) }), "quiet middle")] : [])));
    }
  }
  const signs = view.attention.habits.flatMap(({ sign, name }) => [make("strong", {}, sign), make("span", {}, say(name))]);
  byId("habits").replaceChildren(
    make("p", {}, ...pieces("0% {scale} 100% of a token's attention (the shade is the square root). The tick beside a map is at the chosen token's row.", { scale: make("span", { class: "scale" }) })),
    make("p", {}, say("Bits: the entropy of a head, which says how widely it looks. 0 bits: at one token; 1 bit: as if at 2 alike; 3 bits: at 8.")),
    ...(signs.length ? [make("p", {}, say("A letter marks a head that gives at least a quarter of its attention, and twice what an even head would, to")), make("p", { class: "signs" }, ...signs)] : []));
}

function drawLines() {
  const { layer, head } = state;
  const query = hovered ?? state.position;
  const [rowHeight, width] = [24, room("lines")];
  const longest = Math.max(...[...view.ids, ...view.keys].map((id) => textWidth(token(id))));
  const rows = Math.max(view.n, view.keys.length);
  const column = Math.min(longest + 14, width * 0.36);
  const [from, to] = [48 + column, width - column - 2]; // where lines end and begin
  const svg = figure("lines", rowHeight * rows + 22, say("Attention of layer {layer}, head {head}", { layer, head }), { width, role: "radiogroup" });
  svg.append(write(from - 4, 13, say("looked at"), "quiet end"), write(to + 4, 13, say("looks"), "quiet"));
  const middle = (row) => 22 + row * rowHeight + rowHeight / 2;
  const bend = (key, row) => `M${to} ${middle(row)} C${(from + to) / 2} ${middle(row)} ${(from + to) / 2} ${middle(key)} ${from} ${middle(key)}`;
  const edges = draw("g");
  svg.append(edges);
  for (let row = 0; row < view.n; row++) {
    view.attention.patterns.row(layer, head, row).forEach((weight, key) => {
      if (row === query ? weight > 0 : weight > 0.1 && view.n <= 64)
        edges.append(draw("path", {
          d: bend(key, row), "stroke-width": Math.max(0.4, 10 * weight), class: row === query ? "edge" : "edge faint",
          "data-query": row, "data-key": key, "data-value": weight,
        }));
    });
  }
  edges.querySelectorAll(".edge:not(.faint)").forEach((edge) => edges.append(edge)); // in front
  const weights = view.attention.patterns.row(layer, head, query);
  for (let row = 0; row < view.keys.length; row++) {
    const y = middle(row);
    const strong = weights[row] >= 0.1 ? " strong" : "";
    svg.append(write(from - 8, y + 5, fit(keyWord(row), column - 8), `token end${strong}`));
    if (weights[row] >= 0.005) svg.append(write(42, y + 5, percent(weights[row]), `end${strong}`, { "data-key": row, "data-value": weights[row] }));
  }
  for (let row = 0; row < view.n; row++) {
    const [y, chosen] = [middle(row), row === query];
    const label = say("{word}, token {position}", { word: word(row), position: row });
    const element = draw("g", item(row === state.position, label),
      draw("rect", { x: to, y: y - rowHeight / 2 + 1, width: column, height: rowHeight - 2, rx: 4, class: chosen ? "chosen focus" : "hit focus" }),
      write(to + 6, y + 5, fit(word(row), column - 8), `token${chosen ? " strong" : ""}`));
    element.addEventListener("pointerenter", () => { if (hovered !== row) { hovered = row; drawLines(); } });
    svg.append(element);
  }
  keepInView(byId("lines"), middle(query) * zoom(), rowHeight / 2);
  byId("head").textContent = [say("Layer {layer}, head {head}", { layer, head }), ...signsOf(layer, head).map(looksAt)].join(" · ");
  const isOff = off.heads.has(`${layer} ${head}`);
  byId("silence").textContent = say(isOff ? "Switch this head on" : "Switch this head off");
  const best = largest(weights, 3).filter((key) => weights[key] > 0);
  byId("looks").replaceChildren(
    ...pieces("{word} looks at {keys}; entropy {bits} bits.", {
      word: tokenSpan(word(query)), keys: comma(best.map((key) => withShare(keyWord(key), weights[key]))).flat(),
      bits: view.attention.entropy.at(layer, head, query).toFixed(1),
    }));
}
const withShare = (text, part) => [tokenSpan(text), ` ${percent(part)}`];
function keepInView(box, y, margin) {
  if (hovered === null && (y < box.scrollTop + margin || y > box.scrollTop + box.clientHeight - margin)) box.scrollTop = y - box.clientHeight / 2;
}

/* ---- 3 Residual stream */

function drawParts() {
  const { position } = state;
  const names = view.stream.parts;
  const svg = figure("parts", 22 * names.length + 26, say("What each part adds to the residual stream"));
  const [width, left] = [widthOf(svg), 74];
  const column = (width - left) / 3;
  const most = column - 46; // for a bar, beside its number
  const target = token(view.stream.targets.at(position));
  const titles = [say("norm added"), column > 150 ? say("to the logit of {word}", { word: fit(target, column - 100) }) : say("to the logit"), say("norm so far")];
  titles.forEach((title, index) =>
    svg.append(write(left + index * column, 13, title, "quiet")));
  const values = (array) => names.map((_, part) => array.at(part, position));
  const [added, push, norm] = [view.stream.added, view.stream.push, view.stream.norm].map(values);
  const size = (numbers) => numbers.map((number) => Math.abs(number) / Math.max(1e-9, ...numbers.map(Math.abs)));
  const [addedSize, pushSize, normSize] = [added, push, norm].map(size);
  const digits = Math.max(...push.map(Math.abs)) < 1 ? 2 : 1;
  names.forEach((name, part) => {
    const y = 20 + 22 * part;
    const bar = (x, length, kind, value, what) =>
      draw("rect", { x, y: y + 3, width: Math.max(0.5, length), height: 15, class: kind, "data-part": name, "data-what": what, "data-value": value });
    const [addedWidth, normWidth, pushWidth] = [addedSize[part] * most, normSize[part] * most, (pushSize[part] * most) / 2];
    const zero = left + column + most / 2;
    svg.append(
      write(0, y + 15, name),
      bar(left, addedWidth, "bar", added[part], "added"), write(left + addedWidth + 4, y + 15, added[part].toFixed(1)),
      bar(push[part] < 0 ? zero - pushWidth : zero, pushWidth, push[part] < 0 ? "minus" : "bar", push[part], "push"),
      write(zero + most / 2 + 4, y + 15, signed(push[part], digits)),
      bar(left + 2 * column, normWidth, "bar", norm[part], "norm"), write(left + 2 * column + normWidth + 4, y + 15, norm[part].toFixed(1)));
    if (!part) svg.append(draw("line", { x1: zero, x2: zero, y1: 20, y2: 20 + 22 * names.length, class: "rule" }));
  });
  byId("parts-note").replaceChildren(
    say("h.0.attn is the attention of layer 0, h.0.mlp its MLP. The norm is a vector's length. "),
    ...pieces("The middle column is what the part adds to the logit of {word} directly, compared with the mean of all tokens' logits (direct logit attribution); what later parts make of it is not in it.", { word: tokenSpan(target) }));
}

function drawLens() {
  const rows = view.lens.rows;
  const [left, rowHeight, top] = [78, 36, 22];
  const box = byId("lens");
  const cell = Math.max(64, Math.min(120, Math.floor((room("lens") - left - 4) / view.n)));
  const scrolled = box.scrollLeft;
  const svg = figure("lens", top + rowHeight * rows.length + 4, say("Logit lens: layers by positions"), { width: left + cell * view.n + 4, role: "radiogroup" });
  const shade = shades();
  for (let position = 0; position < view.n; position++)
    svg.append(write(left + cell * position + cell / 2, 14, fit(word(position), cell - 6, 12), `token middle${position === state.position ? " strong" : " quiet"}`));
  rows.forEach((name, row) => {
    for (let position = 0; position < view.n; position++) {
      const [id, share] = [view.lens.ids.at(row, position, 0), view.lens.probabilities.at(row, position, 0)];
      const [x, y, rgb] = [left + cell * position, top + rowHeight * row, shade(share)];
      const chosen = row === state.row && position === state.position;
      const group = draw("g", { ...item(chosen, say("{row}, after {word}: {next} {share}", { row: name, word: word(position), next: token(id), share: percent(share) })), "data-id": id, "data-value": share },
        draw("rect", { x, y, width: cell - 2, height: rowHeight - 2, fill: css(rgb) }),
        draw("rect", { x: x + 2, y: y + 2, width: cell - 6, height: rowHeight - 6, class: chosen ? "chosen focus" : "hit" }),
        write(x + cell / 2 - 1, y + 15, fit(token(id), cell - 8, 12), "token middle"),
        write(x + cell / 2 - 1, y + 29, percent(share), "middle"));
      for (const text of group.querySelectorAll("text")) Object.assign(text.style, { fill: inkOn(rgb), fontSize: "12px" });
      svg.append(group);
    }
  });
  svg.append(draw("rect", { x: left + cell * state.position - 1, y: top - 1, width: cell, height: rowHeight * rows.length, class: "chosen", "pointer-events": "none" }));
  const x = left + cell * state.position;
  const names = draw("g", { "data-sticky": "" }, draw("rect", { x: 0, y: 0, width: left - 2, height: top + rowHeight * rows.length, class: "card" }),
    ...rows.map((name, row) => write(0, top + rowHeight * row + 21, name)));
  names.firstChild.style.fill = "var(--card)";
  svg.append(names);
  box.onscroll = () => names.setAttribute("transform", `translate(${box.scrollLeft / zoom()} 0)`); // they stay in sight
  const hidden = x < scrolled / zoom() + left || x + cell > scrolled / zoom() + room("lens");
  box.scrollLeft = hidden ? (x - room("lens") / 2) * zoom() : scrolled;
  box.onscroll();
  drawLensNote();
}
function drawLensNote() {
  const { position, row } = state;
  const rows = view.lens.rows;
  const final = view.lens.ids.at(rows.length - 1, position, 0);
  let first = rows.length - 1;
  while (first > 0 && view.lens.ids.at(first - 1, position, 0) === final) first--;
  const shares = view.lens.probabilities.row(row, position);
  byId("lens-note").replaceChildren(
    ...pieces("After {word} and {row}: {tokens}. ", {
      word: tokenSpan(word(position)), row: rows[row],
      tokens: comma(view.lens.ids.row(row, position).map((id, rank) => withShare(token(id), shares[rank]))).flat(),
    }),
    ...pieces("The final answer, {word}, is the likeliest from {row} on.", { word: tokenSpan(token(final)), row: rows[first] }));
}

/* ---- 4 Neurons */

function drawNeurons() {
  const { position, neuronLayer } = state;
  const layers = Array.from({ length: model.n_layer }, (_, layer) =>
    make("button", { type: "button", ...item(layer === neuronLayer, say("layer {layer}", { layer })) }, blockName(layer)));
  byId("layers").replaceChildren(...layers);
  const places = view.neurons.strongest.row(neuronLayer, position);
  const svg = figure("strongest", 62 * places.length + 4, say("The strongest neurons of layer {layer}", { layer: neuronLayer }), { role: "radiogroup" });
  const [width, left] = [widthOf(svg), 96];
  const values = places.map((place) => view.neurons.activation.at(place, position));
  const most = Math.max(1e-9, ...values.map(Math.abs));
  places.forEach((place, rank) => {
    const [y, number] = [62 * rank, view.neurons.neuron[place]];
    const length = (Math.abs(values[rank]) / most) * (width - left - 56);
    const list = (array) => array.row(place).map(token).join("  ");
    const said = { number, activation: values[rank].toFixed(2), up: list(view.neurons.more), down: list(view.neurons.less) };
    svg.append(draw("g", { ...item(rank === state.rank, say("neuron {number}, activation {activation}, more likely {up}", said)), "data-neuron": number, "data-value": values[rank] },
      draw("rect", { x: 0, y: y + 1, width: width - 2, height: 58, rx: 5, class: rank === state.rank ? "chosen focus" : "hit focus" }),
      draw("title", {}, say("up: {up}; down: {down}", said)),
      write(8, y + 17, say("neuron {number}", said), rank === state.rank ? "strong" : ""),
      draw("rect", { x: left, y: y + 6, width: length, height: 13, class: values[rank] < 0 ? "minus" : "bar" }),
      write(left + length + 5, y + 17, fixed(values[rank], 2)),
      write(8, y + 35, say("up"), "quiet"), write(48, y + 35, fit(said.up, width - 56, 13), "token", { "data-list": view.neurons.more.row(place).join(" ") }),
      write(8, y + 53, say("down"), "quiet"), write(48, y + 53, fit(said.down, width - 56, 13), "token", { "data-list": view.neurons.less.row(place).join(" ") })));
  });
  drawFiring(places[state.rank]);
}
function drawFiring(place) {
  const number = view.neurons.neuron[place];
  byId("neuron").textContent = say("Where neuron {number} of layer {layer} fires", { number, layer: state.neuronLayer });
  const values = view.neurons.activation.row(place);
  const [shade, most] = [shades(), Math.max(1e-9, ...values.map(Math.abs))];
  const svg = figure("firing", 10, say("Activation of neuron {number} at every token", { number }));
  const boxes = values.map((value, position) => ({
    text: word(position), below: fixed(value, 1), chosen: position === state.position, fill: shade(Math.abs(value) / most), value,
  }));
  setSize(svg, widthOf(svg), flow(svg, boxes, 1, 1, widthOf(svg)));
}

/* ---- 5 The next token */

function logitsHere() {
  return state.position < view.firstLogits ? null : view.logits.row(state.position - view.firstLogits);
}

function drawNext() {
  const [temperature, topK, topP] = settings();
  byId("temperature-value").textContent = temperature ? temperature.toFixed(2) : say("0 (greedy)");
  byId("top-k-value").textContent = topK || say("off");
  byId("top-p-value").textContent = topP < 1 ? topP.toFixed(2) : say("off");
  byId("append").hidden = true;
  const logits = logitsHere();
  byId("draw").disabled = !logits;
  if (!logits) {
    byId("kept").textContent = say("The page keeps the logits of the last {n} positions; choose a later token.", { n: view.n - view.firstLogits });
    for (const id of ["bars", "line", "drawn"]) byId(id).replaceChildren();
    return;
  }
  const plain = softmax(logits);
  const { left, afterTopK } = filtered(logits, temperature, topK, topP);
  const now = softmax(left);
  const n = count(left);
  byId("kept").textContent = temperature
    ? say("{moment}: {all} tokens; top-k leaves {afterTopK}; top-p leaves {n}. Dashed: temperature 1, nothing cut.", { moment: moment(), all: count(logits), afterTopK, n })
    : say("{moment}: temperature 0 takes the likeliest token each time. Dashed: temperature 1, nothing cut.", { moment: moment() });
  const known = view.ids[translates() ? state.position : state.position + 1];
  const note = (id) => (id === known ? say(" ← in the text") : "");
  drawRanked("bars", largest(logits, 12), plain, now, say("The likeliest next tokens"), { note });
  drawLine(now);
}

function drawRanked(id, ids, before, now, label, { cut = say("cut"), kind = "bar", note = () => "" } = {}) {
  const svg = figure(id, 25 * ids.length + 4, label);
  const [width, left] = [widthOf(svg), 128];
  const space = width - left - 56 - Math.max(...ids.map((each) => textWidth(note(each), 12)));
  const most = Math.max(...ids.map((each) => Math.max(before[each], now[each])));
  ids.forEach((each, rank) => {
    const y = 25 * rank;
    const [lengthBefore, lengthNow] = [before, now].map((probabilities) => (probabilities[each] / most) * space);
    svg.append(
      write(left - 8, y + 17, fit(token(each), left - 34), "token end"), write(0, y + 17, rank + 1, "quiet"),
      draw("rect", { x: left, y: y + 4, width: lengthNow, height: 17, class: kind, "data-id": each, "data-value": now[each] }),
      draw("rect", { x: left, y: y + 2, width: lengthBefore, height: 21, class: "before", "data-id": each, "data-value": before[each] }),
      write(left + Math.max(lengthNow, lengthBefore) + 6, y + 17, (now[each] ? percent(now[each]) : cut) + note(each)));
  });
}

function drawLine(probabilities) {
  const svg = figure("line", 58, say("The line from 0 to 1, a piece for every token; a random point chooses"));
  const width = widthOf(svg) - 2;
  svg.append(draw("rect", { x: 1, y: 18, width, height: 24, class: "ground" }));
  let cumulative = 0;
  const shade = shades();
  probabilities.forEach((share, id) => {
    if (share * width >= 2) {
      const [x, rgb] = [1 + cumulative * width, shade(0.25 + 0.5 * (id % 2))];
      const piece = draw("rect", { x, y: 18, width: share * width, height: 24, class: "rule" }, draw("title", {}, `${token(id)} ${percent(share)}`));
      piece.style.fill = css(rgb);
      svg.append(piece);
      if (share * width > 26) {
        svg.append(write(x + (share * width) / 2, 34, fit(token(id), share * width - 4, 12), "token middle"));
        Object.assign(svg.lastChild.style, { fill: inkOn(rgb), fontSize: "12px" });
      }
    }
    cumulative += share;
  });
  svg.append(write(0, 55, "0", "quiet"), write(width, 55, "1", "quiet end"));
  if (state.point === null) {
    byId("drawn").textContent = say("Draw throws a random point on the line; the pieces are in the order of ids.");
    return;
  }
  const [x, id] = [1 + state.point * width, tokenAt(probabilities, state.point)];
  svg.append(draw("path", { d: `M${x} 18 l-7 -13 h14 z M${x} 18 v24`, class: "point", stroke: "currentColor" }));
  byId("drawn").replaceChildren(
    ...pieces("The point {point} falls on {word} ({share}).", { point: state.point.toFixed(3), word: tokenSpan(token(id)), share: percent(probabilities[id]) }));
  byId("drawn").dataset.id = id;
  byId("append").hidden = !page.live || state.position < view.n - 1;
}

/* ---- 6 What if: Python answers */

async function ask(path, question) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function attempt(work, doing) {
  byId("message").textContent = doing;
  try {
    await work();
    byId("message").textContent = "";
  } catch (error) {
    byId("message").textContent = error instanceof TypeError ? say("The server does not answer; is it still running?") : error.message;
  }
}

function lookAt(text, then = null) {
  return attempt(async () => {
    view = prepare(await ask("/look", then === null ? { text } : { text, then }));
    undoAll();
    byId("prompt").value = view.text;
    begin();
  }, say("Looking …"));
}

function drawSwitches() {
  const cells = [make("span"), ...Array.from({ length: model.n_head }, (_, head) => make("span", {}, say("head {head}", { head }))), make("span", {}, "MLP")];
  for (let layer = 0; layer < model.n_layer; layer++) {
    cells.push(make("span", {}, blockName(layer)));
    for (let head = 0; head <= model.n_head; head++) {
      const [set, key] = head < model.n_head ? [off.heads, `${layer} ${head}`] : [off.mlps, String(layer)];
      const name = head < model.n_head ? headName(layer, head) : say("MLP of layer {layer}", { layer });
      const button = make("button", {
        type: "button", "data-item": "", tabindex: layer + head ? -1 : 0, "aria-pressed": set.has(key), "aria-label": say("switch off {name}", { name }), "data-part": key,
      }, set.has(key) ? "✕" : say("on"));
      button.onclick = () => toggle(set, key, button);
      cells.push(button);
    }
  }
  byId("switches").style.gridTemplateColumns = `auto repeat(${model.n_head + 1}, auto)`;
  byId("switches").replaceChildren(...cells);
  rove(byId("switches"), model.n_head + 1, null);
}

function toggle(set, key, button) {
  if (!set.delete(key)) set.add(key);
  button.setAttribute("aria-pressed", set.has(key));
  button.textContent = set.has(key) ? "✕" : say("on");
  drawLines(); // whose button says whether its head is on
  return compare();
}

let asked = 0; // the number of the latest question: an answer to an earlier one is not shown
function compare() {
  const number = ++asked;
  const question = {
    text: view.text,
    heads: [...off.heads].map((key) => key.split(" ").map(Number)),
    mlps: [...off.mlps].map(Number),
    replaced: Object.fromEntries(off.replaced),
  };
  return attempt(async () => {
    if (!off.heads.size && !off.mlps.size && !off.replaced.size) return undoAll();
    const answer = await ask("/what-if", question);
    if (number === asked) showComparison(answer);
    const { continuation } = await ask("/what-if", { ...question, n_new: 12 });
    if (number === asked) showContinuation(continuation, answer.ids);
  }, say("Running the model …"));
}

let comparison = null;
function showComparison(answer) {
  comparison = answer;
  const [original, changed] = [unpack(answer.original).values, unpack(answer.changed).values].map(softmax);
  const ids = largest(original.map((p, id) => Math.max(p, changed[id])), 12);
  const parts = [...[...off.heads].sort().map((key) => headName(...key.split(" "))), ...[...off.mlps].sort().map((layer) => say("the MLP of layer {layer}", { layer }))];
  const replaced = [...off.replaced].map(([position, text]) => `${word(position)} → ${text.replaceAll(" ", "␣") || say("(nothing)")}`);
  byId("changes").textContent = [
    parts.length ? say("Switched off: {parts}.", { parts: comma(parts) }) : "", replaced.length ? say("Replaced: {tokens}.", { tokens: comma(replaced) }) : "",
    say("The distribution of the next token has moved by {bits} bits (Kullback-Leibler divergence). Dashed: as it was; filled: as it is now.", { bits: answer.divergence.toFixed(2) }),
  ].join(" ");
  byId("changes").dataset.divergence = answer.divergence;
  drawRanked("compared", ids, original, changed, say("The next token, before and after"), { cut: "0%", kind: "changed", note: (id) => say(" (was {share})", { share: percent(original[id]) }) });
}
function showContinuation({ original, changed }, ids) {
  const line = (name, before, added) => [make("h3", {}, name), make("p", { class: "text" }, `… ${plain(before.slice(-8))}`, make("strong", {}, plain(added)))];
  byId("continued").replaceChildren(...line(say("The model goes on"), view.ids, original), ...line(say("Changed, it goes on"), ids, changed));
}
function undoAll() {
  asked++;
  off.heads.clear();
  off.mlps.clear();
  off.replaced.clear();
  comparison = null;
  for (const id of ["compared", "continued", "changes"]) byId(id).replaceChildren();
  delete byId("changes").dataset.divergence;
  if (page.live) drawSwitches();
}

/* ---- Saving a picture: styles from the sheet are written into the elements */

const details = (panel) => (panel.id === "attention" ? [say("layer {layer}, head {head}", state)] : []);
const INLINED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "image-rendering"];
function save(panel) {
  const all = draw("svg", { xmlns: "http://www.w3.org/2000/svg" });
  const heading = write(12, 24, [panel.querySelector("h2").textContent, `“${plain(view.keys)}”`, moment(), ...details(panel)].join(" · "));
  fill(heading, { "font-family": "sans-serif", "font-size": 13, fill: getComputedStyle(panel).color }, []);
  heading.removeAttribute("class");
  let [width, height] = [0, 40];
  for (const svg of panel.querySelectorAll(".figure svg")) {
    const copy = svg.cloneNode(true);
    const originals = [svg, ...svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((element, index) => {
      const style = getComputedStyle(originals[index]);
      for (const name of INLINED) element.setAttribute(name, style.getPropertyValue(name));
      if (element.hasAttribute("data-sticky")) element.removeAttribute("transform");
      for (const name of ["class", "style", "tabindex", "data-item"]) element.removeAttribute(name);
    });
    copy.setAttribute("x", 12);
    copy.setAttribute("y", height);
    width = Math.max(width, svg.width.baseVal.value + 24);
    height += svg.height.baseVal.value + 16;
    all.append(copy);
  }
  width = Math.max(width, 24 + textWidth(heading.textContent));
  all.prepend(draw("rect", { width, height, fill: getComputedStyle(panel).backgroundColor }), heading);
  fill(all, { width, height, viewBox: `0 0 ${width} ${height}` }, []);
  const link = make("a", { download: `${panel.id}.svg`, href: URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(all)], { type: "image/svg+xml" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* ---- Putting it together: what is drawn anew when something of the state changes */

const DRAWINGS = [
  [drawStrip, ["position"]], [drawSummary, ["position"]], [drawMerges, ["position"]], [drawNeighbors, ["position"]],
  [drawMaps, ["position", "layer", "head"]], [drawLines, ["position", "layer", "head"]], [drawParts, ["position"]],
  [drawLens, ["position", "row"]], [drawNeurons, ["position", "neuronLayer", "rank"]], [drawNext, ["position", "point"]],
];

const OF_TRANSLATIONS = [drawStrip, drawSummary, drawMerges, drawMaps, drawLines, drawNext];
const drawings = () => (translates() ? DRAWINGS.filter(([drawing]) => OF_TRANSLATIONS.includes(drawing)) : DRAWINGS);

function change(update) {
  const changed = Object.keys(update).filter((name) => state[name] !== update[name]);
  if (changed.includes("position")) Object.assign(update, { point: null, rank: update.rank ?? 0 });
  if (changed.includes("neuronLayer")) update.rank = 0;
  Object.assign(state, update);
  hovered = null;
  const focused = document.activeElement?.closest("[data-item]");
  const group = focused?.closest("[id]");
  const index = focused ? [...group.querySelectorAll("[data-item]")].indexOf(focused) : -1;
  for (const [drawing, needs] of drawings()) if (needs.some((name) => changed.includes(name))) drawing();
  if (focused && !focused.isConnected) focusItem(group, index);
}

let drawnWidth = 0;
function drawAll() {
  drawnWidth = byId("ids").clientWidth;
  if (!drawnWidth) return; // not laid out yet, as in a tab in the background
  view.pictures.clear();
  for (const [drawing] of drawings()) drawing();
  if (comparison) showComparison(comparison);
}

/* Begin at the last token, with the head that adds most to what the model says there. */
function begin() {
  const position = translates() ? 0 : view.n - 1;
  if (translates()) {
    Object.assign(state, { position, layer: model.n_layer - 1, head: 0, point: null });
    return drawAll();
  }
  let most = -Infinity;
  for (let layer = 0; layer < model.n_layer; layer++)
    for (let head = 0; head < model.n_head; head++) {
      const push = view.stream.head_push.at(layer, head, position);
      if (push > most) [most, state.layer, state.head] = [push, layer, head];
    }
  Object.assign(state, { position, row: view.lens.rows.length - 1, neuronLayer: model.n_layer - 1, rank: 0, point: null });
  drawAll();
}

function start() {
  byId("model").textContent = say("{name}: {n_params} parameters, {n_layer} layers of {n_head} heads, {n_embd} numbers for each token", { ...model, n_params: model.n_params.toLocaleString("en") });
  const themes = matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    byId("theme").textContent = say(dark ? "Light" : "Dark");
    byId("theme").setAttribute("aria-label", say(dark ? "light colors" : "dark colors"));
  };
  setTheme(themes.matches);
  themes.onchange = () => { setTheme(themes.matches); drawAll(); };
  byId("theme").onclick = () => { setTheme(document.documentElement.dataset.theme !== "dark"); drawAll(); };

  rove(byId("strip"), 1, (position) => change({ position }));
  rove(byId("lines"), 1, (position) => change({ position }));
  byId("lines").onpointerleave = () => { hovered = null; drawLines(); };
  rove(byId("maps"), model.n_head, (index) => change({ layer: Math.floor(index / model.n_head), head: index % model.n_head }));
  rove(byId("layers"), 1, (neuronLayer) => change({ neuronLayer }));
  rove(byId("strongest"), 1, (rank) => change({ rank }));
  byId("lens").tabIndex = -1;
  rove(byId("lens"), view.n, (index) => change({ row: Math.floor(index / view.n), position: index % view.n }));
  for (const id of ["temperature", "top-k", "top-p"]) byId(id).oninput = drawNext;
  byId("draw").onclick = () => { change({ point: Math.random() }); };
  byId("append").onclick = () => lookAt(view.text, Number(byId("drawn").dataset.id));
  for (const panel of document.querySelectorAll(".panel")) {
    const [title, file] = translates() && panel.id === "attention"
      ? [say("11. The original Transformer"), "11-the-original-transformer"] : [panel.dataset.page, panel.dataset.file];
    const name = say("Tutorial page {title}", { title });
    const source = page.tutorials ? make("a", { href: `${page.tutorials}${file}.html` }, name) : make("span", { class: "quiet" }, name);
    const button = make("button", { type: "button", class: "save", "aria-label": say("Save {panel} as SVG", { panel: panel.querySelector("h2").textContent }) }, say("Save as SVG"));
    button.onclick = () => save(panel);
    panel.append(make("div", { class: "end" }, source, ...(panel.id === "what-if" && !page.live ? [] : [button])));
  }
  if (page.live) {
    for (const id of ["ask", "live"]) byId(id).hidden = false;
    byId("not-live").hidden = true;
    byId("prompt").value = view.text;
    byId("ask").onsubmit = (event) => { event.preventDefault(); lookAt(byId("prompt").value); };
    byId("silence").hidden = false;
    byId("silence").onclick = () => {
      const key = `${state.layer} ${state.head}`;
      toggle(off.heads, key, byId("switches").querySelector(`[data-part="${key}"]`));
    };
    byId("reset").onclick = () => { undoAll(); drawLines(); };
    byId("replace").onsubmit = (event) => { event.preventDefault(); off.replaced.set(String(state.position), byId("with").value); compare(); };
    drawSwitches();
  }
  byId("serve").textContent = `python -m numpygpt.look${page.lang === "en" ? "" : ` --lang ${page.lang}`} --serve '${view.text.replaceAll("'", "'\\''")}'`;
  if (translates()) document.body.classList.add("translation");
  begin();
  new ResizeObserver(() => { if (byId("ids").clientWidth !== drawnWidth) drawAll(); }).observe(byId("ids"));
}
start();
