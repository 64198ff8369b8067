//! A headless Chromium, driven through chromedriver over plain HTTP (the WebDriver protocol).
//!
//! A test program runs one browser at a time, because a browser needs most of a small machine. The
//! browser ends when its value is dropped, or by the kernel if the test is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::wait::WAIT_LIMIT;

/// The name that WebDriver has for a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// WebDriver's code points for keys.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const SPACE: &str = " ";
}

/// Held while a browser runs.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser with one page open.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
    _only_browser: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts a browser and opens `url`.
    pub fn open(url: &str) -> Self {
        let only_browser = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
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
                .timeout_recv_response(Some(2 * WAIT_LIMIT))
                .build()
                .into(),
            _profile: profile,
            _only_browser: only_browser,
        };
        browser.start_session();
        browser.post("/url", &json!({ "url": url }));
        browser
    }

    fn start_session(&mut self) {
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
        let begun = self.post("", &wanted);
        let id = begun["sessionId"].as_str().expect("a session");
        self.session = format!("{}/{id}", self.session);
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body)
            .unwrap_or_else(|cause| panic!("POST {path} {body}: {cause}"))
    }

    fn try_post(&self, path: &str, body: &Value) -> Result<Value, String> {
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
        let mut answer_body: Value =
            serde_json::from_str(&text).map_err(|cause| cause.to_string())?;
        if answer.status() == 200 {
            Ok(answer_body["value"].take())
        } else {
            Err(answer_body["value"]["message"].to_string())
        }
    }

    /// The value of a JavaScript expression.
    pub fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    pub fn wait_until(&self, expression: &str) {
        let begun = Instant::now();
        while self.evaluate(&format!("Boolean({expression})")) != json!(true) {
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "waited {WAIT_LIMIT:?} until {expression}\n{}",
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the first element that matches shows this text somewhere.
    pub fn wait_for_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.wait_until(&format!(
            "document.querySelector({selector})?.innerText.includes({text})"
        ));
    }

    /// The text of the first element that matches, as it is rendered.
    pub fn text(&self, selector: &str) -> String {
        let text = self.evaluate(&format!(
            "document.querySelector({}).innerText",
            json!(selector)
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "/element",
            &json!({ "using": "css selector", "value": selector }),
        );
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Clicks as with a mouse: this fails if the element is hidden or covered.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Replaces the text of the element by typing.
    pub fn fill(&self, selector: &str, text: &str) {
        let field = format!("document.querySelector({})", json!(selector));
        self.evaluate(&format!("({field}.focus(), {field}.select())"));
        self.press(text);
    }

    /// Types keys one by one to the element that has the focus.
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
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }),
        );
    }

    /// Types one key while the shift key is held.
    fn press_with_shift(&self, key: &str) {
        const SHIFT: &str = "\u{e008}";
        let strokes = json!([
            { "type": "keyDown", "value": SHIFT },
            { "type": "keyDown", "value": key },
            { "type": "keyUp", "value": key },
            { "type": "keyUp", "value": SHIFT },
        ]);
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }),
        );
    }

    /// Presses the tab key until the element has the focus, as a user without a mouse does. Each
    /// element that gets the focus must be visible and show that it has the focus.
    pub fn tab_to(&self, selector: &str) {
        self.move_focus_to(selector, || self.press(key::TAB));
    }

    /// Like [`tab_to`](Self::tab_to), in the other direction.
    pub fn tab_to_backwards(&self, selector: &str) {
        self.move_focus_to(selector, || self.press_with_shift(key::TAB));
    }

    fn move_focus_to(&self, selector: &str, move_on: impl Fn()) {
        let here = format!("document.activeElement.matches({})", json!(selector));
        let mut stops = Vec::new();
        while self.evaluate(&here) != json!(true) {
            move_on();
            let stop = self.evaluate(
                "(({ tagName, id, innerText }, { outlineStyle, outlineWidth }, box) => \
                  ({ name: `${tagName}#${id} ${innerText}`, seen: outlineStyle !== 'none' && parseFloat(outlineWidth) > 1 && box.width > 1 }))\
                  (document.activeElement, getComputedStyle(document.activeElement), document.activeElement.getBoundingClientRect())",
            );
            let name = stop["name"].as_str().unwrap_or_default().to_owned();
            // Between the last element and the first, the browser's own frame has the focus.
            if !name.starts_with("BODY") {
                assert_eq!(stop["seen"], json!(true), "{name} hides its focus");
            }
            stops.push(name);
            assert!(
                stops.len() < 300,
                "{selector} never gets the focus: {stops:#?}"
            );
        }
    }

    /// Sends a command of Chromium's own protocol, for what WebDriver cannot do.
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// Sets the size of the window in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Sets the colour scheme that the user prefers: `light` or `dark`.
    pub fn prefer_color_scheme(&self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// The messages on the browser's console since the last call.
    pub fn console_messages(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// A picture of the window, as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", json!({ "format": "png" }));
        let text = shot["data"].as_str().expect("a picture");
        BASE64_STANDARD.decode(text).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of the session ends the browser. Both may have ended already.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
