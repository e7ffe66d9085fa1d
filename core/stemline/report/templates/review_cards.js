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
