//! A headless Chromium, steered through chromedriver over plain HTTP (the WebDriver protocol).
//!
//! One at a time in a test program: a browser takes what a small machine has. It ends with its
//! fixture, and by the kernel if the test itself is killed. Nothing is waited for by time: `until` asks again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How WebDriver names a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The private code points that stand for keys.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const SPACE: &str = " ";
}

static TURN: Mutex<()> = Mutex::new(());

/// A browser with one page open.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one and opens `url`.
    pub fn open(url: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "chromedriver", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv and chromedriver are installed: make setup");
        let output = BufReader::new(driver.stdout.take().unwrap());
        let port: u16 = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says where it listens");
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .proxy(None)
                .timeout_recv_response(Some(2 * PATIENCE))
                .build()
                .into(),
            _profile: profile,
            _turn: turn,
        };
        browser.begin();
        browser.ask("/url", &json!({ "url": url }));
        browser
    }

    fn begin(&mut self) {
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", self._profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let begun = self.ask("", &wanted);
        let id = begun["sessionId"].as_str().expect("a session");
        self.session = format!("{}/{id}", self.session);
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        self.try_ask(path, body)
            .unwrap_or_else(|cause| panic!("POST {path} {body}: {cause}"))
    }

    fn try_ask(&self, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self
            .agent
            .post(format!("{}{path}", self.session))
            .header("content-type", "application/json")
            .send(body.to_string());
        let mut answer = answer.map_err(|cause| cause.to_string())?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|cause| cause.to_string())?;
        let mut told: Value = serde_json::from_str(&text).map_err(|cause| cause.to_string())?;
        if answer.status() == 200 {
            Ok(told["value"].take())
        } else {
            Err(told["value"]["message"].to_string())
        }
    }

    /// The value of a JavaScript expression.
    pub fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.ask("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    pub fn until(&self, expression: &str) {
        let begun = Instant::now();
        while self.value(&format!("Boolean({expression})")) != json!(true) {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited {PATIENCE:?} until {expression}\n{}",
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the first element that fits shows this text somewhere.
    pub fn until_shown(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "document.querySelector({selector})?.innerText.includes({text})"
        ));
    }

    /// The text of the first element that fits, as it is rendered.
    pub fn text(&self, selector: &str) -> String {
        let text = self.value(&format!(
            "document.querySelector({}).innerText",
            json!(selector)
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.ask(
            "/element",
            &json!({ "using": "css selector", "value": selector }),
        );
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// A click as of a mouse: where the element is hidden or covered it fails.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.ask(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into the element, in the place of what is there.
    pub fn fill(&self, selector: &str, text: &str) {
        let field = format!("document.querySelector({})", json!(selector));
        self.value(&format!("({field}.focus(), {field}.select())"));
        self.press(text);
    }

    /// Types keys one by one to whatever has the focus.
    pub fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                let value = key.to_string();
                [
                    json!({ "type": "keyDown", "value": value }),
                    json!({ "type": "keyUp", "value": value }),
                ]
            })
            .collect();
        self.ask(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }),
        );
    }

    /// Presses the tabulator until the element has the focus, as somebody without a mouse does; every stop on the
    /// way has to be visible and to show that it has the focus.
    pub fn walk_to(&self, selector: &str) {
        let here = format!("document.activeElement.matches({})", json!(selector));
        let mut stops = Vec::new();
        while self.value(&here) != json!(true) {
            self.press(key::TAB);
            let stop = self.value(
                "(({ tagName, id, innerText }, { outlineStyle, outlineWidth }, box) => \
                  ({ name: `${tagName}#${id} ${innerText}`, seen: outlineStyle !== 'none' && parseFloat(outlineWidth) > 1 && box.width > 1 }))\
                  (document.activeElement, getComputedStyle(document.activeElement), document.activeElement.getBoundingClientRect())",
            );
            let name = stop["name"].as_str().unwrap_or_default().to_owned();
            // Between the last element and the first the focus is with the browser's own frame.
            if !name.starts_with("BODY") {
                assert_eq!(stop["seen"], json!(true), "{name} hides its focus");
            }
            stops.push(name);
            assert!(stops.len() < 300, "{selector} is on no way: {stops:#?}");
        }
    }

    /// Speaks Chromium's own protocol, for what WebDriver has no words for.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// A window of so many CSS pixels, as on a phone or on a desk.
    pub fn resize(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.ask("/refresh", &json!({}));
    }

    /// `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// What the page and the browser have complained about since it was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.ask("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// What the window shows, as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", json!({ "format": "png" }));
        let text = shot["data"].as_str().expect("a picture");
        BASE64_STANDARD.decode(text).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with its session; it may have ended before.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
