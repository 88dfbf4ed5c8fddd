"use strict";
const DAY = 86400000, CELL = 11, GAP = 2;
const MEANING = JSON.parse(document.getElementById("meaning").textContent);
const hint = document.getElementById("hint");
const colour = (letter) => getComputedStyle(document.documentElement).getPropertyValue("--" + (letter === "." ? "w" : letter));

// Draws the days of a dataset, a column a week, a row a weekday, as far as there is room: the newest days.
function draw(canvas) {
  const told = JSON.parse(canvas.previousElementSibling.textContent);
  const cells = told.runs.map(([letter, count]) => letter.repeat(count)).join("");
  const first = Date.parse(told.first + "T00:00Z"), shift = (new Date(first).getUTCDay() + 6) % 7;
  const room = Math.max(20, Math.floor((canvas.parentElement.clientWidth - 30) / (CELL + GAP)));
  const weeks = Math.ceil((cells.length + shift) / 7), skip = Math.max(0, weeks - room);
  const scale = window.devicePixelRatio || 1;
  const width = Math.min(weeks, room) * (CELL + GAP), height = 7 * (CELL + GAP) + 14;
  canvas.width = width * scale; canvas.height = height * scale; canvas.style.width = width + "px";
  const pen = canvas.getContext("2d"); pen.scale(scale, scale); pen.font = "10px system-ui"; pen.fillStyle = colour("dim");
  let year = 0;
  for (let week = skip; week < weeks; week++) {
    const at = new Date(first + (week * 7 - shift) * DAY);
    if (at.getUTCFullYear() !== year) { year = at.getUTCFullYear(); pen.fillStyle = getComputedStyle(document.body).color; pen.fillText(year, (week - skip) * (CELL + GAP), 10); }
  }
  for (let day = 0; day < cells.length; day++) {
    const place = day + shift, week = Math.floor(place / 7) - skip;
    if (week < 0 || cells[day] === ".") continue;
    pen.fillStyle = colour(cells[day]);
    pen.fillRect(week * (CELL + GAP), 14 + (place % 7) * (CELL + GAP), CELL, CELL);
  }
  canvas.onmousemove = (event) => {
    const box = canvas.getBoundingClientRect();
    const week = Math.floor((event.clientX - box.left) / (CELL + GAP)) + skip, row = Math.floor((event.clientY - box.top - 14) / (CELL + GAP));
    const day = week * 7 + row - shift;
    if (row < 0 || row > 6 || day < 0 || day >= cells.length) { hint.style.display = "none"; return; }
    const on = new Date(first + day * DAY).toISOString().slice(0, 10);
    const rows = told.rows.filter(([key]) => on.startsWith(key)).map(([key, count]) => `${count.toLocaleString("en")} rows in ${key}`);
    hint.textContent = [on + ": " + MEANING[cells[day]], told.notes[day], ...rows].filter(Boolean).join("; ");
    hint.style.display = "block"; hint.style.left = Math.min(event.clientX + 14, innerWidth - 430) + "px"; hint.style.top = event.clientY + 16 + "px";
  };
  canvas.onmouseleave = () => { hint.style.display = "none"; };
}

function open(group) {
  for (const canvas of group.querySelectorAll("canvas:not([data-drawn])")) { canvas.dataset.drawn = "1"; draw(canvas); }
}
for (const group of document.querySelectorAll("details.group")) {
  group.addEventListener("toggle", () => group.open && open(group));
  if (group.open) open(group);
}
const find = document.getElementById("find");
if (find) find.addEventListener("input", () => {
  const word = find.value.trim().toLowerCase();
  for (const group of document.querySelectorAll("details.group")) {
    let shown = 0;
    for (const one of group.querySelectorAll(".dataset")) {
      const fits = one.dataset.name.toLowerCase().includes(word);
      one.style.display = fits ? "" : "none"; shown += fits;
    }
    group.style.display = shown ? "" : "none";
    if (word && shown) { group.open = true; }
  }
});
