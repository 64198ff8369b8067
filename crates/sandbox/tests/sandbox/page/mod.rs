//! The sandbox's page in a real browser: what it shows is what came, and what is clicked is done.

mod acts;
mod load;
mod looks;
mod serving;
mod shows;

use meditopia_testkit::browser::Browser;
use meditopia_testkit::sandbox::Sandbox;

/// Whether the page has been told how things are.
const LIVE: &str = "document.querySelector('#connection')?.dataset.state === 'live'";

/// The page of a sandbox in a browser, once it has been told how things are.
fn page_of(api: &Sandbox) -> Browser {
    let browser = Browser::open(&page_url(api));
    browser.wait_until(LIVE);
    browser
}

fn page_url(api: &Sandbox) -> String {
    format!("http://{}/", api.address())
}
