//! What commands show: plain data in, text with colours or JSON out.
//!
//! Text always carries its colours; the stream it is written to drops them where they do not
//! belong. Whatever came from a store is shown with its control characters escaped.

mod explain;
mod info;
mod quantity;
mod tree;
mod verify;

pub use explain::explanation;
pub use info::{ArrayInfo, GroupInfo, Storage};
pub use quantity::{bytes, count, shape, some, traffic};
pub use tree::{Content, Node};
pub use verify::{Finding, Report};

use owo_colors::OwoColorize as _;

/// Rows of a label and what it says, aligned; what it says may be several lines.
fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in rows {
        // Padding comes before colouring, which would count as characters.
        text.push_str(&format!("{label:<width$}").dimmed().to_string());
        text.push_str("  ");
        text.push_str(&value.replace('\n', &format!("\n{}", " ".repeat(width + 2))));
        text.push('\n');
    }
    text
}

/// `text` without anything that a terminal would obey.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            visible.extend(character.escape_default());
        } else {
            visible.push(character);
        }
    }
    visible
}
