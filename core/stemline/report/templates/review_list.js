// ---- filter and sort

const stems = (clip) => clip.sounds.filter((sound) => sound.kind === "stem");
const surety = (clip) => Math.min(1, ...stems(clip).map((sound) => (sound.found ? sound.confidence : 0)));
const filters = {
  all: () => true,
  attention: (clip) => clip.warnings.length > 0 || clip.state !== "done",
  missing: (clip) => stems(clip).some((sound) => !sound.found),
  unsure: (clip) => stems(clip).some((sound) => sound.found && sound.confidence < 0.5),
  absent: (clip) => clip.state !== "done",
  open: (clip) => !verdictOf(clip).state,
  approved: (clip) => verdictOf(clip).state === "approved",
  redo: (clip) => verdictOf(clip).state === "redo",
  comment: (clip) => Boolean(verdictOf(clip).comment),
};
const exact = (clip) => { const [n, d = 1] = clip.start.split("/").map(Number); return n / d; };
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const orders = {
  time: (a, b) => exact(a) - exact(b) || compare(a.track, b.track),
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || orders.time(a, b),
  track: (a, b) => a.track.localeCompare(b.track, undefined, { numeric: true }) || exact(a) - exact(b),
  sure: (a, b) => surety(a) - surety(b) || orders.time(a, b),
  length: (a, b) => (b.length_s || 0) - (a.length_s || 0) || orders.time(a, b),
};
let shown = [];

function arrange() {
  const words = byId("search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const track = byId("track").value;
  const passes = filters[byId("filter").value];
  shown = data.clips.filter((clip) => {
    const text = `${clip.name} ${clip.track} ${clip.timecode || ""} ${verdictOf(clip).comment}`.toLocaleLowerCase();
    return passes(clip) && (!track || clip.track === track) && words.every((word) => text.includes(word));
  });
  shown.sort(orders[byId("sort").value]);
  for (const clip of data.clips) clip.card.hidden = true;
  for (const clip of shown) clip.card.hidden = false;
  byId("clips").append(...shown.map((clip) => clip.card));
  showCount();
}

function showCount() {
  const states = data.clips.map((clip) => verdictOf(clip).state);
  const of = (state) => states.filter((each) => each === state).length;
  const parts = [`${shown.length} of ${data.clips.length} clips`, `${of("approved")} approved`, `${of("redo")} to redo`];
  if (!stored) parts.push("this browser does not store the review: save it as a file");
  byId("count").textContent = parts.join(" · ");
}

function showAttention() {
  const groups = new Map();
  for (const clip of data.clips) {
    for (const warning of clip.warnings) {
      if (!groups.has(warning.text)) groups.set(warning.text, []);
      groups.get(warning.text).push(clip);
    }
  }
  const list = document.querySelector("#attention ul");
  for (const [text, clips] of groups) {
    const links = clips.slice(0, 20).map((clip) => {
      const link = make("a", { href: "#clips", textContent: `${clip.name}${clip.timecode ? ` (${clip.timecode})` : ""}` });
      link.addEventListener("click", (event) => { event.preventDefault(); reveal(clip); });
      return link;
    });
    const more = clips.length > 20 ? ` and ${clips.length - 20} more` : "";
    list.append(make("li", {}, `${text} `, ...links, more));
  }
  byId("attention").hidden = groups.size === 0;
}

function reveal(clip) {
  if (clip.card.hidden) {
    byId("filter").value = "all";
    byId("track").value = byId("search").value = "";
    arrange();
  }
  selectClip(clip);
  clip.card.scrollIntoView({ block: "start" });
}

// ---- export

function reviewRows() {
  return [...data.clips].sort(orders.time).map((clip) => ({
    clip: clip.name,
    track: clip.track,
    record_start: clip.start,
    timecode: clip.timecode || "",
    result: clip.state,
    review: verdictOf(clip).state,
    comment: verdictOf(clip).comment,
    warnings: clip.warnings.map((warning) => warning.text),
  }));
}

// a spreadsheet would run a cell that begins like a formula
const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;

function reviewCsv() {
  const rows = reviewRows().map((row) => ({ ...row, warnings: row.warnings.join(" ") }));
  const names = Object.keys(rows[0] || { clip: "" });
  return [names.join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\r\n") + "\r\n";
}

function save(text, type, suffix) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: `${data.edit}.review${suffix}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// ---- keyboard

function step(by) {
  const next = shown[Math.min(shown.length - 1, Math.max(0, shown.indexOf(player.clip) + by))];
  if (next) selectClip(next, { scroll: true });
}

function nextOpen() {
  const after = [...shown.slice(shown.indexOf(player.clip) + 1), ...shown];
  const open = after.find((clip) => !verdictOf(clip).state);
  if (open) selectClip(open, { scroll: true });
}

const keys = {
  " ": () => (isPlaying() ? pause() : play()),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  ArrowLeft: () => seek(player.at - 1),
  ArrowRight: () => seek(player.at + 1),
  Home: () => seek(startOf(player.clip)),
  a: () => toggleState(player.clip, "approved"),
  r: () => toggleState(player.clip, "redo"),
  c: () => player.clip.comment.focus(),
  n: nextOpen,
  "/": () => byId("search").focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return document.activeElement.blur();
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input[type=search], textarea, select")) return;
  if (event.key === " " && event.target.matches("button, a, input")) return;
  const steps = ["ArrowDown", "ArrowUp", "n", "/"].includes(event.key);
  if (!player.clip && shown.length && !steps) selectClip(shown[0]);
  if (!player.clip && !steps) return;
  const number = Number(event.key);
  const sound = number >= 1 && player.clip ? player.clip.sounds[number - 1] : null;
  const action = sound && sound.file ? () => choose(sound) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const silent = player.clip && player.clip.state !== "done";
  if (!action || (silent && [" ", "Home", "ArrowLeft", "ArrowRight"].includes(event.key))) return;
  event.preventDefault();
  action();
});

// ---- start

for (const name of [...new Set(data.clips.map((clip) => clip.track))].sort()) {
  byId("track").append(make("option", { value: name, textContent: name }));
}
for (const clip of data.clips) {
  makeCard(clip);
  showVerdict(clip);
}
for (const id of ["filter", "track", "sort"]) byId(id).addEventListener("change", arrange);
byId("search").addEventListener("input", arrange);
byId("json").addEventListener("click", () => save(JSON.stringify({ edit: data.edit, clips: reviewRows() }, null, 1), "application/json", ".json"));
byId("csv").addEventListener("click", () => save(reviewCsv(), "text/csv", ".csv"));
showAttention();
arrange();
