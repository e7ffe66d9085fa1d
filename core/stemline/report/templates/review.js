"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const storageKey = `stemline-review:${data.id}`;

  // ---- the review: a state and a comment for each clip, stored in the browser

  let stored = true;
  const review = loadReview();

  function loadReview() {
    try {
      return JSON.parse(localStorage.getItem(storageKey)) || {};
    } catch {
      stored = false;
      return {};
    }
  }

  function saveReview() {
    try {
      localStorage.setItem(storageKey, JSON.stringify(review));
    } catch {
      stored = false;
    }
    showCount();
  }

  const keyOf = (clip) => `${clip.track}|${clip.start}|${clip.name}`;
  const verdictOf = (clip) => review[keyOf(clip)] || { state: "", comment: "" };

  function setVerdict(clip, change) {
    const verdict = { ...verdictOf(clip), ...change };
    if (verdict.state || verdict.comment) review[keyOf(clip)] = verdict;
    else delete review[keyOf(clip)];
    saveReview();
    showVerdict(clip);
  }

  // ---- time

  function clock(seconds) {
    const whole = Math.max(0, seconds);
    const minutes = Math.floor(whole / 60);
    return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${(whole % 60).toFixed(2).padStart(5, "0")}`;
  }

  // SMPTE ST 12-1: drop-frame numbering skips two labels, four at 59.94, in each minute but every tenth
  function timecode(frame, [numerator, denominator], drop) {
    const nominal = Math.ceil(numerator / denominator);
    if (drop) {
      const dropped = nominal / 15;
      const perMinute = nominal * 60 - dropped;
      const perTen = perMinute * 10 + dropped;
      const rest = frame % perTen;
      const minutes = rest < nominal * 60 ? 0 : 1 + Math.floor((rest - nominal * 60) / perMinute);
      frame += dropped * (9 * Math.floor(frame / perTen) + minutes);
    }
    const seconds = Math.floor(frame / nominal);
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (number) => String(number).padStart(2, "0");
    return `${parts.map(two).join(":")}${drop ? ";" : ":"}${two(frame % nominal)}`;
  }

  function recordTime(clip, seconds) {
    if (clip.rate === null || clip.frame === null) return clock(clip.start_s + seconds);
    return timecode(clip.frame + Math.round((seconds * clip.rate[0]) / clip.rate[1]), clip.rate, clip.drop);
  }

  // ---- one player: the sounds of the current clip share a playhead

  const player = { clip: null, sounds: new Map(), chosen: null, at: 0 };

  function currentAudio() {
    return player.sounds.get(player.chosen) || null;
  }

  function selectClip(clip, { scroll = false } = {}) {
    if (player.clip !== clip) {
      pause();
      for (const audio of player.sounds.values()) audio.removeAttribute("src");
      player.sounds.clear();
      if (player.clip) player.clip.card.classList.remove("current");
      player.clip = clip;
      player.at = byId("handles").checked ? 0 : clip.head_s || 0;
      clip.card.classList.add("current");
      for (const sound of clip.sounds) if (sound.file) player.sounds.set(sound, openAudio(sound));
      const names = player.chosen ? clip.sounds.filter((sound) => sound.name === player.chosen.name && sound.file) : [];
      player.chosen = null;
      choose(names[0] || clip.sounds.find((sound) => sound.file) || null);
      showHead();
    }
    if (scroll) clip.card.scrollIntoView({ block: "nearest" });
  }

  function openAudio(sound) {
    const audio = new Audio();
    audio.preload = "auto";
    audio.addEventListener("error", () => {
      if (!audio.getAttribute("src")) return;
      sound.button.disabled = true;
      sound.label.textContent = "this browser cannot play it";
    });
    audio.src = sound.file.split("/").map(encodeURIComponent).join("/");
    return audio;
  }

  function choose(sound) {
    const playing = isPlaying();
    const before = currentAudio();
    if (before && !before.paused) player.at = before.currentTime;
    if (before) before.pause();
    player.chosen = sound;
    for (const each of player.clip.sounds) each.button.setAttribute("aria-pressed", String(each === sound));
    if (playing) play();
  }

  function isPlaying() {
    const audio = currentAudio();
    return Boolean(audio && !audio.paused);
  }

  function play() {
    const audio = currentAudio();
    if (!audio) return;
    if (player.at >= endOf(player.clip) - 0.01) player.at = startOf(player.clip);
    audio.currentTime = player.at;
    audio.play().then(() => requestAnimationFrame(follow), () => {});
    player.clip.play.textContent = "Pause";
  }

  function pause() {
    const audio = currentAudio();
    if (audio && !audio.paused) {
      player.at = audio.currentTime;
      audio.pause();
    }
    if (player.clip && player.clip.play) player.clip.play.textContent = "Play";
  }

  const startOf = (clip) => (byId("handles").checked ? 0 : clip.head_s);
  const endOf = (clip) => (byId("handles").checked ? clip.file_s : clip.head_s + clip.length_s);

  function follow() {
    const audio = currentAudio();
    if (!audio || audio.paused) {
      if (player.clip) player.clip.play.textContent = "Play";
      return;
    }
    player.at = audio.currentTime;
    if (player.at >= endOf(player.clip)) pause();
    showHead();
    requestAnimationFrame(follow);
  }

  function seek(seconds) {
    player.at = Math.min(Math.max(0, seconds), player.clip.file_s);
    const audio = currentAudio();
    if (audio) audio.currentTime = player.at;
    showHead();
  }

  function showHead() {
    const clip = player.clip;
    if (!clip || !clip.file_s) return;
    for (const sound of clip.sounds) sound.head.style.left = `${(100 * player.at) / clip.file_s}%`;
    clip.now.textContent = recordTime(clip, player.at - clip.head_s);
  }

  // ---- cards

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function wavePath(packed) {
    const heights = Array.from(atob(packed), (character) => character.charCodeAt(0) / 255);
    const step = 600 / heights.length;
    const edge = (height, sign) => (20 + sign * Math.max(0.4, height * 20)).toFixed(1);
    const points = (sign) => heights.map((height, i) => `${(i * step).toFixed(1)},${edge(height, sign)}`);
    return `M${points(-1).join("L")}L${points(1).reverse().join("L")}Z`;
  }

  const drawing = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      drawing.unobserve(entry.target);
      for (const sound of entry.target.clip.sounds) if (sound.wave) drawWave(sound);
    }
  }, { rootMargin: "600px" });

  function drawWave(sound) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 600 40");
    svg.setAttribute("preserveAspectRatio", "none");
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", wavePath(sound.wave));
    svg.append(path);
    sound.area.prepend(svg);
  }

  function makeSound(clip, sound, number) {
    sound.label = make("span", { className: sound.found === false ? "missing" : "soft", textContent: sound.note || "" });
    sound.button = make("button", { type: "button", title: `Listen to this sound (${number})` }, sound.name);
    if (sound.label.textContent) sound.button.append(make("br"), sound.label);
    sound.button.setAttribute("aria-pressed", "false");
    sound.button.disabled = !sound.file;
    if (!sound.file) sound.button.append(make("br"), make("span", { className: "soft", textContent: "no preview" }));
    sound.button.addEventListener("click", () => { selectClip(clip); choose(sound); });
    sound.head = make("div", { className: "at" });
    const share = (seconds) => `${(100 * seconds) / clip.file_s}%`;
    const front = make("div", { className: "handle" });
    const back = make("div", { className: "handle end" });
    front.style.width = share(clip.head_s);
    back.style.width = share(Math.max(0, clip.file_s - clip.head_s - clip.length_s));
    sound.area = make("div", { className: "wave", role: "img", "aria-label": `waveform of ${sound.name}` }, front, back, sound.head);
    sound.area.addEventListener("click", (event) => {
      const box = sound.area.getBoundingClientRect();
      selectClip(clip);
      if (sound.file) choose(sound);
      seek(((event.clientX - box.left) / box.width) * clip.file_s);
    });
    return make("div", { className: `sound ${sound.kind}` }, sound.button, sound.area);
  }

  function makeTools(clip) {
    clip.play = make("button", { type: "button", textContent: "Play" });
    clip.play.addEventListener("click", () => {
      selectClip(clip);
      if (isPlaying()) pause();
      else play();
    });
    clip.now = make("span", { className: "soft time" });
    return [clip.play, clip.now];
  }

  function makeCard(clip) {
    const header = make("header", {}, make("h3", { textContent: clip.name }), make("span", { className: "soft", textContent: clip.track }));
    const card = make("article", { className: "clip" }, header);
    card.clip = clip;
    clip.card = card;
    if (clip.state === "done") {
      const until = recordTime(clip, clip.length_s);
      header.append(make("span", { className: "time", textContent: `${clip.timecode} – ${until}` }));
      header.append(make("span", { textContent: clock(clip.length_s), title: "length of the clip, without handles" }));
      header.append(make("span", { className: "soft", textContent: clip.facts }));
    } else {
      header.append(make("b", { className: "bad", textContent: clip.state }));
    }
    card.append(...clip.sounds.map((sound, i) => makeSound(clip, sound, i + 1)));
    if (clip.warnings.length) {
      const lines = clip.warnings.map((warning) => make("li", { textContent: warning.text, title: warning.code }));
      card.append(make("ul", { className: "warnings" }, ...lines));
    }
    const tools = make("div", { className: "tools" }, ...(clip.state === "done" ? makeTools(clip) : []));
    for (const [state, text] of [["approved", "Approve"], ["redo", "To redo"]]) {
      const button = make("button", { type: "button", className: state === "approved" ? "approve" : "redo", textContent: text });
      button.addEventListener("click", () => toggleState(clip, state));
      clip[`${state}Button`] = button;
      tools.append(button);
    }
    clip.comment = make("textarea", { placeholder: "Comment", "aria-label": `Comment on ${clip.name}` });
    clip.comment.addEventListener("input", () => setVerdict(clip, { comment: clip.comment.value }));
    tools.append(clip.comment);
    card.append(tools);
    const links = clip.sounds.filter((sound) => sound.file && sound.kind !== "mix");
    if (links.length) {
      const files = links.map((sound) => make("a", { href: sound.file.split("/").map(encodeURIComponent).join("/"), textContent: sound.file.split("/").pop() }));
      card.append(make("div", { className: "files soft" }, ...files));
    }
    card.addEventListener("focusin", () => selectClip(clip));
    drawing.observe(card);
    return card;
  }

  function toggleState(clip, state) {
    setVerdict(clip, { state: verdictOf(clip).state === state ? "" : state });
  }

  function showVerdict(clip) {
    const { state, comment } = verdictOf(clip);
    for (const each of ["approved", "redo"]) {
      clip.card.classList.toggle(each, state === each);
      clip[`${each}Button`].setAttribute("aria-pressed", String(state === each));
    }
    if (clip.comment.value !== comment) clip.comment.value = comment;
  }

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
})();
