//! `fuzarr explain`.

use super::quantity::{bytes, count};
use super::table;
use fuzarr::{Bounds, Explanation};
use serde_json::{Value, json};

/// What a read takes, to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    explanation: &'a Explanation,
    /// Whether the store was looked at.
    exact: bool,
}

/// Shows what a read takes. `exact`: whether the store was looked at.
#[must_use]
pub fn explanation(explanation: &Explanation, exact: bool) -> Explained<'_> {
    Explained { explanation, exact }
}

impl Explained<'_> {
    /// A line for each quantity.
    #[must_use]
    pub fn text(&self) -> String {
        let Explanation { elements, bytes: size, objects, missing, chunks, .. } = *self.explanation;
        let missing =
            if self.exact { format!(", {} missing", count(missing.into())) } else { String::new() };
        let rows = [
            ("Result", format!("{} elements, {}", count(elements.into()), bytes(size.into()))),
            ("Objects", format!("{}{missing}", count(objects.into()))),
            ("Chunks", count(chunks.into())),
            ("Requests", within(self.explanation.requests, count)),
            ("Fetched", within(self.explanation.fetched, bytes)),
            ("Used", within(self.explanation.used, bytes)),
            ("Decoded", format!("{} chunks", within(self.explanation.decoded, count))),
            ("Round trips", within(self.explanation.round_trips, count)),
        ];
        table(&rows)
    }

    /// The same; a number that is not known is an object of its bounds.
    #[must_use]
    pub fn json(&self) -> Value {
        let Explanation { elements, bytes, objects, missing, chunks, .. } = *self.explanation;
        let number = |bounds: Bounds| match bounds.exact() {
            Some(number) => json!(number),
            None => json!({"at_least": bounds.at_least, "at_most": bounds.at_most}),
        };
        json!({
            "elements": elements,
            "bytes": bytes,
            "objects": objects,
            "missing": self.exact.then_some(missing),
            "chunks": chunks,
            "requests": number(self.explanation.requests),
            "fetched": number(self.explanation.fetched),
            "used": number(self.explanation.used),
            "decoded": number(self.explanation.decoded),
            "round_trips": number(self.explanation.round_trips),
        })
    }
}

/// A quantity, or what it lies between.
fn within(bounds: Bounds, show: impl Fn(u128) -> String) -> String {
    match bounds.exact() {
        Some(quantity) => show(quantity.into()),
        None if bounds.at_least == 0 => format!("at most {}", show(bounds.at_most.into())),
        None => {
            let (least, most) = (show(bounds.at_least.into()), show(bounds.at_most.into()));
            format!("at least {least}, at most {most}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_shown_between_bounds() {
        let cost = Explanation {
            elements: 1000,
            bytes: 4000,
            objects: 3,
            missing: 1,
            chunks: 40,
            requests: Bounds { at_least: 2, at_most: 12 },
            fetched: Bounds::exactly(2048),
            decoded: Bounds { at_least: 0, at_most: 40 },
            ..Explanation::default()
        };
        let plain = |shown: Explained<'_>| anstream::adapter::strip_str(&shown.text()).to_string();
        let expected = "\
Result       1,000 elements, 3.9 KiB
Objects      3
Chunks       40
Requests     at least 2, at most 12
Fetched      2.0 KiB
Used         0 bytes
Decoded      at most 40 chunks
Round trips  0
";
        assert_eq!(plain(explanation(&cost, false)), expected);
        assert!(plain(explanation(&cost, true)).contains("3, 1 missing"));
        let json = explanation(&cost, true).json();
        assert_eq!(json["requests"], json!({"at_least": 2, "at_most": 12}));
        assert_eq!((&json["fetched"], &json["missing"]), (&json!(2048), &json!(1)));
        assert_eq!(explanation(&cost, false).json()["missing"], Value::Null);
    }
}
