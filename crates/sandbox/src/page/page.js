// The sandbox's page: shows what `/sandbox/live` tells and acts through the control API.
//
// What is shown may come from anybody, so it reaches the document as text only (`make`). What is kept
// is bounded: a number of rows, and as many held back while the feed is paused.

const ROWS = 200;
const EVENTS_PATH = "/default/v1/events";
const ADDRESS = "127.0.0.1";

const at = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const many = (count, one) => `${number(count)} ${one}${count === 1 ? "" : "s"}`;

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Acting

// One after another: of two orders given quickly the later one has to win.
let acting = Promise.resolve();
function act(...order_) {
  acting = acting.then(() => carryOut(...order_));
  return acting;
}

async function carryOut(method, what, document_, said) {
  at("failure").hidden = true;
  try {
    const body = document_ === undefined ? undefined : JSON.stringify(document_);
    const answer = await fetch(`/sandbox/${what}`, { method, body });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    at("said").textContent = said;
    return true;
  } catch (error) {
    at("failure").textContent = `${method} /sandbox/${what}: ${error.message}`;
    at("failure").hidden = false;
    return false;
  }
}

const makeUnknown = (user) => act("PATCH", "users", { unknown: [user] }, `${user} is unknown now`);
const makeKnown = (entry, name) => act("PATCH", "users", { known: [entry] }, `${name} is known now`);

// Users and access

let unknown = new Set();

function showRules({ token_good: good, addresses, users }) {
  const named = (entry) => (typeof entry === "string" ? { user: entry } : entry);
  unknown = new Set(users.unknown.map((entry) => named(entry).user).filter(Boolean));
  const rows = users.unknown.toReversed().map((entry) => {
    const { user, prefix, status = 404, code = "A_1104" } = named(entry);
    const name = user ?? `${prefix}…`;
    return make("li", {},
      make("span", { className: "mono", textContent: name, title: name }),
      make("span", { className: "note", textContent: `${status} ${code}` }),
      make("button", {
        type: "button", textContent: "Make known", ariaLabel: `Make ${name} known`,
        onclick: () => makeKnown(user ?? { prefix }, name).then(() => at("user").focus()),
      }));
  });
  const more = users.count - users.unknown.length;
  if (more > 0) rows.push(make("li", { className: "note", textContent: `and ${number(more)} more` }));
  at("users").replaceChildren(...rows);
  at("users-note").textContent = users.count ? `${number(users.count)} unknown` : "all known";

  const allowed = addresses.includes(ADDRESS);
  at("token").checked = good;
  at("token-says").textContent = good ? "good" : "revoked: requests are refused with A_1002";
  at("address").checked = allowed;
  at("address-says").textContent = allowed ? "may call" : "may not call: requests are refused with A_1004";
  const closed = [!good && "token revoked", !allowed && "address refused"].filter(Boolean);
  at("access-note").textContent = closed.length === 2 ? "both refused" : closed.join();
  for (const button of document.querySelectorAll(".event button")) nameUserButton(button);
}

at("user-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await makeUnknown(at("user").value)) at("user").value = "";
});
at("token").addEventListener("change", ({ target }) =>
  act("PUT", "token", { revoked: !target.checked }, target.checked ? "The token is good again" : "The token is revoked"));
at("address").addEventListener("change", ({ target }) =>
  act("PUT", "addresses", { allowed: target.checked ? [ADDRESS] : [] },
    target.checked ? "The address may call again" : "The address may not call"));
at("clear").addEventListener("click", () => act("DELETE", "ledger", undefined, "The ledger is empty"));

// Faults

const WHEN = { when: ["before", "after"] };
const FAULTS = [
  { fault: "delay", title: "Delay", says: "answers late", fields: { ms: 2000, ...WHEN } },
  { fault: "status", title: "Status", says: "a proxy's error page instead of the API", fields: { status: 503, retry_after: "", ...WHEN } },
  { fault: "login_page", title: "Login page", says: "200 with HTML, as a hotel's network", fields: WHEN },
  { fault: "redirect", title: "Redirect", says: "302 to another place", fields: { to: "http://127.0.0.1:1/" } },
  { fault: "reset", title: "Reset", says: "a TCP reset instead of an answer", fields: WHEN },
  { fault: "close", title: "Close", says: "the end of the connection instead of an answer", fields: WHEN },
  { fault: "hang_up", title: "Hang up", says: "the end before the request is read", fields: {} },
  { fault: "truncated", title: "Truncated", says: "half an answer, then the end", fields: { status: 200, ...WHEN } },
  { fault: "success", title: "200 with a body", says: "success: true instead of 204", fields: {} },
  { fault: "raw", title: "Raw bytes", says: "what is no HTTP at all", fields: { text: "SSH-2.0-OpenSSH_9.2\r\n" } },
  { fault: "max_body_bytes", title: "Body limit", says: "413 for longer requests", fields: { max_body_bytes: 20000 } },
];
const LABELS = {
  ms: "Milliseconds", status: "Status", retry_after: "Retry-After, s", to: "To", text: "Bytes",
  when: "The API", max_body_bytes: "Bytes at most", percent: "Of requests, %",
};
const WHEN_SAYS = { before: "sees nothing", after: "has dealt with it" };
const rows = new Map();

function field(row, name, usual) {
  const props = { id: `${row.fault}-${name}`, onchange: () => order(row) };
  let input;
  if (Array.isArray(usual)) {
    input = make("select", props, ...usual.map((value) => make("option", { value, textContent: WHEN_SAYS[value] })));
  } else if (typeof usual === "number") {
    input = make("input", { ...props, type: "number", min: 0, required: true, value: usual });
  } else {
    input = make("input", { ...props, spellcheck: false, autocomplete: "off", value: escaped(usual) });
  }
  row.inputs[name] = input;
  const wide = name === "to" || name === "text";
  return make("label", { className: wide ? "wide" : "" }, LABELS[name], input);
}

// An input has one line; the line ends of bytes are written as in an order.
const escaped = (text) => JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
const unescaped = (text) => text.replaceAll("\\r", "\r").replaceAll("\\n", "\n");

function buildFault(spec) {
  const row = { ...spec, inputs: {}, pending: 0, limit: spec.fault === "max_body_bytes" };
  row.toggle = make("input", { type: "checkbox", role: "switch", id: `fault-${row.fault}` });
  row.toggle.addEventListener("change", () => (row.toggle.checked ? order(row) : end(row)));
  row.struck = make("small");
  const label = make("label", { className: "switch" }, row.toggle,
    make("span", {}, row.title, make("small", { textContent: row.says }), row.struck));
  const fields = Object.entries(row.fields).map(([name, usual]) => field(row, name, usual));
  if (!row.limit) fields.push(field(row, "percent", 100));
  row.options = make("div", { className: "options", role: "group", ariaLabel: `${row.title}: options`, hidden: true }, ...fields);
  row.asOrdered = make("p", { className: "options note mono", hidden: true });
  rows.set(row.fault, row);
  return make("div", {}, label, row.options, row.asOrdered);
}

function orderOf(row) {
  const { percent, ...inputs } = row.inputs;
  const members = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (input.value === "") continue;
    members[name] = input.type === "number" ? Number(input.value) : name === "text" ? unescaped(input.value) : input.value;
  }
  if (row.limit) return members;
  if (percent.value !== "100") members.probability = Number(percent.value) / 100;
  return { remove: [row.fault], add: [{ fault: row.fault, ...members }] };
}

async function order(row) {
  if (Object.values(row.inputs).some((input) => !input.reportValidity())) return;
  row.pending += 1;
  await act("PATCH", "faults", orderOf(row), `${row.title} is on`);
  row.pending -= 1;
}

function end(row) {
  const change = row.limit ? { max_body_bytes: null } : { remove: [row.fault] };
  return act("PATCH", "faults", change, `${row.title} is off`);
}

at("faults").append(...FAULTS.map(buildFault));
at("faults-off").addEventListener("click", () => act("PUT", "faults", {}, "All faults are off"));

function showFaults({ max_body_bytes: limit, faults, struck }) {
  let on = 0;
  for (const row of rows.values()) {
    const ordered = faults.filter(({ fault }) => fault === row.fault);
    const limits = limit === null ? [] : [{ max_body_bytes: limit }];
    const orders = row.limit ? limits : ordered;
    const strikes = struck.reduce((sum, count, place) => sum + (ordered.includes(faults[place]) ? count : 0), 0);
    on += orders.length;
    row.toggle.checked = orders.length > 0;
    row.struck.textContent = strikes ? `struck ${many(strikes, "time")}` : "";
    const simple = orders.length === 1 && Object.keys(orders[0]).every((name) =>
      name === "fault" || name === "probability" || (name in row.inputs && typeof orders[0][name] !== "object"));
    row.options.hidden = !simple;
    row.asOrdered.hidden = simple || orders.length === 0;
    // What was typed is not written over by a frame from before it was ordered.
    if (simple && row.pending === 0) showOptions(row, orders[0]);
    if (!simple) row.asOrdered.textContent = orders.map((one) => JSON.stringify(one)).join("\n");
  }
  at("faults-note").textContent = on ? `${number(on)} on` : "none";
  at("faults-off").hidden = on === 0;
}

function showOptions(row, order_) {
  for (const [name, input] of Object.entries(row.inputs)) {
    if (input === document.activeElement) continue;
    const said = name === "percent" ? (order_.probability ?? 1) * 100 : order_[name];
    if (said !== undefined) input.value = name === "text" ? escaped(said) : said;
  }
}

// Counters

function showCounts(ledger) {
  const put = (id, value) => {
    at(id).textContent = number(value);
    at(id).parentElement.classList.toggle("some", value > 0);
  };
  put("count-requests", ledger.requests);
  put("count-accepted", ledger.accepted_requests);
  put("count-refused", ledger.refused);
  put("count-spoiled", ledger.faults);
  put("count-events", ledger.accepted_events);
  const open = ledger.by_outcome.open ?? 0;
  const connections = ledger.requests ? `on ${many(ledger.connections, "connection")}` : "none yet";
  at("note-requests").textContent = open ? `${number(open)} not answered yet` : connections;
  const by = (counts, usual) => Object.entries(counts).map(([name, count]) => `${name} × ${number(count)}`).join(", ") || usual;
  at("note-refused").textContent = by(ledger.by_code, "requests");
  at("note-spoiled").textContent = by(ledger.by_fault, "by a fault");
  const repeated = ledger.accepted_events - ledger.distinct_events;
  const once = ledger.accepted_events ? "each once" : "none yet";
  at("note-events").textContent = repeated ? `${number(repeated)} of them repeated` : once;
}

// The feed

const OUTCOMES = {
  accepted: ["good", "Accepted", () => ""],
  refused: ["bad", "Refused", () => ""],
  faulted: ["odd", "Spoiled", () => "The API did not see it; no event was accepted."],
  accepted_untold: ["odd", "Accepted, untold", () => "Its events are in, but the caller does not know."],
  refused_untold: ["odd", "Refused, untold", () => "The caller was not told so."],
  incomplete: ["odd", "Incomplete", () => "Its body did not come whole."],
  not_found: ["odd", "Not found", ({ reason }) => `${reason ?? ""} is not of the API.`],
};

function explain(request) {
  const { outcome, status, code, fault, reason, refused_event: culprit, shown, events, attempt, delay_ms: delay } = request;
  const parts = [];
  if (fault) parts.push(fault);
  if (status) parts.push(status);
  if (code) parts.push(code);
  const sentences = [];
  if (outcome !== "not_found" && reason) sentences.push(reason);
  if (typeof culprit === "number") {
    const user = shown.find((event) => event.at === culprit)?.user;
    sentences.push(events === 1 ? `(${user})` : `(event ${culprit + 1}: ${user})`);
  }
  sentences.push(OUTCOMES[outcome][2](request));
  if (attempt > 1 && request.bytes) sentences.push(`The same bytes for the ${ordinal(attempt)} time.`);
  if (delay) sentences.push(`Held up ${number(delay)} ms.`);
  return [...parts, ...sentences].filter((text) => text !== "").join(" ");
}

const ordinal = (count) => ({ 2: "second", 3: "third" })[count] ?? `${number(count)}th`;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

function showRequest(request) {
  const [kind, what] = OUTCOMES[request.outcome];
  const head = make("p", {},
    make("span", { className: "what", textContent: what }),
    make("span", { className: "why", textContent: explain(request) }),
    make("span", { className: "when", textContent: `${many(request.events, "event")} · #${request.request} · ${clock.format(request.time_ms)}` }));
  const item = make("li", { className: `request ${kind}` }, head);
  // The refused one first; of a long request two others are enough to know it by.
  const culprit = request.refused_event;
  const others = request.shown.filter((event) => event.at !== culprit);
  const room = request.events <= 5 ? 5 : 2;
  const lines = [...request.shown.filter((event) => event.at === culprit), ...others.slice(0, room)];
  if (lines.length) {
    const list = make("ul", { className: "events" }, ...lines.map((event) => showEvent(event, event.at === culprit)));
    const more = request.events - lines.length;
    if (more > 0) list.append(make("li", { className: "more", textContent: `and ${number(more)} more` }));
    item.append(list);
  }
  return item;
}

function showEvent({ user, kind, value, received_at: time }, isCulprit) {
  const text = (className, textContent) => make("span", { className, textContent });
  const item = make("li", { className: isCulprit ? "event culprit" : "event" },
    text("user", user), text("kind", kind), text("value", value), text("time", time));
  if (user && !user.endsWith("…")) {
    const button = make("button", { type: "button" });
    button.dataset.user = user;
    button.addEventListener("click", () => (unknown.has(user) ? makeKnown(user, user) : makeUnknown(user)));
    nameUserButton(button);
    item.append(button);
  }
  return item;
}

function nameUserButton(button) {
  const { user } = button.dataset;
  const next = unknown.has(user) ? "known" : "unknown";
  button.textContent = `Make ${next}`;
  button.ariaLabel = `Make ${user} ${next}`;
}

const showSkipped = (count) =>
  make("li", { className: "skipped", textContent: `${many(count, "request")} skipped: they came faster than this page shows` });

/** Newest first, and no more than `ROWS`; what is cut off says so. */
const feed = {
  paused: false,
  held: [],
  skipped: 0,

  take(requests, skipped) {
    this.skipped += skipped;
    this.held.push(...requests);
    // One row is for what was skipped.
    const over = this.held.length - (ROWS - 1);
    if (over > 0) {
      this.held.splice(0, over);
      this.skipped += over;
    }
    if (!this.paused) this.show();
    const waiting = this.held.length + this.skipped;
    at("held").textContent = this.paused ? `${number(waiting)} new` : "";
  },

  show() {
    const news = this.held.map(showRequest).reverse();
    if (this.skipped) news.push(showSkipped(this.skipped));
    at("feed").prepend(...news);
    while (at("feed").childElementCount > ROWS) at("feed").lastElementChild.remove();
    this.held = [];
    this.skipped = 0;
  },

  clear() {
    this.held = [];
    this.skipped = 0;
    at("feed").replaceChildren();
  },
};

at("pause").addEventListener("click", () => {
  feed.paused = !feed.paused;
  at("pause").ariaPressed = String(feed.paused);
  feed.take([], 0);
});

// Said aloud now and then, because a screen reader cannot follow a hundred requests a second.
const aloud = { requests: 0, refused: 0, timer: null };
function sayAloud(requests, skipped) {
  aloud.requests += requests.length + skipped;
  aloud.refused += requests.filter(({ outcome }) => outcome !== "accepted").length;
  if (aloud.requests === 0) return;
  aloud.timer ??= setTimeout(() => {
    at("said").textContent = `${many(aloud.requests, "request")} more, ${number(aloud.refused)} of them not accepted`;
    Object.assign(aloud, { requests: 0, refused: 0, timer: null });
  }, 5000);
}

// The connection

let run;
let clearings;
let everSent = false;

function showStart(requests) {
  at("start-empty").hidden = requests > 0;
  if (requests > 0 && !everSent) at("start").open = false;
  everSent ||= requests > 0;
}

function show(frame) {
  const restarted = run !== undefined && run !== frame.run;
  const cleared = run !== frame.run || clearings !== frame.clearings;
  ({ run, clearings } = frame);
  if (cleared) feed.clear();
  if (restarted) at("said").textContent = "The sandbox has been started again; its ledger is new";
  showCounts(frame.ledger);
  if (frame.rules) showRules(frame.rules);
  showFaults(frame.faults);
  const skipped = cleared ? 0 : frame.skipped;
  feed.take(frame.requests, skipped);
  sayAloud(frame.requests, skipped);
  showStart(frame.ledger.requests);
}

function showConnection(state, text) {
  if (at("connection").dataset.state === state) return;
  at("connection").dataset.state = state;
  at("connection").textContent = text;
  at("controls").disabled = state !== "live";
}

function connect() {
  const source = new EventSource("/sandbox/live");
  source.onmessage = ({ data }) => {
    showConnection("live", "Live");
    show(JSON.parse(data));
  };
  source.onerror = () => {
    showConnection("lost", `No sandbox at ${location.host}; trying again every second`);
    // A browser gives up where the answer was no stream; the next one may be.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}

// How to begin

const endpoint = `${location.origin}${EVENTS_PATH}`;
const today = new Date().toISOString().slice(0, 19).replace("T", " ");
const example = { token: "user-token-1", partner_user_id: "user-1", event: "video", event_value: null, received_at: today };
at("endpoint").textContent = endpoint;
at("variable-endpoint").textContent = endpoint;
at("line-environment").textContent = `eval "$(curl -s ${location.origin}/sandbox/environment)"`;
at("line-curl").textContent = `curl -i "$MEDITOPIA_ENDPOINT" \\
  -H "Authorization: Bearer $MEDITOPIA_BEARER_TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '${JSON.stringify({ events: [example] })}'`;
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(at(button.dataset.copies).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// A phone shows the requests first; each panel opens by a touch.
if (matchMedia("(max-width: 56rem)").matches) {
  for (const panel of document.querySelectorAll(".panel")) panel.open = false;
}
connect();
