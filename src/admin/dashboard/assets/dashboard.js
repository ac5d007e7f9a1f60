"use strict";
// Follows the worker's events. What a page shows is made on the server: the script moves the steps of a run
// as they are told, and fetches the page again for everything else. Without it a page loads itself anew.
(() => {
  /** How long after an event the page is fetched again, so that many events are one fetch. */
  const SOON = 400;
  /** How often it is fetched when nothing is heard of: times grow old. */
  const OFTEN = 60_000;
  /** How long after a lost stream another one is opened. */
  const AGAIN = 5_000;

  const live = document.getElementById("live");
  const announcer = document.getElementById("announcer");
  let source = null;
  let soon = 0;
  let again = 0;
  let fetching = false;
  let wanted = false;

  const parts = (rotation) =>
    document.querySelectorAll(`[data-rotation="${CSS.escape(rotation)}"]`);

  function say(on) {
    live.hidden = false;
    live.dataset.state = on ? "on" : "off";
    live.querySelector(".live-word").textContent = on ? "Live" : "Not live";
  }

  function mark(element, state, word) {
    element.dataset.state = state;
    const text = element.querySelector(".step-state, .word");
    if (text) text.textContent = word;
  }

  function started(run) {
    for (const part of parts(run.rotation)) {
      const badge = part.querySelector(".badge");
      if (badge) mark(badge, "running", "running");
      for (const step of part.querySelectorAll("[data-step]")) {
        mark(step, "waiting", " waiting");
        const detail = step.querySelector(".step-detail");
        if (detail) detail.textContent = "";
        step.querySelector(":scope > .far")?.remove();
      }
    }
  }

  function stepped(rotation, step) {
    for (const part of parts(rotation)) {
      for (const element of part.querySelectorAll(`[data-step="${CSS.escape(step.name)}"]`)) {
        mark(element, step.state, ` ${step.state}`);
        const detail = element.querySelector(".step-detail");
        if (detail && step.detail) detail.textContent = step.detail;
      }
    }
  }

  function finished(run) {
    if (parts(run.rotation).length === 0) return;
    const why = run.error ? `: ${run.error.message}` : "";
    announcer.textContent = `${run.rotation}: run ${run.state}${why}`;
    const stale = document.getElementById("look-stale");
    if (stale) stale.hidden = false;
  }

  function heard(event) {
    const told = JSON.parse(event.data);
    switch (event.type) {
      case "run_started": started(told.run); break;
      case "step": stepped(told.rotation, told.step); return;
      case "run_finished": finished(told.run); break;
      case "standby_sessions": return;
      default: break;
    }
    refreshSoon();
  }

  function refreshSoon() {
    if (!soon) soon = setTimeout(() => { soon = 0; refresh(); }, SOON);
  }

  /** The same page, as it is now. */
  async function fetched(address) {
    const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
    if (answer.status === 401) {
      // The session is over: the page that asks for the token takes this one's place.
      location.reload();
      throw new Error("the session is over");
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { ok: answer.ok, page };
  }

  /** Puts what the server says in the place of what is there, and keeps focus and what was unfolded. */
  function replace(old, now) {
    if (old.isEqualNode(now)) return;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    for (const unfolded of old.querySelectorAll("details[open][id]")) {
      now.querySelector(`#${CSS.escape(unfolded.id)}`)?.setAttribute("open", "");
    }
    old.replaceWith(document.adoptNode(now));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (fetching) { wanted = true; return; }
    fetching = true;
    try {
      const { ok, page } = await fetched(location.href);
      if (ok) {
        for (const old of document.querySelectorAll("[data-live]")) {
          const now = page.getElementById(old.id);
          if (now) replace(old, now);
        }
      }
    } catch (error) {
      say(false);
    }
    fetching = false;
    if (wanted) { wanted = false; refreshSoon(); }
  }

  function follow() {
    clearTimeout(again);
    if (source || document.hidden) return;
    source = new EventSource(document.body.dataset.follows);
    source.addEventListener("open", () => { say(true); refreshSoon(); });
    source.addEventListener("error", () => {
      say(false);
      // The browser does not come back by itself after an answer that is no stream.
      if (source?.readyState === EventSource.CLOSED) { leave(); again = setTimeout(follow, AGAIN); }
    });
    for (const name of ["run_started", "step", "run_finished", "window_missed", "retired", "rolled_back",
      "standby_sessions", "paused", "current_refused", "current_accepted"]) {
      source.addEventListener(name, heard);
    }
    source.addEventListener("gap", refreshSoon);
  }

  function leave() {
    source?.close();
    source = null;
  }

  /** What is at the database: on the rotation's own page it is looked at at once. */
  async function look() {
    const old = document.getElementById("look");
    if (!old?.dataset.look) return;
    old.setAttribute("aria-busy", "true");
    try {
      const { page } = await fetched(old.dataset.look);
      const now = page.getElementById("look");
      if (now) {
        replace(old, now);
        announcer.textContent = "The database has been looked at";
      } else {
        const told = page.querySelector(".notice");
        if (told) old.append(document.adoptNode(told));
      }
    } catch (error) {
      say(false);
    }
    old.removeAttribute("aria-busy");
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#look a[href$='/look']")) {
      event.preventDefault();
      look();
    }
  });
  // A page that nobody sees follows nothing: a browser has few connections for one worker.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { say(false); leave(); } else { follow(); refreshSoon(); }
  });
  // What was just done is told once.
  if (new URLSearchParams(location.search).has("done")) {
    history.replaceState(null, "", location.pathname);
  }
  setInterval(() => { if (!document.hidden) refreshSoon(); }, OFTEN);
  follow();
  look();
})();
