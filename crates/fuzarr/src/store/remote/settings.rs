//! Settings of remote stores that are not the client's: how often something is tried again, headers,
//! whether the environment counts.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::attempt::Retries;
use super::location::RemoteOptions;
use crate::error::{Error, Result};

/// What precedes the name of a header that all requests bear.
const HEADER: &str = "header:";

/// The settings of a store: those that are known here, and the client's.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) retries: Retries,
    /// Whether what nothing is said of comes from the environment.
    pub(super) environment: bool,
    /// Whether nothing may be changed.
    pub(super) read_only: bool,
    /// What all requests bear.
    pub(super) headers: HeaderMap,
    /// The client's, by its names.
    pub(super) client: Vec<(String, String)>,
}

impl Settings {
    /// Sorts the settings of `options`.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that makes no sense.
    pub(super) fn of(options: &RemoteOptions) -> Result<Self> {
        let mut settings = Self {
            retries: options.retries,
            environment: true,
            read_only: false,
            headers: HeaderMap::new(),
            client: Vec::new(),
        };
        for (name, value) in &options.settings {
            let known = settings.take(&name.to_ascii_lowercase(), value);
            // The value may be a secret.
            known.ok_or_else(|| {
                Error::invalid_argument("this is not what the option may be").with("option", name)
            })?;
        }
        Ok(settings)
    }

    /// The settings with another name for one of the client's.
    pub(super) fn renamed(&self, from: &str, to: &str) -> Self {
        let mut renamed = self.clone();
        for (name, _) in &mut renamed.client {
            if name.as_str() == from {
                *name = to.to_owned();
            }
        }
        renamed
    }

    /// Takes one; `None` if its value makes no sense.
    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "environment" => self.environment = switch(value)?,
            "read_only" => self.read_only = switch(value)?,
            "max_retries" => {
                self.retries.most = value.trim().parse().ok()?;
                self.retries.most_unanswered = self.retries.most;
            }
            "retry_timeout" => self.retries.within = seconds(value)?,
            "first_pause" => self.retries.pause = seconds(value)?,
            "longest_pause" => self.retries.longest_pause = seconds(value)?,
            "anonymous" | "anon" => self.client.push(("skip_signature".into(), value.into())),
            "endpoint_url" => self.client.push(("endpoint".into(), value.into())),
            _ => match name.strip_prefix(HEADER) {
                Some(header) => {
                    let header = HeaderName::from_bytes(header.as_bytes()).ok()?;
                    let mut value = HeaderValue::from_str(value).ok()?;
                    value.set_sensitive(true);
                    self.headers.insert(header, value);
                }
                None => self.client.push((name.into(), value.into())),
            },
        }
        Some(())
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "on" => Some(true),
        "0" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A time that is written as a number of seconds.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn settings(settings: &[(&str, &str)]) -> Result<Settings> {
        let settings = settings.iter().map(|&(name, value)| (name.into(), value.into()));
        Settings::of(&RemoteOptions { settings: settings.collect(), ..Default::default() })
    }

    #[test]
    fn settings_are_sorted_into_ours_and_the_clients() {
        let found = settings(&[
            ("environment", "False"),
            ("read_only", "on"),
            ("max_retries", "7"),
            ("retry_timeout", "1.5"),
            ("first_pause", "0.25"),
            ("longest_pause", "3"),
            ("header:X-Token", "secret"),
            ("anon", "true"),
            ("Region", "eu-west-1"),
        ])
        .unwrap();
        let retries = Retries {
            most: 7,
            most_unanswered: 7,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(3),
            within: Duration::from_millis(1500),
        };
        assert_eq!(found.retries, retries);
        assert!(!found.environment && found.read_only);
        assert_eq!(found.headers["x-token"], "secret");
        assert!(!format!("{:?}", found.headers).contains("secret"));
        let client = [("skip_signature", "true"), ("region", "eu-west-1")];
        assert_eq!(found.client, client.map(|(name, value)| (name.into(), value.into())));
        let plain = settings(&[]).unwrap();
        assert!(plain.environment && !plain.read_only);
        assert_eq!(plain.retries, Retries::default());
    }

    #[test]
    fn values_that_make_no_sense_are_told_without_the_value() {
        for (name, value) in [
            ("environment", "perhaps"),
            ("read_only", ""),
            ("max_retries", "-1"),
            ("retry_timeout", "soon"),
            ("first_pause", "-0.5"),
            ("longest_pause", "inf"),
            ("header:a b", "x"),
            ("header:a", "x\ny"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{name}");
            assert_eq!(error.context("option"), Some(name));
        }
    }
}
