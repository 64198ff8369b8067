//! The sandbox's page in a real browser: it shows what arrived, and its controls change the
//! sandbox.

mod controls;
mod feed;
mod layout;
mod load;
mod serving;

use meditopia_testkit::browser::Browser;
use meditopia_testkit::sandbox::Sandbox;

/// Whether the page has received its first frame.
const LIVE: &str = "document.querySelector('#connection')?.dataset.state === 'live'";

/// The page of a sandbox in a browser, once the page has received its first frame.
fn page_of(api: &Sandbox) -> Browser {
    let browser = Browser::open(&page_url(api));
    browser.wait_until(LIVE);
    browser
}

fn page_url(api: &Sandbox) -> String {
    format!("http://{}/", api.address())
}
