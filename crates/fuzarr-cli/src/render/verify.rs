//! `fuzarr verify`.

use super::quantity::{bytes, count, some, traffic};
use super::visible;
use fuzarr::store::Traffic;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

/// What was read, and what of it is damaged.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Arrays looked at.
    pub arrays: u128,
    /// Stored objects read.
    pub objects: u128,
    /// Bytes of the objects.
    pub bytes: u128,
    /// What was asked, of a store behind a network.
    pub traffic: Option<Traffic>,
    /// The damage, in the order it was found in.
    pub damaged: Vec<Finding>,
    /// What could not be checked.
    pub unchecked: Vec<Finding>,
}

/// What is wrong with one object, or with one chunk in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object's key in the store.
    pub key: String,
    /// The position of the inner chunk, if it is about one.
    pub inner_chunk: Option<String>,
    /// The codec that found it, if one did.
    pub codec: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    fn text(&self) -> String {
        let mut text = format!("{}: {}", visible(&self.key), visible(&self.message));
        let inner_chunk = self.inner_chunk.iter().map(|at| format!("inner chunk {}", visible(at)));
        let codec = self.codec.iter().map(|name| format!("codec {}", visible(name)));
        let place: Vec<String> = inner_chunk.chain(codec).collect();
        if !place.is_empty() {
            text.push_str(&format!(" ({})", place.join(", ")));
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "key": self.key,
            "inner_chunk": self.inner_chunk,
            "codec": self.codec,
            "message": self.message,
        })
    }
}

impl Report {
    /// A line for each damage, and a sum.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.damaged {
            text.push_str(&format!("{}  {}\n", "damaged".red(), finding.text()));
        }
        for finding in &self.unchecked {
            text.push_str(&format!("{}  {}\n", "unchecked".yellow(), finding.text()));
        }
        let mut read = format!(
            "{}, {}, {}",
            some(self.arrays, "array"),
            some(self.objects, "object"),
            bytes(self.bytes)
        );
        if let Some(asked) = &self.traffic {
            read.push_str(&format!(", {}", traffic(asked)));
        }
        let number = |findings: &[Finding]| count(findings.len() as u128);
        let verdict = match (self.damaged.is_empty(), self.unchecked.is_empty()) {
            (true, true) => "fine".green().to_string(),
            (true, false) => format!("{} unchecked", number(&self.unchecked)).yellow().to_string(),
            (false, _) => format!("{} damaged", number(&self.damaged)).red().to_string(),
        };
        text.push_str(&format!("{read}: {verdict}\n"));
        text
    }

    /// The same.
    #[must_use]
    pub fn json(&self) -> Value {
        let number = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        let list = |findings: &[Finding]| findings.iter().map(Finding::json).collect::<Vec<_>>();
        json!({
            "arrays": number(self.arrays),
            "objects": number(self.objects),
            "bytes": number(self.bytes),
            "requests": self.traffic.map(|traffic| traffic.requests),
            "retries": self.traffic.map(|traffic| traffic.retries),
            "damaged": list(&self.damaged),
            "unchecked": list(&self.unchecked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_listed_before_the_sum() {
        let damage = Finding {
            key: "a/c/0".into(),
            inner_chunk: Some("[1, 2]".into()),
            codec: Some("crc32c".into()),
            message: "checksum mismatch\u{1b}".into(),
        };
        let unchecked = Finding {
            key: "b/zarr.json".into(),
            inner_chunk: None,
            codec: None,
            message: "not supported".into(),
        };
        let plain = |report: &Report| anstream::adapter::strip_str(&report.text()).to_string();
        let mut report = Report { arrays: 1, objects: 12, bytes: 2048, ..Report::default() };
        assert_eq!(plain(&report), "1 array, 12 objects, 2.0 KiB: fine\n");
        assert_eq!(report.json()["requests"], Value::Null);
        report.traffic = Some(Traffic { requests: 1300, retries: 2, ..Traffic::default() });
        let expected = "1 array, 12 objects, 2.0 KiB, 1,300 requests, 2 retried: fine\n";
        assert_eq!(plain(&report), expected);
        assert_eq!(
            (&report.json()["requests"], &report.json()["retries"]),
            (&json!(1300), &json!(2))
        );
        report.traffic = None;
        report.unchecked.push(unchecked);
        let expected = "\
unchecked  b/zarr.json: not supported
1 array, 12 objects, 2.0 KiB: 1 unchecked
";
        assert_eq!(plain(&report), expected);
        report.damaged.push(damage);
        let expected = "\
damaged  a/c/0: checksum mismatch\\u{1b} (inner chunk [1, 2], codec crc32c)
unchecked  b/zarr.json: not supported
1 array, 12 objects, 2.0 KiB: 1 damaged
";
        assert_eq!(plain(&report), expected);
        assert_eq!(report.json()["damaged"][0]["key"], "a/c/0");
        assert_eq!(report.json()["unchecked"][0]["codec"], Value::Null);
    }
}
