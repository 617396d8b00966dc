//! `fuzarr explain`.

use super::quantity::{bytes, count};
use super::table;
use fuzarr::plan::Forecast;
use fuzarr::{Bounds, Explanation};
use serde_json::{Value, json};

/// What a read takes, to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    explanation: &'a Explanation,
    /// Whether the store was looked at.
    exact: bool,
    forecast: Option<Forecast>,
}

/// Shows what a read takes. `exact`: whether the store was looked at.
#[must_use]
pub fn explanation(
    explanation: &Explanation,
    exact: bool,
    forecast: Option<Forecast>,
) -> Explained<'_> {
    Explained { explanation, exact, forecast }
}

impl Explained<'_> {
    /// A line for each quantity.
    #[must_use]
    pub fn text(&self) -> String {
        let Explanation { elements, bytes: size, objects, missing, chunks, .. } = *self.explanation;
        let missing =
            if self.exact { format!(", {} missing", count(missing.into())) } else { String::new() };
        let mut rows = vec![
            ("Result", format!("{} elements, {}", count(elements.into()), bytes(size.into()))),
            ("Objects", format!("{}{missing}", count(objects.into()))),
            ("Chunks", count(chunks.into())),
            ("Requests", within(self.explanation.requests, count)),
            ("Fetched", within(self.explanation.fetched, bytes)),
            ("Used", within(self.explanation.used, bytes)),
            ("Decoded", format!("{} chunks", within(self.explanation.decoded, count))),
            ("Round trips", within(self.explanation.round_trips, count)),
        ];
        if let Some(Forecast { seconds, price }) = self.forecast {
            rows.push(("Time", format!("{} s", span(seconds))));
            rows.push(("Price", span(price)));
        }
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
        let mut shown = json!({
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
        });
        if let Some(Forecast { seconds, price }) = self.forecast {
            let real = |(least, most): (f64, f64)| {
                if least < most { json!({"at_least": least, "at_most": most}) } else { json!(most) }
            };
            shown["seconds"] = real(seconds);
            shown["price"] = real(price);
        }
        shown
    }
}

/// A number of three digits, or what it lies between.
fn span((least, most): (f64, f64)) -> String {
    let (low, high) = (digits(least), digits(most));
    if low == high { high } else { format!("{low} to {high}") }
}

/// Three digits of a number that is not negative.
fn digits(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let places = (2.0 - number.log10().floor()).clamp(0.0, 12.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
    let text = format!("{number:.*}", places as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
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
        assert_eq!(plain(explanation(&cost, false, None)), expected);
        assert!(plain(explanation(&cost, true, None)).contains("3, 1 missing"));
        let json = explanation(&cost, true, None).json();
        assert_eq!(json["requests"], json!({"at_least": 2, "at_most": 12}));
        assert_eq!((&json["fetched"], &json["missing"]), (&json!(2048), &json!(1)));
        assert_eq!(explanation(&cost, false, None).json()["missing"], Value::Null);
    }

    #[test]
    fn a_forecast_has_three_digits() {
        let forecast = Forecast { seconds: (0.05, 12.3456), price: (4e-7, 4e-7) };
        let shown = Explanation::default();
        let shown = explanation(&shown, true, Some(forecast));
        let text = anstream::adapter::strip_str(&shown.text()).to_string();
        assert!(text.contains("Time         0.05 to 12.3 s\nPrice        0.0000004\n"), "{text}");
        assert_eq!(shown.json()["seconds"], json!({"at_least": 0.05, "at_most": 12.3456}));
        assert_eq!(shown.json()["price"], json!(4e-7));
        for (number, text) in [(0.0, "0"), (1000.0, "1000"), (0.1, "0.1"), (99.96, "100")] {
            assert_eq!(digits(number), text);
        }
    }
}
