"use strict";
const DAY = 86400000, TOP = 14, APART = 12;
const MEANING = JSON.parse(document.getElementById("meaning").textContent);
const hint = document.getElementById("hint");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name);

function say(text, event) {
  hint.textContent = text;
  hint.style.display = text ? "block" : "none";
  const under = event.clientY + 18 + hint.offsetHeight < innerHeight;
  hint.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 8)) + "px";
  hint.style.top = (under ? event.clientY + 16 : event.clientY - hint.offsetHeight - 12) + "px";
}

// Reads what is told of a dataset, once: a letter a day, and the years that they lie in.
function read(canvas) {
  const told = JSON.parse(canvas.previousElementSibling.textContent);
  told.cells = told.runs.map(([letter, count]) => letter.repeat(count)).join("");
  told.start = Date.parse(told.first + "T00:00Z");
  told.years = [];
  for (let day = 0; day < told.cells.length;) {
    const year = new Date(told.start + day * DAY).getUTCFullYear();
    const end = Math.min(told.cells.length, Math.round((Date.UTC(year + 1, 0) - told.start) / DAY));
    const shift = (new Date(told.start + day * DAY).getUTCDay() + 6) % 7;
    told.years.push({ year, day, end, shift, weeks: Math.ceil((end - day + shift) / 7) });
    day = end;
  }
  return told;
}

// Places the years beside one another, a column a week, a row a weekday; the cells are as large as two rows of
// years allow, and small before any day is left out.
function place(years, width) {
  for (const pitch of [13, 11, 9, 8, 7, 6, 5]) {
    let x = 0, row = 0;
    const high = TOP + 7 * pitch + 6;
    const places = years.map((one) => {
      const wide = Math.max(one.weeks * pitch, 30);
      if (x && x + wide > width) { x = 0; row++; }
      const at = { ...one, x, y: row * high };
      x += wide + APART;
      return at;
    });
    const fits = places.every((one) => one.x + one.weeks * pitch <= width);
    if (pitch === 5 || (fits && (row < 2 || pitch === 6))) return { pitch, places, height: (row + 1) * high };
  }
}

function draw(canvas) {
  const told = canvas.told || (canvas.told = read(canvas));
  const width = canvas.parentElement.clientWidth - 28, at = (canvas.at = place(told.years, width));
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale; canvas.height = at.height * scale;
  canvas.style.width = width + "px"; canvas.style.height = at.height + "px";
  const pen = canvas.getContext("2d"), cell = at.pitch - (at.pitch > 6 ? 2 : 1);
  const colours = Object.fromEntries(Object.keys(MEANING).map((letter) => [letter, style(letter)]));
  pen.scale(scale, scale); pen.font = "11px system-ui, sans-serif";
  for (const one of at.places) {
    pen.fillStyle = style("dim"); pen.fillText(one.year, one.x, one.y + 10);
    for (let day = one.day; day < one.end; day++) {
      if (told.cells[day] === ".") continue;
      const slot = day - one.day + one.shift;
      pen.fillStyle = colours[told.cells[day]];
      pen.fillRect(one.x + Math.floor(slot / 7) * at.pitch, one.y + TOP + (slot % 7) * at.pitch, cell, cell);
    }
  }
}

function dayAt(canvas, event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  for (const one of canvas.at.places) {
    const week = Math.floor((x - one.x) / canvas.at.pitch), row = Math.floor((y - one.y - TOP) / canvas.at.pitch);
    const day = one.day + week * 7 + row - one.shift;
    if (week >= 0 && row >= 0 && row < 7 && day >= one.day && day < one.end) return day;
  }
  return -1;
}

function point(event) {
  const canvas = event.currentTarget, told = canvas.told, day = dayAt(canvas, event);
  if (day < 0) return say("", event);
  const on = new Date(told.start + day * DAY).toISOString().slice(0, 10);
  const key = [7, 4].map((length) => on.slice(0, length)).find((one) => one in told.rows);
  const count = told.daily ? told.daily[day] : key && told.rows[key];
  const rows = count && count.toLocaleString("en") + " rows" + (key ? " in " + key : "");
  say([on + ": " + MEANING[told.cells[day]], told.notes[day], rows].filter(Boolean).join("; "), event);
}

// Calendars are drawn when they come into sight: there may be a thousand.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "400px" });
for (const canvas of document.querySelectorAll("canvas")) {
  seen.observe(canvas);
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointerleave", (event) => say("", event));
}
function again() {
  for (const canvas of document.querySelectorAll("canvas")) if (canvas.at) { canvas.at = null; seen.observe(canvas); }
}
let waiting = 0, room = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === room) return;
  room = innerWidth; clearTimeout(waiting); waiting = setTimeout(again, 150);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("beforeprint", () => document.querySelectorAll("canvas").forEach((one) => one.clientWidth && draw(one)));
addEventListener("scroll", () => { hint.style.display = "none"; }, { passive: true });

const find = document.getElementById("find"), ill = document.getElementById("ill"), none = document.getElementById("none");
let filtered = false;
function filter() {
  const words = find.value.trim().toLowerCase().split(/\s+/);
  const filters = Boolean(find.value.trim()) || ill.checked;
  let all = 0;
  for (const group of document.querySelectorAll("details.group:not(.live)")) {
    let shown = 0;
    for (const one of group.querySelectorAll(".dataset")) {
      const name = one.dataset.name.toLowerCase();
      const fits = words.every((word) => name.includes(word)) && !(ill.checked && one.dataset.well);
      one.style.display = fits ? "" : "none"; shown += fits;
    }
    group.style.display = shown ? "" : "none";
    if (!filtered) group.dataset.before = group.open ? "1" : "";
    group.open = filters ? shown > 0 : group.dataset.before === "1";
    all += shown;
  }
  filtered = filters;
  none.style.display = all ? "none" : "";
}
if (find) { find.addEventListener("input", filter); ill.addEventListener("change", filter); }
