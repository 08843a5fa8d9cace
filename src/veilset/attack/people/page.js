// SPDX-License-Identifier: Apache-2.0
"use strict";

(() => {
  const pack = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const CANNOT_TELL = "cannot tell";
  const place = `veilset.people.${pack.pack}`;
  const nShown = pack.questions[0].shown.length;

  // What has been answered: by question, a choice and the seconds spent on it.
  let state = { assessor: randomName(), agreed: false, at: 0, answers: {} };
  let seenSince = null;
  let isWaiting = false;

  function randomName() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function remember() {
    try {
      localStorage.setItem(place, JSON.stringify(state));
    } catch {
      $("forgetful").hidden = false;
    }
  }

  function recall() {
    try {
      localStorage.setItem(`${place}.try`, "");
      localStorage.removeItem(`${place}.try`);
      const found = JSON.parse(localStorage.getItem(place) ?? "null");
      if (found && typeof found.answers === "object") state = found;
    } catch {
      $("forgetful").hidden = false;
    }
  }

  // Time counts only while the question is in sight.
  const clock = {
    start() { seenSince = document.hidden ? null : performance.now(); },
    stop() {
      if (seenSince === null) return;
      const question = pack.questions[state.at];
      const kept = (state.answers[question.id] ??= { choice: null, seconds: 0 });
      kept.seconds += (performance.now() - seenSince) / 1000;
      seenSince = null;
    },
  };

  const isAnswered = (question) => (state.answers[question.id]?.choice ?? null) !== null;
  const nAnswered = () => pack.questions.filter(isAnswered).length;

  function show(name) {
    for (const each of ["welcome", "asking", "end", "gone"]) $(each).hidden = each !== name;
    $("way").hidden = name !== "asking";
    window.scrollTo(0, 0);
    $(`${name}-title`).focus({ preventScroll: true });
  }

  function ask() {
    const question = pack.questions[state.at];
    const chosen = state.answers[question.id]?.choice ?? null;
    $("count").textContent = `Question ${state.at + 1} of ${pack.questions.length}`;
    $("bar").value = nAnswered();
    $("probe").src = pack.pictures[question.probe];
    $("nine").replaceChildren(...question.shown.map((name, i) => candidate(name, i + 1, chosen)));
    $("unsure").setAttribute("aria-pressed", String(chosen === CANNOT_TELL));
    $("back").disabled = state.at === 0;
    $("next").hidden = chosen === null;
    show("asking");
    clock.start();
  }

  function candidate(name, number, chosen) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "face";
    button.setAttribute("aria-pressed", String(chosen === number));
    const picture = document.createElement("img");
    picture.src = pack.pictures[name];
    picture.alt = `Face ${number}`;
    const key = document.createElement("kbd");
    key.textContent = String(number);
    key.ariaHidden = "true";
    button.append(picture, key);
    button.addEventListener("click", () => answer(number));
    return button;
  }

  function answer(choice) {
    if (isWaiting || $("asking").hidden) return;
    clock.stop();
    const question = pack.questions[state.at];
    (state.answers[question.id] ??= { choice: null, seconds: 0 }).choice = choice;
    const buttons = [...$("nine").children, $("unsure")];
    const at = choice === CANNOT_TELL ? buttons.length - 1 : choice - 1;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === at)));
    remember();
    // Long enough to see what was picked, and a slip of the finger can be taken back.
    isWaiting = true;
    setTimeout(() => { isWaiting = false; goOn(); }, 220);
  }

  function goOn() {
    if ($("asking").hidden) return;
    const n = pack.questions.length;
    // The next one without an answer, those after this one first.
    const turns = Array.from({ length: n }, (_, i) => (state.at + 1 + i) % n);
    const next = turns.find((i) => !isAnswered(pack.questions[i]));
    if (next === undefined) return finish();
    state.at = next;
    remember();
    ask();
  }

  function back() {
    if (isWaiting || $("asking").hidden || state.at === 0) return;
    clock.stop();
    state.at -= 1;
    remember();
    ask();
  }

  function forward() {
    if (isWaiting || $("asking").hidden || !isAnswered(pack.questions[state.at])) return;
    clock.stop();
    goOn();
  }

  function finish() {
    clock.stop();
    remember();
    const [n, all] = [nAnswered(), pack.questions.length];
    $("end-title").textContent = n === all ? "Thank you, that was all" : "Stopped";
    $("done").textContent = n === all
      ? `You answered all ${all} questions. Save your answers as a file now.`
      : `You answered ${n} of ${all} questions. You can go on now or later, or save what there is.`;
    $("resume").hidden = n === all;
    $("save").disabled = n === 0;
    $("saved").textContent = "";
    $("text").value = asText();
    show("end");
  }

  function asText() {
    const answers = pack.questions.filter(isAnswered).map((question) => {
      const { choice, seconds } = state.answers[question.id];
      return { question: question.id, choice, seconds: Math.round(seconds * 100) / 100 };
    });
    const kept = { format: pack.answers_format, pack: pack.pack, assessor: state.assessor, answers };
    return `${JSON.stringify(kept, null, 1)}\n`;
  }

  function save() {
    const link = document.createElement("a");
    const name = `answers-${pack.pack.slice(0, 8)}-${state.assessor.slice(0, 8)}.json`;
    link.href = URL.createObjectURL(new Blob([asText()], { type: "application/json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    $("saved").textContent = `${name} is among your downloads.`;
  }

  function forget() {
    if (!window.confirm("Delete your answers from this browser? This cannot be undone.")) return;
    try {
      localStorage.removeItem(place);
    } catch {
      // Where nothing is remembered, nothing has to be deleted.
    }
    state = { assessor: randomName(), agreed: false, at: 0, answers: {} };
    $("text").value = "";
    show("gone");
  }

  function begin() {
    state.agreed = true;
    remember();
    if (nAnswered() === pack.questions.length) finish();
    else ask();
  }

  document.addEventListener("keydown", (event) => {
    if ($("asking").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "ArrowLeft" || event.key === "Backspace") back();
    else if (event.key === "ArrowRight") forward();
    else if (event.key === "0") answer(CANNOT_TELL);
    else if (/^[1-9]$/.test(event.key) && Number(event.key) <= nShown) answer(Number(event.key));
    else return;
    event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if ($("asking").hidden || isWaiting) return;
    if (document.hidden) { clock.stop(); remember(); } else clock.start();
  });
  $("begin").addEventListener("click", begin);
  $("unsure").addEventListener("click", () => answer(CANNOT_TELL));
  $("back").addEventListener("click", back);
  $("next").addEventListener("click", forward);
  $("leave").addEventListener("click", finish);
  $("resume").addEventListener("click", () => {
    if (isAnswered(pack.questions[state.at])) { show("asking"); goOn(); } else ask();
  });
  $("save").addEventListener("click", save);
  $("forget").addEventListener("click", forget);

  document.documentElement.style.setProperty("--ratio", String(pack.ratio));
  recall();
  if (state.agreed) {
    $("begin").textContent = "Go on";
    $("welcome-title").textContent = "Welcome back";
  }
  show("welcome");
})();
