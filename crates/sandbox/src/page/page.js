// The sandbox's page: it shows what `/sandbox/live` sends, and its switches call the control API.
//
// What it shows may come from an attacker, so that `make` puts it into the document as text only. It
// keeps a fixed number of rows, and at most as many more while the feed is paused.

const ROWS = 200;
const EVENTS_PATH = "/default/v1/events";
const ADDRESS = "127.0.0.1";

const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
// A text from right to left must not turn around the words beside it.
const isolated = (text) => (/[^\x20-\x7e]/.test(text) ? `\u2068${text}\u2069` : text);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Requests to the control API

// They are sent one after another: if two changes follow each other quickly, the later one must win.
let lastChange = Promise.resolve();
function apply(...request) {
  lastChange = lastChange.then(() => send(...request));
  return lastChange;
}

/** Sends a document to the control API. If the API accepts it, a screen reader reads `announcement`. */
async function send(method, what, document_, announcement) {
  byId("failure").hidden = true;
  try {
    const body = document_ === undefined ? undefined : JSON.stringify(document_);
    const answer = await fetch(`/sandbox/${what}`, { method, body });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    byId("announcement").textContent = announcement;
    return true;
  } catch (error) {
    byId("failure").textContent = `${method} /sandbox/${what}: ${error.message}`;
    byId("failure").hidden = false;
    return false;
  }
}

const makeUnknown = (user) => apply("PATCH", "users", { unknown: [user] }, `${isolated(user)} is unknown now`);
const makeKnown = (entry, name) => apply("PATCH", "users", { known: [entry] }, `${isolated(name)} is known now`);

// Users and access

let unknown = new Set();

function showRules({ token_good: good, addresses, users }) {
  const named = (entry) => (typeof entry === "string" ? { user: entry } : entry);
  unknown = new Set(users.unknown.map((entry) => named(entry).user).filter(Boolean));
  const rows = users.unknown.toReversed().map((entry) => {
    const { user, prefix, status = 404, code = "A_1104" } = named(entry);
    const name = user ?? `${prefix}…`;
    return make("li", {},
      make("span", { className: "mono", dir: "auto", textContent: name }),
      make("span", { className: "note", textContent: `${status} ${code}` }),
      make("button", {
        type: "button", textContent: "Make known", ariaLabel: `Make ${name} known`,
        onclick: () => makeKnown(user ?? { prefix }, name).then(() => byId("user").focus()),
      }));
  });
  const more = users.count - users.unknown.length;
  if (more > 0) rows.push(make("li", {}, make("a", { href: "/sandbox/users", textContent: `and ${number(more)} more` })));
  byId("users").replaceChildren(...rows);
  byId("users-note").textContent = users.count ? `${number(users.count)} unknown` : "all known";

  const allowed = addresses.includes(ADDRESS);
  byId("token").checked = good;
  byId("token-note").textContent = good ? "good" : "revoked: requests are refused with A_1002";
  byId("address").checked = allowed;
  byId("address-note").textContent = allowed ? "allowed" : "not allowed: requests are refused with A_1004";
  const closed = [!good && "token revoked", !allowed && "address refused"].filter(Boolean);
  byId("access-note").textContent = closed.length === 2 ? "both refused" : closed.join();
  for (const button of document.querySelectorAll(".event button")) nameUserButton(button);
}

byId("user-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await makeUnknown(byId("user").value)) byId("user").value = "";
});
byId("token").addEventListener("change", ({ target }) =>
  apply("PUT", "token", { revoked: !target.checked }, target.checked ? "The token is good again" : "The token is revoked"));
byId("address").addEventListener("change", ({ target }) =>
  apply("PUT", "addresses", { allowed: target.checked ? [ADDRESS] : [] },
    target.checked ? "The address is allowed again" : "The address is not allowed"));
byId("clear").addEventListener("click", () => apply("DELETE", "ledger", undefined, "The ledger is cleared"));

// Faults

const WHEN = { when: ["before", "after"] };
const FAULTS = [
  { fault: "delay", title: "Delay", description: "answers late", fields: { ms: 2000, ...WHEN } },
  { fault: "status", title: "Status", description: "an error page, as a proxy sends it", fields: { status: 503, retry_after: "", ...WHEN } },
  { fault: "login_page", title: "Login page", description: "200 with HTML, as a hotel's network sends it", fields: WHEN },
  { fault: "redirect", title: "Redirect", description: "302 to another URL", fields: { to: "http://127.0.0.1:1/" } },
  { fault: "reset", title: "Reset", description: "a TCP reset instead of an answer", fields: WHEN },
  { fault: "close", title: "Close", description: "the end of the connection instead of an answer", fields: WHEN },
  { fault: "hang_up", title: "Hang up", description: "the connection ends before the request is read", fields: {} },
  { fault: "truncated", title: "Truncated", description: "half an answer, then the connection ends", fields: { status: 200, ...WHEN } },
  { fault: "success", title: "200 with a body", description: "success: true instead of 204", fields: {} },
  { fault: "raw", title: "Raw bytes", description: "bytes that are not HTTP", fields: { text: "SSH-2.0-OpenSSH_9.2\r\n" } },
  { fault: "max_body_bytes", title: "Body limit", description: "413 for a longer body", fields: { max_body_bytes: 20000 } },
];
const LABELS = {
  ms: "Milliseconds", status: "Status", retry_after: "Retry-After, s", to: "URL", text: "Bytes",
  when: "The API", max_body_bytes: "Limit in bytes", percent: "% of requests", count: "At most, times",
};
const WHEN_TEXT = { before: "never sees the request", after: "has handled the request" };
const rows = new Map();

function field(row, name, usual) {
  const props = { id: `${row.fault}-${name}`, onchange: () => order(row) };
  let input;
  if (Array.isArray(usual)) {
    input = make("select", props, ...usual.map((value) => make("option", { value, textContent: WHEN_TEXT[value] })));
  } else if (typeof usual === "number" || usual === null) {
    input = make("input", { ...props, type: "number", min: 0, required: name !== "count", value: usual ?? "" });
  } else {
    input = make("input", { ...props, spellcheck: false, autocomplete: "off", value: escaped(usual) });
  }
  row.inputs[name] = input;
  const wide = ["to", "text", "when"].includes(name);
  return make("label", { className: wide ? "wide" : "" }, LABELS[name], input);
}

// An input has only one line, so line breaks are written as escapes, as in JSON.
const escaped = (text) => JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
const unescaped = (text) => text.replaceAll("\\r", "\r").replaceAll("\\n", "\n");

function buildFault(spec) {
  const row = { ...spec, inputs: {}, usedUp: [], pending: 0, limit: spec.fault === "max_body_bytes" };
  row.toggle = make("input", { type: "checkbox", role: "switch", id: `fault-${row.fault}` });
  row.toggle.addEventListener("change", () => (row.toggle.checked ? switchOn(row) : switchOff(row)));
  row.struck = make("small");
  const label = make("label", { className: "switch" }, row.toggle,
    make("span", {}, row.title, make("small", { textContent: row.description }), row.struck));
  const fields = Object.entries(row.fields).map(([name, usual]) => field(row, name, usual));
  if (!row.limit) fields.push(field(row, "percent", 100), field(row, "count", null));
  row.options = make("div", { className: "options", role: "group", ariaLabel: `${row.title}: options`, hidden: true }, ...fields);
  row.asOrdered = make("ul", { className: "as-ordered mono", ariaLabel: `${row.title}: as ordered`, hidden: true });
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
  await apply("PATCH", "faults", orderOf(row), `${row.title} is on`);
  row.pending -= 1;
}

/** Orders a fault that is used up once more, as it was ordered, and any other with the values of its inputs. */
function switchOn(row) {
  if (row.usedUp.length === 0) return order(row);
  return apply("PATCH", "faults", { remove: [row.fault], add: row.usedUp }, `${row.title} is on`);
}

function switchOff(row) {
  const change = row.limit ? { max_body_bytes: null } : { remove: [row.fault] };
  return apply("PATCH", "faults", change, `${row.title} is off`);
}

byId("faults").append(...FAULTS.map(buildFault));
byId("faults-off").addEventListener("click", () => apply("PUT", "faults", {}, "All faults are off"));

const isUsedUp = ({ order, struck }) => typeof order.count === "number" && struck >= order.count;

function timesStruck({ order, struck }) {
  if (typeof order.count !== "number") return struck ? `struck ${counted(struck, "time")}` : "";
  const times = `struck ${number(struck)} of ${counted(order.count, "time")}`;
  return isUsedUp({ order, struck }) ? `used up: ${times}` : times;
}

/** The fault comes first in what is shown. */
const asText = ({ fault, ...members }) => JSON.stringify(fault ? { fault, ...members } : members);

function showFaults({ max_body_bytes: limit, faults, struck }) {
  const all = faults.map((order, index) => ({ order, struck: struck[index] }));
  let [on, usedUp] = [0, 0];
  for (const row of rows.values()) {
    const limits = limit === null ? [] : [{ order: { max_body_bytes: limit }, struck: 0 }];
    const ordered = row.limit ? limits : all.filter(({ order }) => order.fault === row.fault);
    const active = ordered.filter((one) => !isUsedUp(one));
    on += active.length;
    usedUp += ordered.length - active.length;
    row.usedUp = active.length ? [] : ordered.map(({ order }) => order);
    row.toggle.checked = active.length > 0;
    const [first] = ordered;
    const simple = ordered.length === 1 && Object.keys(first.order).every((name) =>
      name === "fault" || name === "probability" || (name in row.inputs && typeof first.order[name] !== "object"));
    // Of several orders, each says it for itself.
    row.struck.textContent = ordered.length === 1 ? timesStruck(first) : "";
    row.options.hidden = !simple;
    row.asOrdered.hidden = simple || ordered.length === 0;
    // A frame from before an order must not overwrite what the user has typed.
    if (simple && row.pending === 0) showOptions(row, first.order);
    if (!simple) showOrders(row, ordered);
  }
  const notes = [on && `${number(on)} on`, usedUp && `${number(usedUp)} used up`].filter(Boolean);
  byId("faults-note").textContent = notes.join(", ") || "none";
  byId("faults-off").hidden = notes.length === 0;
  byId("faults-off").textContent = on ? "Switch all off" : "Remove what is used up";
}

function showOrders(row, ordered) {
  const items = ordered.map((one) => make("li", { className: isUsedUp(one) ? "used-up" : "" }, asText(one.order),
    make("small", { textContent: ordered.length > 1 ? timesStruck(one) : "" })));
  row.asOrdered.replaceChildren(...items);
}

function showOptions(row, ordered) {
  for (const [name, input] of Object.entries(row.inputs)) {
    if (input === document.activeElement) continue;
    const value = name === "percent" ? (ordered.probability ?? 1) * 100 : name === "count" ? (ordered.count ?? "") : ordered[name];
    if (value !== undefined) input.value = name === "text" ? escaped(value) : value;
  }
}

// Counters

function showCounts(ledger) {
  const put = (id, value) => {
    byId(id).textContent = number(value);
    byId(id).parentElement.classList.toggle("some", value > 0);
  };
  put("count-requests", ledger.requests);
  put("count-accepted", ledger.accepted_requests);
  put("count-refused", ledger.refused);
  put("count-faulted", ledger.faults);
  put("count-events", ledger.accepted_events);
  const open = ledger.by_outcome.open ?? 0;
  const connections = ledger.requests ? `on ${counted(ledger.connections, "connection")}` : "none yet";
  byId("note-requests").textContent = open ? `${number(open)} not answered yet` : connections;
  const by = (counts, usual) => Object.entries(counts).map(([name, count]) => `${name} × ${number(count)}`).join(", ") || usual;
  byId("note-refused").textContent = by(ledger.by_code, "requests");
  byId("note-faulted").textContent = by(ledger.by_fault, "requests");
  showIdentical(ledger);
}

// An event has no id, so that nobody can tell whether one was sent twice or happened twice in a second. What can be
// known is whether a request has the same bytes as one that was accepted before.
function showIdentical({ accepted_events: events, distinct_events: distinct, events_in_repeated_bodies: again }) {
  const identical = events - distinct;
  const repeated = again ? `, ${number(again)} in repeated requests` : ", none in a repeated request";
  const different = events ? "all different" : "none yet";
  byId("note-events").textContent = identical ? `${number(identical)} identical to earlier ones${repeated}` : different;
  byId("identical").hidden = identical === 0;
}

// The feed

const OUTCOMES = {
  accepted: ["good", "Accepted", () => ""],
  refused: ["bad", "Refused", () => ""],
  faulted: ["odd", "Faulted", () => "The API did not see the request; no event was accepted."],
  accepted_untold: ["odd", "Accepted, answer lost", () => "The API accepted the events, but its answer was not sent."],
  refused_untold: ["odd", "Refused, answer lost", () => "The API refused the request, but its answer was not sent."],
  incomplete: ["odd", "Incomplete", () => "The body did not arrive completely."],
  not_found: ["odd", "Not found", ({ reason }) => `${reason ?? ""} is not a route of the API.`],
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
    sentences.push(events === 1 ? `(${isolated(user)})` : `(event ${culprit + 1}: ${isolated(user)})`);
  }
  sentences.push(OUTCOMES[outcome][2](request));
  if (attempt > 1 && request.bytes) sentences.push(`The same body for the ${ordinal(attempt)} time.`);
  if (delay) sentences.push(`Delayed by ${number(delay)} ms.`);
  const said = sentences.filter((text) => text !== "").join(" ");
  // The API's own words follow its code; a sentence of this page follows a colon.
  const colon = parts.length && said && !reason ? ":" : "";
  return [parts.join(" ") + colon, said].filter((text) => text !== "").join(" ");
}

const ordinal = (count) => ({ 2: "second", 3: "third" })[count] ?? `${number(count)}th`;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

function showRequest(request) {
  const [kind, what] = OUTCOMES[request.outcome];
  const head = make("p", {},
    make("span", { className: "what", textContent: what }),
    make("span", { className: "why", textContent: explain(request) }),
    make("span", { className: "when", textContent: `${counted(request.events, "event")} · #${request.request} · ${clock.format(request.time_ms)}` }));
  const item = make("li", { className: `request ${kind}` }, head);
  // The refused event comes first. Of a long request, two other events are enough to recognise it.
  const culprit = request.refused_event;
  const others = request.shown.filter((event) => event.at !== culprit);
  const othersShown = request.events <= 5 ? 5 : 2;
  const lines = [...request.shown.filter((event) => event.at === culprit), ...others.slice(0, othersShown)];
  if (lines.length) {
    const list = make("ul", { className: "events", id: `events-${request.request}` });
    list.append(...lines.map((event) => showEvent(event, event.at === culprit)));
    item.append(list);
    const isCut = lines.some((event) => Object.values(event).some((text) => String(text).endsWith("…")));
    if (request.events > lines.length || isCut) item.append(openButton(request, list, request.events - lines.length));
  }
  return item;
}

/** The button that shows all events of a request with their whole texts, and the first ones again. */
function openButton(request, list, more) {
  const what = `all ${counted(request.events, "event")} of request ${request.request}`;
  const button = make("button", { type: "button", className: "more" });
  button.setAttribute("aria-controls", list.id);
  const first = [...list.children];
  const showState = (isOpen) => {
    const name = more > 0 ? `and ${number(more)} more` : "and the whole text";
    button.textContent = isOpen ? "Show less" : name;
    button.ariaLabel = isOpen ? "Show less" : `${name}: show ${what}`;
    button.ariaExpanded = String(isOpen);
    list.classList.toggle("open", isOpen);
    // A list that scrolls has to be reached by keyboard.
    if (isOpen) Object.assign(list, { tabIndex: 0, ariaLabel: what });
    else list.removeAttribute("tabindex");
  };
  const close = () => {
    list.replaceChildren(...first);
    first.forEach((item) => item.querySelectorAll("button").forEach(nameUserButton));
    showState(false);
  };
  const open = async () => {
    const answer = await fetch(`/sandbox/requests/${request.request}`).catch(() => undefined);
    if (!answer?.ok) {
      const failure = answer ? (await answer.text()).trim() : "the sandbox does not answer";
      list.replaceChildren(...first, make("li", { className: "note", role: "alert", textContent: failure }));
      return;
    }
    const { count, events } = await answer.json();
    const rest = count - events.length;
    const items = events.map((event) => showEvent(event, event.at === request.refused_event));
    if (rest > 0) items.push(make("li", { className: "note", textContent: `${counted(rest, "more event")} not shown` }));
    list.replaceChildren(...items);
    showState(true);
    const culprit = list.querySelector(".culprit");
    if (culprit) list.scrollTop = culprit.offsetTop - list.clientHeight / 2;
  };
  button.addEventListener("click", () => (button.ariaExpanded === "true" ? close() : open()));
  showState(false);
  return button;
}

// Escape closes what is open around the focus. In a field it is the browser's.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.target.matches("input:not([type='checkbox']), select")) return;
  const opened = event.target.closest(".request")?.querySelector(".more[aria-expanded='true']");
  const details = event.target.closest("details[open]");
  if (opened) opened.click();
  else if (details) details.open = false;
  (opened ?? details?.querySelector("summary"))?.focus();
});

function showEvent({ user, kind, value, received_at: time }, isCulprit) {
  const text = (className, textContent) => make("span", { className, textContent, dir: "auto" });
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
  make("li", { className: "skipped", textContent: `${counted(count, "request")} skipped: they arrived faster than this page shows them` });

/** The rows, newest first, at most `ROWS`. One row says how many requests were skipped. */
const feed = {
  paused: false,
  held: [],
  skipped: 0,

  add(requests, skipped) {
    this.skipped += skipped;
    this.held.push(...requests);
    // One row is left for the number of skipped requests.
    const over = this.held.length - (ROWS - 1);
    if (over > 0) {
      this.held.splice(0, over);
      this.skipped += over;
    }
    if (!this.paused) this.show();
    const waiting = this.held.length + this.skipped;
    byId("held").textContent = this.paused ? `${number(waiting)} new` : "";
  },

  show() {
    const news = this.held.map(showRequest).reverse();
    if (this.skipped) news.push(showSkipped(this.skipped));
    byId("feed").prepend(...news);
    while (byId("feed").childElementCount > ROWS) byId("feed").lastElementChild.remove();
    this.held = [];
    this.skipped = 0;
  },

  clear() {
    this.held = [];
    this.skipped = 0;
    byId("feed").replaceChildren();
  },
};

byId("pause").addEventListener("click", () => {
  feed.paused = !feed.paused;
  byId("pause").ariaPressed = String(feed.paused);
  feed.add([], 0);
});

// A screen reader cannot follow a hundred requests per second, so it gets a summary now and then.
const unannounced = { requests: 0, refused: 0, timer: null };
function announceRequests(requests, skipped) {
  unannounced.requests += requests.length + skipped;
  unannounced.refused += requests.filter(({ outcome }) => outcome !== "accepted").length;
  if (unannounced.requests === 0) return;
  unannounced.timer ??= setTimeout(() => {
    byId("announcement").textContent = `${counted(unannounced.requests, "more request")}, ${number(unannounced.refused)} of them not accepted`;
    Object.assign(unannounced, { requests: 0, refused: 0, timer: null });
  }, 5000);
}

// The connection

let run;
let clearings;
let everSent = false;

function showStart(requests) {
  byId("start-empty").hidden = requests > 0 || everSent;
  byId("feed-empty").hidden = requests > 0 || !everSent;
  if (requests > 0 && !everSent) byId("start").open = false;
  everSent ||= requests > 0;
}

function show(frame) {
  const restarted = run !== undefined && run !== frame.run;
  const cleared = run !== frame.run || clearings !== frame.clearings;
  ({ run, clearings } = frame);
  if (cleared) feed.clear();
  if (restarted) byId("announcement").textContent = "The sandbox was restarted; its ledger is empty";
  showCounts(frame.ledger);
  if (frame.rules) showRules(frame.rules);
  showFaults(frame.faults);
  const skipped = cleared ? 0 : frame.skipped;
  feed.add(frame.requests, skipped);
  announceRequests(frame.requests, skipped);
  showStart(frame.ledger.requests);
}

function showConnection(state, text) {
  if (byId("connection").dataset.state === state) return;
  byId("connection").dataset.state = state;
  byId("connection").textContent = text;
  byId("controls").disabled = state !== "live";
}

function connect() {
  const source = new EventSource("/sandbox/live");
  source.onmessage = ({ data }) => {
    showConnection("live", "Live");
    show(JSON.parse(data));
  };
  source.onerror = () => {
    showConnection("lost", `No sandbox at ${location.host}; trying again every second`);
    // If the answer was not a stream, the browser gives up. The next answer may be one.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}

// How to send a first event

const endpoint = `${location.origin}${EVENTS_PATH}`;
const today = new Date().toISOString().slice(0, 19).replace("T", " ");
const example = { token: "user-token-1", partner_user_id: "user-1", event: "video", event_value: null, received_at: today };
byId("endpoint").textContent = endpoint;
byId("variable-endpoint").textContent = endpoint;
byId("line-environment").textContent = `eval "$(curl -s ${location.origin}/sandbox/environment)"`;
byId("line-curl").textContent = `curl -i "$MEDITOPIA_ENDPOINT" \\
  -H "Authorization: Bearer $MEDITOPIA_BEARER_TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '${JSON.stringify({ events: [example] })}'`;
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    const line = byId(button.dataset.copies);
    const copied = await navigator.clipboard?.writeText(line.textContent).then(() => true, () => false);
    // A browser that refuses leaves the text selected, one key away from being copied.
    if (!copied) getSelection().selectAllChildren(line);
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// On a phone the panels start closed, so that the requests are visible; a tap opens a panel.
if (matchMedia("(max-width: 56rem)").matches) {
  for (const panel of document.querySelectorAll(".panel")) panel.open = false;
}
connect();
