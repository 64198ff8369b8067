//! What `meditopia try` tells: what was queued, which requests went out, what became of each event, and what to type next.

use meditopia::{Error, Fields, Report};
use meditopia_sandbox::Handle;

use super::delivery::{Delivery, EVENTS, Exchange, Fate, STRANGER};
use super::language::{self, Language};
use crate::failure::{FAILED, Failure};
use crate::output::{Output, Tone, figures};

const QUEUED: &str = "2. Three events are queued: each is on the disk before its call returns";
const DELIVERED: &str = "3. They are delivered: the users of each request, and the API's answer";
const ISOLATED: &str =
    "   The API refuses a whole request for one bad event and does not say which one it is.
   So smaller requests follow until the bad event is alone; only then it is rejected.";
const SETTLED: &str = "4. What became of each event";

/// Where the reader can look while the sandbox goes on.
pub struct Stay<'a> {
    pub spool: &'a str,
    pub pid: u32,
}

/// Says that the sandbox listens.
pub fn tell_start(out: &mut Output, api: &Handle) -> Result<(), Failure> {
    heading(
        out,
        "1. A local Partners API listens; nothing leaves this host",
    )?;
    out.line(format!("   {}", api.endpoint()))?;
    out.line(format!("   It knows every user but \"{STRANGER}\"."))?;
    out.line("")
}

/// Says which events are queued.
pub fn tell_queued(out: &mut Output) -> Result<(), Failure> {
    heading(out, QUEUED)?;
    for event in &EVENTS {
        let value = event
            .event_value
            .map_or_else(String::new, |value| format!("\"{value}\""));
        let line = format!("   {}  {:<6}  {value}", name(event), event.event);
        out.line(line.trim_end())?;
    }
    out.line("")
}

/// Says which requests went out and what became of the events. Errors: another end than this program is made for.
pub fn tell_delivered(
    out: &mut Output,
    delivery: &Delivery<'_>,
    (report, outcome): &(Report, Result<(), Error>),
) -> Result<(), Failure> {
    heading(out, DELIVERED)?;
    let exchanges = delivery.exchanges();
    let widest = exchanges
        .iter()
        .map(|exchange| exchange.users().len())
        .max();
    for exchange in &exchanges {
        let users = format!(
            "{:<width$}",
            exchange.users(),
            width = widest.unwrap_or_default()
        );
        out.line(format!("   {users}  {}", painted(out, exchange)))?;
    }
    out.line(format!("{ISOLATED}\n"))?;
    heading(out, SETTLED)?;
    let fates = delivery.fates()?;
    for (event, fate) in EVENTS.iter().zip(&fates) {
        let fate = match fate {
            Fate::Delivered => out.paint(Tone::Good, "delivered"),
            Fate::Rejected(answer) => {
                let answer = format!("rejected: {answer}");
                format!("{} (kept with this reason)", out.paint(Tone::Bad, &answer))
            }
            Fate::Pending => out.paint(Tone::Warning, "still waits"),
        };
        out.line(format!("   {}  {fate}", name(event)))?;
    }
    let counts = format!(
        "{} delivered, {} rejected",
        report.delivered, report.rejected
    );
    out.line(format!("   {counts}; {}.\n", figures::left(report)))?;
    out.flush()?;
    match outcome {
        Err(error) => Err(Failure::new(FAILED, error.message())),
        Ok(()) if (report.delivered, report.rejected) != (2, 1) => {
            let message = format!(
                "2 events should be delivered and 1 rejected, but there are {counts}; please report this"
            );
            Err(Failure::new(FAILED, message))
        }
        Ok(()) => Ok(()),
    }
}

/// Says what to type next.
pub fn tell_next(
    out: &mut Output,
    language: Option<Language>,
    api: &Handle,
    stay: Option<&Stay<'_>>,
) -> Result<(), Failure> {
    if let Some(Stay { spool, pid }) = stay {
        heading(
            out,
            &format!("The API goes on until Ctrl-C here, or: kill {pid}"),
        )?;
        out.line(format!("   Its page            {}", api.page_url()))?;
        out.line(format!("   The three events    meditopia status {spool}"))?;
        out.line(format!(
            "                       meditopia find {spool} --user {STRANGER}\n"
        ))?;
    }
    match (language, stay) {
        (None, _) => tell_languages(out)?,
        (Some(language), stay) => {
            let place = match stay {
                Some(_) => " into a shell in another terminal",
                None => " into a shell",
            };
            heading(
                out,
                &format!(
                    "The same from {}: paste these lines{place}",
                    language.name()
                ),
            )?;
            out.line(format!("   {}.\n", language.needs()))?;
            out.line(match stay {
                Some(_) => language.lines_against(api),
                None => language.lines_with_a_sandbox(),
            })?;
        }
    }
    if stay.is_none() {
        out.line(
            "\nmeditopia try --serve lets the API go on, with a page that shows what arrives.",
        )?;
    }
    out.flush()
}

fn tell_languages(out: &mut Output) -> Result<(), Failure> {
    heading(
        out,
        "Next, from your program: meditopia try php, python, c, cpp or csv prints all of it",
    )?;
    for line in language::overview() {
        out.line(format!("   {line}"))?;
    }
    Ok(())
}

fn heading(out: &mut Output, text: &str) -> Result<(), Failure> {
    let text = out.paint(Tone::Label, text);
    out.line(text)
}

fn painted(out: &Output, exchange: &Exchange) -> String {
    let tone = match exchange.is_accepted() {
        true => Tone::Good,
        false => Tone::Bad,
    };
    out.paint(tone, &exchange.answer())
}

/// The user of an event, as wide as the longest of them.
fn name(event: &Fields<'_>) -> String {
    format!("{:<width$}", event.partner_user_id, width = STRANGER.len())
}
