"use strict";
// Updates the page from the worker's event stream. The server renders every page: the script updates the
// steps of a run, and fetches the page again for everything else. Without it a page reloads by itself.
(() => {
  /** The delay before a fetch after an event, so that many events cause one fetch. */
  const REFRESH_DELAY = 400;
  /** The interval of fetches without events, because relative times change. */
  const REFRESH_INTERVAL = 60_000;
  /** The delay before a lost stream is opened again. */
  const RECONNECT_DELAY = 5_000;

  const live = document.getElementById("live");
  const announcer = document.getElementById("announcer");
  let source = null;
  let refreshTimer = 0;
  let reconnectTimer = 0;
  let fetching = false;
  let refreshPending = false;

  const parts = (rotation) =>
    document.querySelectorAll(`[data-rotation="${CSS.escape(rotation)}"]`);

  function showConnection(on) {
    live.hidden = false;
    live.dataset.state = on ? "on" : "off";
    live.querySelector(".live-word").textContent = on ? "Live" : "Not live";
  }

  function setState(element, state, word) {
    element.dataset.state = state;
    const text = element.querySelector(".step-state, .word");
    if (text) text.textContent = word;
  }

  function runStarted(run) {
    for (const part of parts(run.rotation)) {
      const badge = part.querySelector(".badge");
      if (badge) setState(badge, "running", "running");
      for (const step of part.querySelectorAll("[data-step]")) {
        setState(step, "waiting", " waiting");
        const detail = step.querySelector(".step-detail");
        if (detail) detail.textContent = "";
        step.querySelector(":scope > .far")?.remove();
      }
    }
  }

  function stepChanged(rotation, step) {
    for (const part of parts(rotation)) {
      for (const element of part.querySelectorAll(`[data-step="${CSS.escape(step.name)}"]`)) {
        setState(element, step.state, ` ${step.state}`);
        const detail = element.querySelector(".step-detail");
        if (detail && step.detail) detail.textContent = step.detail;
      }
    }
  }

  function runFinished(run) {
    if (parts(run.rotation).length === 0) return;
    const why = run.error ? `: ${run.error.message}` : "";
    announcer.textContent = `${run.rotation}: run ${run.state}${why}`;
    const stale = document.getElementById("database-check-stale");
    if (stale) stale.hidden = false;
  }

  function onEvent(event) {
    const data = JSON.parse(event.data);
    switch (event.type) {
      case "run_started": runStarted(data.run); break;
      case "step": stepChanged(data.rotation, data.step); return;
      case "run_finished": runFinished(data.run); break;
      case "standby_sessions": return;
      default: break;
    }
    scheduleRefresh();
  }

  function scheduleRefresh() {
    if (!refreshTimer) refreshTimer = setTimeout(() => { refreshTimer = 0; refresh(); }, REFRESH_DELAY);
  }

  /** The current version of a page. */
  async function fetchPage(address) {
    const response = await fetch(address, { credentials: "same-origin", redirect: "error" });
    if (response.status === 401) {
      // The session has ended: a reload shows the sign-in page.
      location.reload();
      throw new Error("the session has ended");
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    return { ok: response.ok, page };
  }

  /** Replaces a part of the page, and keeps the focus and the open details. */
  function replace(old, now) {
    if (old.isEqualNode(now)) return;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    for (const open of old.querySelectorAll("details[open][id]")) {
      now.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    old.replaceWith(document.adoptNode(now));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (fetching) { refreshPending = true; return; }
    fetching = true;
    try {
      const { ok, page } = await fetchPage(location.href);
      if (ok) {
        for (const old of document.querySelectorAll("[data-live]")) {
          const now = page.getElementById(old.id);
          if (now) replace(old, now);
        }
      }
    } catch (error) {
      showConnection(false);
    }
    fetching = false;
    if (refreshPending) { refreshPending = false; scheduleRefresh(); }
  }

  function connect() {
    clearTimeout(reconnectTimer);
    if (source || document.hidden) return;
    source = new EventSource(document.body.dataset.events);
    source.addEventListener("open", () => { showConnection(true); scheduleRefresh(); });
    source.addEventListener("error", () => {
      showConnection(false);
      // The browser does not reconnect after a response that is not a stream.
      if (source?.readyState === EventSource.CLOSED) { disconnect(); reconnectTimer = setTimeout(connect, RECONNECT_DELAY); }
    });
    for (const name of ["run_started", "step", "run_finished", "window_missed", "retired", "rolled_back",
      "standby_sessions", "paused", "current_refused", "current_accepted"]) {
      source.addEventListener(name, onEvent);
    }
    source.addEventListener("gap", scheduleRefresh);
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  /** Runs the database check of a rotation's page. */
  async function checkDatabase() {
    const old = document.getElementById("database-check");
    if (!old?.dataset.source) return;
    old.setAttribute("aria-busy", "true");
    try {
      const { page } = await fetchPage(old.dataset.source);
      const now = page.getElementById("database-check");
      if (now) {
        replace(old, now);
        announcer.textContent = "Database check finished";
      } else {
        const notice = page.querySelector(".notice");
        if (notice) old.append(document.adoptNode(notice));
      }
    } catch (error) {
      showConnection(false);
    }
    old.removeAttribute("aria-busy");
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#database-check a[href$='/database-check']")) {
      event.preventDefault();
      checkDatabase();
    }
  });
  // A hidden page disconnects, because a browser has few connections per host.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { showConnection(false); disconnect(); } else { connect(); scheduleRefresh(); }
  });
  // The message of an action is shown once.
  if (new URLSearchParams(location.search).has("done")) {
    history.replaceState(null, "", location.pathname);
  }
  setInterval(() => { if (!document.hidden) scheduleRefresh(); }, REFRESH_INTERVAL);
  connect();
  checkDatabase();
})();
