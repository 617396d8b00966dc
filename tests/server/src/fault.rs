//! What may become of a request.

use serde_json::Value;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and nothing is done.
    Status(u16),
    /// It is answered with this status and an error document of this code, and nothing is done.
    Told(u16, &'static str),
    /// What it asks for is done, and it is answered with this status.
    Done(u16),
    /// It is answered with this status and a body that does not come to its end.
    Endless(u16),
    /// The body of the answer comes by the byte, with so many milliseconds before each.
    Slow(u64),
    /// The connection is closed, and nothing is done.
    Refused,
    /// What it asks for is done, and the connection is closed without an answer.
    Lost,
    /// The answer ends after so many bytes of its body.
    Truncated(usize),
    /// The answer says that all is well, and holds an error document.
    ErrorDocument,
    /// What it asks for is done, and no answer comes for so many milliseconds.
    Stalled(u64),
    /// It is answered by a server that names no versions: without an ETag.
    Untagged,
    /// It is answered by a server that knows no ranges: with all of the object.
    Rangeless,
    /// It is answered by a server of WebDAV: nothing is put into a folder that nobody has made.
    Foldered,
}

/// Which requests a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The method, or any.
    pub method: Option<String>,
    /// What the path, with its query, contains.
    pub path: String,
    /// How many requests it strikes before it is over; `None` for all.
    pub times: Option<u64>,
    /// Of how many requests that fit it strikes one, drawn by chance; 1 for each.
    pub one_in: u64,
    /// What becomes of them.
    pub fault: Fault,
}

impl Rule {
    /// A rule for requests of `method` whose path contains `path`: the first of them is struck.
    #[must_use]
    pub fn once(method: &str, path: &str, fault: Fault) -> Self {
        let (method, path) = (Some(method.to_owned()), path.to_owned());
        Self { method, path, times: Some(1), one_in: 1, fault }
    }

    /// As [`once`](Self::once), for all of them.
    #[must_use]
    pub fn always(method: &str, path: &str, fault: Fault) -> Self {
        Self { times: None, ..Self::once(method, path, fault) }
    }

    /// A rule from JSON: `{"method": "PUT", "path": "c/", "times": 3, "one_in": 5, "fault": "lost"}`, where a
    /// fault is a word, or a list of a word and a number. `None` if it is none.
    #[must_use]
    pub fn from_json(rule: &Value) -> Option<Self> {
        let (word, number) = match &rule["fault"] {
            Value::String(word) => (word.as_str(), 0),
            Value::Array(pair) => (pair.first()?.as_str()?, pair.get(1)?.as_u64()?),
            _ => return None,
        };
        let fault = match word {
            "status" => Fault::Status(u16::try_from(number).ok()?),
            "done" => Fault::Done(u16::try_from(number).ok()?),
            "endless" => Fault::Endless(u16::try_from(number).ok()?),
            "slow" => Fault::Slow(number),
            "refused" => Fault::Refused,
            "lost" => Fault::Lost,
            "truncated" => Fault::Truncated(usize::try_from(number).ok()?),
            "error document" => Fault::ErrorDocument,
            "stalled" => Fault::Stalled(number),
            "untagged" => Fault::Untagged,
            "rangeless" => Fault::Rangeless,
            "foldered" => Fault::Foldered,
            _ => return None,
        };
        Some(Self {
            method: rule["method"].as_str().map(str::to_owned),
            path: rule["path"].as_str().unwrap_or_default().to_owned(),
            times: rule["times"].as_u64(),
            one_in: rule["one_in"].as_u64().unwrap_or(1).max(1),
            fault,
        })
    }
}
