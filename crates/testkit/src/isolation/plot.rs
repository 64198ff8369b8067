//! The curve as an SVG: requests per event against the rate of bad events, both on logarithmic scales.
//!
//! The SVG has no scripts and no fonts of its own, and follows the reader's preference for light or
//! dark. The lines differ not only in colour but in width and dashes. A tooltip on each point of this
//! library's line shows its figures.

use super::rows::{Point, percent};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 470.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 58.0;

const RATES: [f64; 2] = [0.0001, 1.0];
const REQUESTS: [f64; 2] = [0.008, 2.5];

const RATE_TICKS: [f64; 9] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.98];
const REQUEST_TICKS: [f64; 8] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

const STYLE: &str = "\
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .tick { font-size: 12px; fill: #59636e; }
  .card { fill: #ffffff; } .grid { stroke: #d1d9e0; stroke-width: 1; }
  .line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
  .this { stroke: #0b5fc4; stroke-width: 3; } .dot { fill: #0b5fc4; }
  .halving { stroke: #b4470d; stroke-width: 2; stroke-dasharray: 9 5; }
  .single { stroke: #7a3fa0; stroke-width: 2; stroke-dasharray: 2 5; }
  .floor { stroke: #59636e; stroke-width: 1.5; } .below { fill: #59636e; fill-opacity: 0.12; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .tick { fill: #b1bac4; }
    .card { fill: #0d1117; } .grid { stroke: #30363d; }
    .this { stroke: #58a6ff; } .dot { fill: #58a6ff; }
    .halving { stroke: #f0883e; } .single { stroke: #d2a8ff; }
    .floor { stroke: #9198a1; } .below { fill: #9198a1; fill-opacity: 0.16; }
  }
";

/// The whole plot.
pub fn svg(curve: &[Point]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-labelledby=\"title about\">\n\
         <title id=\"title\">Requests per event against the rate of bad events</title>\n\
         <desc id=\"about\">{}</desc>\n<style>\n{STYLE}</style>\n\
         <rect class=\"card\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\n",
        in_words(curve)
    );
    axes(&mut svg);

    let floor = path(curve, |point| point.floor);
    let (right, bottom) = (x(last_rate(curve)), HEIGHT - BOTTOM);
    line(
        &mut svg,
        &format!(
            "<path class=\"below\" d=\"{floor} L{right:.1},{bottom:.1} L{LEFT:.1},{bottom:.1} Z\"/>"
        ),
    );
    line(
        &mut svg,
        &format!("<path class=\"line floor\" d=\"{floor}\"/>"),
    );
    let single = path(curve, |_| 1.0);
    line(
        &mut svg,
        &format!("<path class=\"line single\" d=\"{single}\"/>"),
    );
    let halving = path(curve, |point| point.halving);
    line(
        &mut svg,
        &format!("<path class=\"line halving\" d=\"{halving}\"/>"),
    );
    let this = path(curve, |point| point.this);
    line(
        &mut svg,
        &format!("<path class=\"line this\" d=\"{this}\"/>"),
    );
    for point in curve {
        line(&mut svg, &dot(point));
    }
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// A point of this library's line, with its figures.
pub fn dot(point: &Point) -> String {
    let Point {
        rate,
        this,
        halving,
        floor,
    } = *point;
    format!(
        "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{} bad: {this:.4} requests per event; halving {halving:.4}, floor {floor:.4}</title></circle>",
        x(rate),
        y(this),
        percent(rate),
    )
}

fn axes(svg: &mut String) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    text(
        svg,
        "title",
        LEFT,
        30.0,
        "start",
        "Requests per event, by the share of bad events",
    );
    for rate in RATE_TICKS {
        let x = x(rate);
        line(
            svg,
            &format!("<path class=\"grid\" d=\"M{x:.1},{TOP} V{bottom}\"/>"),
        );
        text(svg, "tick", x, bottom + 20.0, "middle", &percent(rate));
    }
    for requests in REQUEST_TICKS {
        let y = y(requests);
        line(
            svg,
            &format!("<path class=\"grid\" d=\"M{LEFT},{y:.1} H{right}\"/>"),
        );
        text(
            svg,
            "tick",
            LEFT - 8.0,
            y + 4.0,
            "end",
            &requests.to_string(),
        );
    }
    text(
        svg,
        "",
        (LEFT + right) / 2.0,
        HEIGHT - 14.0,
        "middle",
        "bad events (logarithmic)",
    );
    let middle = (TOP + bottom) / 2.0;
    line(
        svg,
        &format!(
            "<text x=\"20\" y=\"{middle:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 20 {middle:.1})\">requests per event (logarithmic)</text>"
        ),
    );
}

/// The legend, in the corner that no line enters, in the order in which the lines end.
fn legend(svg: &mut String) {
    const ENTRIES: [(&str, &str); 4] = [
        ("halving", "halving a refused batch"),
        ("single", "one by one"),
        ("this", "this library"),
        ("floor", "entropy floor"),
    ];
    let (left, mut y) = (x(0.033), y(0.036));
    line(
        svg,
        &format!(
            "<rect class=\"card\" x=\"{:.1}\" y=\"{:.1}\" width=\"232\" height=\"98\" rx=\"6\"/>",
            left - 12.0,
            y - 16.0
        ),
    );
    for (class, label) in ENTRIES {
        line(
            svg,
            &format!("<path class=\"line {class}\" d=\"M{left:.1},{y:.1} h34\"/>"),
        );
        text(svg, "", left + 44.0, y + 4.5, "start", label);
        y += 22.0;
    }
}

/// A description of the picture, for readers who cannot see it.
fn in_words(curve: &[Point]) -> String {
    let mut words = String::from(
        "Requests per event of this library, of halving a refused batch, and the floor that nothing can beat; one by one is always 1.",
    );
    for point in curve
        .iter()
        .filter(|point| RATE_TICKS.contains(&point.rate))
    {
        let _ = write!(
            words,
            " {} bad: {:.3}, {:.3}, {:.3}.",
            percent(point.rate),
            point.this,
            point.halving,
            point.floor
        );
    }
    words
}

fn path(curve: &[Point], of: impl Fn(&Point) -> f64) -> String {
    let points: Vec<String> = curve
        .iter()
        .map(|point| format!("{:.1},{:.1}", x(point.rate), y(of(point))))
        .collect();
    format!("M{}", points.join(" L"))
}

fn last_rate(curve: &[Point]) -> f64 {
    curve.last().map_or(RATES[1], |point| point.rate)
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, words: &str) {
    let class = if class.is_empty() {
        String::new()
    } else {
        format!(" class=\"{class}\"")
    };
    line(
        svg,
        &format!("<text{class} x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"),
    );
}

fn line(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

fn x(rate: f64) -> f64 {
    LEFT + part(rate, RATES) * (WIDTH - LEFT - RIGHT)
}

fn y(requests: f64) -> f64 {
    HEIGHT - BOTTOM - part(requests, REQUESTS) * (HEIGHT - TOP - BOTTOM)
}

/// The place of a value between two others on a logarithmic scale: 0 to 1.
fn part(value: f64, [least, most]: [f64; 2]) -> f64 {
    (value / least).ln() / (most / least).ln()
}
