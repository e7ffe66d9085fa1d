// The review in the browser, time, and the player. page.py joins the review scripts in one function.

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
