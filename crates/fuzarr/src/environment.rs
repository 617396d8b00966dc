//! Options from the environment, and the only place that reads it, but for the credentials of remote
//! stores, which their clients look up by the names of each service.
//!
//! | Variable | Sets | Unless set |
//! |---|---|---|
//! | `FUZARR_WORKERS` | [`Limits::workers`](crate::Limits::workers), a number; 0 for one a core | 0 |
//! | `FUZARR_MAX_DECODE_BUFFERS` | [`Limits::max_decode_buffers`](crate::Limits::max_decode_buffers), a number; 0 for as many as there are workers | 0 |
//! | `FUZARR_MEMORY` | [`Limits::memory`](crate::Limits::memory), a size as in `512MiB` | no limit |
//! | `FUZARR_OPERATIONS` | [`Limits::operations`](crate::Limits::operations), a number from 1 | 128 |
//! | `FUZARR_IN_FLIGHT` | [`Limits::in_flight`](crate::Limits::in_flight), a size | 256 MiB |
//! | `FUZARR_PARTIAL_READS` | [`ReadOptions::partial_reads`], a switch | on |
//! | `FUZARR_ONE_ROUND_TRIP` | [`ReadOptions::one_round_trip`], a switch | on |
//! | `FUZARR_COALESCE_GAP` | [`ReadOptions::coalesce_gap`], a size | 1 MiB |
//! | `FUZARR_COALESCE_SPAN` | [`ReadOptions::coalesce_span`], a size | 16 MiB |
//! | `FUZARR_BULK_DECODE` | [`ReadOptions::bulk_decode`], a switch | on |
//! | `FUZARR_DIRECT_DECODE` | [`ReadOptions::direct_decode`], a switch | on |
//! | `FUZARR_PARTIAL_DECODE` | [`ReadOptions::partial_decode`], a switch | on |
//! | `FUZARR_DIRECT_READS` | [`ReadOptions::direct_reads`], a switch | on |
//! | `FUZARR_INDEX_CACHE` | [`ReadOptions::index_cache`], a switch | on |
//! | `FUZARR_INDEX_STALENESS` | [`ReadOptions::index_staleness`], seconds | 0 |
//! | `FUZARR_CHUNK_CACHE` | [`ReadOptions::chunk_cache`], a size | 0 |
//! | `FUZARR_SCALAR_MEMO` | [`WriteOptions::scalar_memo`], a switch | on |
//! | `FUZARR_PARTIAL_WRITES` | [`WriteOptions::partial_writes`], a switch | on |
//! | `FUZARR_STREAMING` | [`WriteOptions::streaming`], a switch | on |
//! | `FUZARR_REMOTE_STORES` | [`Settings::remote_stores`], a switch | on |
//!
//! A switch is `1`, `true` or `on`, or `0`, `false` or `off`; a size is a number of bytes, with a
//! unit (`KiB`, `MB`, …) or without; an empty variable counts as not set. Variables are looked at
//! once, when they are first needed: changes after that are not seen.
//!
//! An [`Override`] sets the same by the variable's name in small letters without `FUZARR_`, as in
//! `partial_reads=off`.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;
use std::time::Duration;

use once_cell::race::OnceBox;

use crate::error::{Error, Result};
use crate::limits::{Limits, parse_size};
use crate::plan::{ReadOptions, WriteOptions};

/// Options by name: those of the environment, in small letters and without `FUZARR_`, as in
/// `max_decode_buffers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Options of reads.
    pub read: ReadOptions,
    /// Options of writes; limits are the same for both.
    pub write: WriteOptions,
    /// Whether remote stores of another library are reached from here, where they can be. Only bindings
    /// to such a library look at it.
    pub remote_stores: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let (read, write) = (ReadOptions::default(), WriteOptions::default());
        Self { read, write, remote_stores: true }
    }
}

/// What an option may be, and where it is.
#[derive(Debug, Clone, Copy)]
enum Setting {
    Number {
        least: usize,
        of: fn(&mut Limits) -> &mut usize,
    },
    Memory,
    /// Of the limits.
    Bytes(fn(&mut Limits) -> &mut u64),
    Size(fn(&mut Settings) -> &mut u64),
    Seconds(fn(&mut Settings) -> &mut Duration),
    Switch(fn(&mut Settings) -> &mut bool),
}

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number, a size in bytes, or seconds.
    Number(u64),
    /// A switch.
    Switch(bool),
    /// Nothing: no limit.
    Unlimited,
}

/// What the names of variables start with.
const PREFIX: &str = "FUZARR_";

const VARIABLES: [(&str, Setting); 20] = [
    ("FUZARR_WORKERS", Setting::Number { least: 0, of: |limits| &mut limits.workers }),
    (
        "FUZARR_MAX_DECODE_BUFFERS",
        Setting::Number { least: 0, of: |limits| &mut limits.max_decode_buffers },
    ),
    ("FUZARR_MEMORY", Setting::Memory),
    ("FUZARR_OPERATIONS", Setting::Number { least: 1, of: |limits| &mut limits.operations }),
    ("FUZARR_IN_FLIGHT", Setting::Bytes(|limits| &mut limits.in_flight)),
    ("FUZARR_PARTIAL_READS", Setting::Switch(|all| &mut all.read.partial_reads)),
    ("FUZARR_ONE_ROUND_TRIP", Setting::Switch(|all| &mut all.read.one_round_trip)),
    ("FUZARR_COALESCE_GAP", Setting::Size(|all| &mut all.read.coalesce_gap)),
    ("FUZARR_COALESCE_SPAN", Setting::Size(|all| &mut all.read.coalesce_span)),
    ("FUZARR_BULK_DECODE", Setting::Switch(|all| &mut all.read.bulk_decode)),
    ("FUZARR_DIRECT_DECODE", Setting::Switch(|all| &mut all.read.direct_decode)),
    ("FUZARR_PARTIAL_DECODE", Setting::Switch(|all| &mut all.read.partial_decode)),
    ("FUZARR_DIRECT_READS", Setting::Switch(|all| &mut all.read.direct_reads)),
    ("FUZARR_INDEX_CACHE", Setting::Switch(|all| &mut all.read.index_cache)),
    ("FUZARR_INDEX_STALENESS", Setting::Seconds(|all| &mut all.read.index_staleness)),
    ("FUZARR_CHUNK_CACHE", Setting::Size(|all| &mut all.read.chunk_cache)),
    ("FUZARR_SCALAR_MEMO", Setting::Switch(|all| &mut all.write.scalar_memo)),
    ("FUZARR_PARTIAL_WRITES", Setting::Switch(|all| &mut all.write.partial_writes)),
    ("FUZARR_STREAMING", Setting::Switch(|all| &mut all.write.streaming)),
    ("FUZARR_REMOTE_STORES", Setting::Switch(|all| &mut all.remote_stores)),
];

impl Setting {
    /// What the variable has to be, for errors.
    fn expected(self) -> String {
        match self {
            Self::Number { least, .. } => format!("a number from {least}"),
            Self::Memory | Self::Bytes(_) | Self::Size(_) => "a size as in 512MiB".into(),
            Self::Seconds(_) => "a number of seconds".into(),
            Self::Switch(_) => "1, true or on, or 0, false or off".into(),
        }
    }

    /// Sets it to what `text` says; `None` if that makes no sense.
    fn apply(self, settings: &mut Settings, text: &str) -> Option<()> {
        let text = text.trim();
        match self {
            Self::Number { least, of } => {
                let number = text.parse().ok().filter(|&number| number >= least)?;
                *of(&mut settings.read.limits) = number;
                *of(&mut settings.write.limits) = number;
            }
            Self::Memory => {
                let memory = Some(parse_size(text)?);
                (settings.read.limits.memory, settings.write.limits.memory) = (memory, memory);
            }
            Self::Bytes(of) => {
                let size = parse_size(text)?;
                *of(&mut settings.read.limits) = size;
                *of(&mut settings.write.limits) = size;
            }
            Self::Size(of) => *of(settings) = parse_size(text)?,
            Self::Seconds(of) => *of(settings) = Duration::from_secs(text.parse().ok()?),
            Self::Switch(of) => {
                *of(settings) = match text.to_ascii_lowercase().as_str() {
                    "1" | "true" | "on" => true,
                    "0" | "false" | "off" => false,
                    _ => return None,
                }
            }
        }
        Some(())
    }

    fn value(self, settings: &mut Settings) -> Value {
        match self {
            Self::Number { of, .. } => Value::Number(*of(&mut settings.read.limits) as u64),
            Self::Memory => settings.read.limits.memory.map_or(Value::Unlimited, Value::Number),
            Self::Bytes(of) => Value::Number(*of(&mut settings.read.limits)),
            Self::Size(of) => Value::Number(*of(settings)),
            Self::Seconds(of) => Value::Number(of(settings).as_secs()),
            Self::Switch(of) => Value::Switch(*of(settings)),
        }
    }
}

impl Settings {
    /// The options that the environment sets, and defaults for the rest.
    ///
    /// # Errors
    /// `InvalidArgument` for a variable that is set to something else than it may be, with its name.
    pub fn from_environment() -> Result<Self> {
        settings().cloned()
    }

    /// All options: names and values.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Value)> {
        let mut settings = self.clone();
        let option =
            |(name, setting): &(&str, Setting)| (option_name(name), setting.value(&mut settings));
        VARIABLES.iter().map(option).collect()
    }

    /// Sets the option `name` to what `text` says in the form of the environment; an empty text
    /// stands for the default.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such option, or it cannot be that.
    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let known = VARIABLES.iter().find(|(variable, _)| option_name(variable) == name);
        let &(_, setting) = known.ok_or_else(|| {
            let names = VARIABLES.map(|(variable, _)| option_name(variable)).join(", ");
            Error::invalid_argument(format!("there is no option `{name}`; there are {names}"))
        })?;
        if text.trim().is_empty() {
            return match setting.value(&mut Self::default()) {
                Value::Number(number) => self.set(name, &number.to_string()),
                Value::Switch(switch) => self.set(name, if switch { "on" } else { "off" }),
                Value::Unlimited => {
                    (self.read.limits.memory, self.write.limits.memory) = (None, None);
                    Ok(())
                }
            };
        }
        let expected = || {
            let message = format!("`{text}` is not what it may be: {}", setting.expected());
            Error::invalid_argument(message).with("option", name)
        };
        setting.apply(self, text).ok_or_else(expected)
    }

    /// The settings of an environment in which `lookup` finds variables.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the variable and its value.
    fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let mut settings = Self::default();
        for (name, setting) in VARIABLES {
            let Some(value) = lookup(name).filter(|value| !value.is_empty()) else { continue };
            let applied = value.to_str().and_then(|text| setting.apply(&mut settings, text));
            applied.ok_or_else(|| wrong(name, &value, setting))?;
        }
        Ok(settings)
    }
}

/// A setting that takes the place of the environment's: `workers=1`, `partial_reads=off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    name: String,
    value: String,
}

impl Override {
    /// The names of all settings.
    pub fn names() -> impl Iterator<Item = String> {
        VARIABLES.iter().map(|(variable, _)| option_name(variable))
    }

    /// The setting's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Override {
    type Err = Error;

    /// Reads `NAME=VALUE`.
    ///
    /// The error is `InvalidArgument` for a name that is none and a value that makes no sense.
    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::invalid_argument("a setting is written as NAME=VALUE"))?;
        if value.trim().is_empty() {
            return Err(Error::invalid_argument("a setting has a value").with("option", name));
        }
        let parsed = Self { name: name.trim().to_owned(), value: value.to_owned() };
        Settings::default().set(&parsed.name, &parsed.value)?;
        Ok(parsed)
    }
}

/// The settings of this process, with others in the place of some.
fn overridden(overrides: &[Override]) -> Result<Settings> {
    let mut settings = settings()?.clone();
    overrides.iter().try_for_each(|setting| settings.set(&setting.name, &setting.value))?;
    Ok(settings)
}

/// The name of the option that a variable sets.
fn option_name(variable: &str) -> String {
    variable.strip_prefix(PREFIX).unwrap_or(variable).to_ascii_lowercase()
}

#[cold]
fn wrong(name: &str, value: &OsStr, setting: Setting) -> Error {
    let message =
        format!("`{}` is not what it may be: {}", value.to_string_lossy(), setting.expected());
    Error::invalid_argument(message).with("variable", name)
}

/// The settings of this process.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn settings() -> Result<&'static Settings> {
    static SETTINGS: OnceBox<Result<Settings>> = OnceBox::new();
    match SETTINGS.get_or_init(|| Box::new(Settings::read(|name| std::env::var_os(name)))) {
        Ok(settings) => Ok(settings),
        // An error is given anew to each who asks.
        Err(error) => {
            let name = error.context("variable").unwrap_or_default();
            Err(Error::invalid_argument(error.message()).with("variable", name))
        }
    }
}

impl ReadOptions {
    /// The options that the environment sets, and defaults for the rest, see [`crate::environment`].
    /// What [`Array`](crate::Array)'s methods without options use.
    ///
    /// # Errors
    /// `InvalidArgument` for a variable that is set to something else than it may be, with its name.
    pub fn from_environment() -> Result<Self> {
        settings().map(|settings| settings.read.clone())
    }

    /// As [`from_environment`](Self::from_environment), with other settings in the place of some;
    /// the last one of a name counts.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn with_overrides(overrides: &[Override]) -> Result<Self> {
        overridden(overrides).map(|settings| settings.read)
    }
}

impl WriteOptions {
    /// The options that the environment sets, and defaults for the rest, see [`crate::environment`].
    /// What [`Array`](crate::Array)'s methods without options use.
    ///
    /// # Errors
    /// `InvalidArgument` for a variable that is set to something else than it may be, with its name.
    pub fn from_environment() -> Result<Self> {
        settings().map(|settings| settings.write.clone())
    }

    /// As [`from_environment`](Self::from_environment), with other settings in the place of some;
    /// the last one of a name counts.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn with_overrides(overrides: &[Override]) -> Result<Self> {
        overridden(overrides).map(|settings| settings.write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(read(&[]).unwrap(), Settings::default());
        assert_eq!(read(&[("FUZARR_WORKERS", "")]).unwrap(), Settings::default());
    }

    /// Every variable, set to something else than it is unless set.
    const OTHERS: [(&str, &str); 20] = [
        ("FUZARR_WORKERS", "3"),
        ("FUZARR_MAX_DECODE_BUFFERS", " 2"),
        ("FUZARR_MEMORY", "512MiB"),
        ("FUZARR_OPERATIONS", "7"),
        ("FUZARR_IN_FLIGHT", "1kB"),
        ("FUZARR_COALESCE_GAP", "0"),
        ("FUZARR_COALESCE_SPAN", "2kB"),
        ("FUZARR_PARTIAL_READS", "0"),
        ("FUZARR_ONE_ROUND_TRIP", "0"),
        ("FUZARR_BULK_DECODE", "off"),
        ("FUZARR_DIRECT_DECODE", "False"),
        ("FUZARR_PARTIAL_DECODE", "off"),
        ("FUZARR_DIRECT_READS", "0"),
        ("FUZARR_INDEX_CACHE", "0"),
        ("FUZARR_INDEX_STALENESS", "60"),
        ("FUZARR_CHUNK_CACHE", "3MiB"),
        ("FUZARR_SCALAR_MEMO", "0"),
        ("FUZARR_PARTIAL_WRITES", "0"),
        ("FUZARR_STREAMING", "0"),
        ("FUZARR_REMOTE_STORES", "off"),
    ];

    #[test]
    fn every_variable_sets_what_it_names() {
        let limits = Limits {
            workers: 3,
            max_decode_buffers: 2,
            memory: Some(512 << 20),
            operations: 7,
            in_flight: 1000,
            ..Limits::default()
        };
        let expected = Settings {
            read: ReadOptions {
                coalesce_gap: 0,
                coalesce_span: 2000,
                partial_reads: false,
                one_round_trip: false,
                bulk_decode: false,
                direct_decode: false,
                partial_decode: false,
                direct_reads: false,
                index_cache: false,
                index_staleness: Duration::from_secs(60),
                chunk_cache: 3 << 20,
                limits: limits.clone(),
                ..ReadOptions::default()
            },
            write: WriteOptions {
                scalar_memo: false,
                partial_writes: false,
                streaming: false,
                limits,
                ..WriteOptions::default()
            },
            remote_stores: false,
        };
        assert_eq!(read(&OTHERS).unwrap(), expected);
        assert_eq!(OTHERS.len(), VARIABLES.len());
        assert!(read(&[("FUZARR_STREAMING", "on")]).unwrap().write.streaming);
    }

    #[test]
    fn overrides_are_the_same_settings_by_shorter_names() {
        let parse = |text: &str| text.parse::<Override>();
        let overrides: Vec<Override> = ["workers=2", "partial_reads=off", "workers=3"]
            .map(|text| parse(text).unwrap())
            .to_vec();
        let mut settings = Settings::default();
        overrides.iter().try_for_each(|one| settings.set(&one.name, &one.value)).unwrap();
        let same = read(&[("FUZARR_WORKERS", "3"), ("FUZARR_PARTIAL_READS", "off")]).unwrap();
        assert_eq!(settings, same);
        assert_eq!(Override::names().count(), VARIABLES.len());
        for name in Override::names() {
            assert!(["1", "1MiB"].iter().any(|value| parse(&format!("{name}={value}")).is_ok()));
        }
        for text in ["", "workers", "workers=", "workers=x", "WORKERS=1", "a=1", "index_cache=2"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_names_the_variable() {
        for (name, value) in [
            ("FUZARR_WORKERS", "many"),
            ("FUZARR_WORKERS", "-1"),
            ("FUZARR_MAX_DECODE_BUFFERS", "-2"),
            ("FUZARR_MEMORY", "1.5GiB"),
            ("FUZARR_COALESCE_GAP", "wide"),
            ("FUZARR_INDEX_CACHE", "2"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert_eq!(error.context("variable"), Some(name));
            assert!(error.message().contains(value), "{error}");
        }
    }

    #[test]
    fn options_have_the_names_of_variables() {
        let mut settings = Settings::default();
        settings.set("memory", "1KiB").unwrap();
        settings.set("workers", "3").unwrap();
        settings.set("index_cache", "off").unwrap();
        let value = |settings: &Settings, name: &str| {
            settings.list().into_iter().find(|(known, _)| known == name).unwrap().1
        };
        assert_eq!(value(&settings, "memory"), Value::Number(1024));
        assert_eq!(value(&settings, "workers"), Value::Number(3));
        assert_eq!(value(&settings, "index_cache"), Value::Switch(false));
        assert_eq!(settings.write.limits, settings.read.limits);
        for name in ["memory", "workers", "index_cache"] {
            settings.set(name, "").unwrap();
        }
        assert_eq!(settings, Settings::default());
        for (name, text) in [("threads", "3"), ("workers", "many"), ("WORKERS", "1")] {
            let error = settings.set(name, text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
