//! The one error of the crate: a kind for programs, context for people.

use std::fmt;

/// Result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The store, node or chunk does not exist.
    NotFound,
    /// The node to be created exists already.
    AlreadyExists,
    /// A metadata document breaks the Zarr specification.
    InvalidMetadata,
    /// Valid, but fuzarr (or the store) has no implementation of it.
    Unsupported,
    /// The caller's selection, key, shape or option is wrong.
    InvalidArgument,
    /// Stored bytes are damaged: truncated, failing a checksum, or lying about themselves.
    Corrupt,
    /// The object changed between reading and writing it.
    Conflict,
    /// A size is beyond what this machine or a configured limit allows.
    Limit,
    /// The caller ended the request.
    Cancelled,
    /// The answer is not at hand, and the store was opened so as not to wait.
    WouldBlock,
    /// The store failed.
    Io,
}

/// An error with its [`Kind`], a message, and where it happened (key, codec, chunk, …).
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        $($(#[$doc])*
        #[cold]
        pub fn $name(message: impl Into<String>) -> Self {
            Self::new(Kind::$kind, message)
        })*
    };
}

impl Error {
    /// An error of `kind`; prefer the constructor named after the kind.
    #[cold]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Inner { kind, message, context: Vec::new(), source: None }))
    }

    constructors! {
        /// A [`Kind::NotFound`] error.
        not_found => NotFound,
        /// A [`Kind::AlreadyExists`] error.
        already_exists => AlreadyExists,
        /// A [`Kind::InvalidMetadata`] error.
        invalid_metadata => InvalidMetadata,
        /// A [`Kind::Unsupported`] error.
        unsupported => Unsupported,
        /// A [`Kind::InvalidArgument`] error.
        invalid_argument => InvalidArgument,
        /// A [`Kind::Corrupt`] error.
        corrupt => Corrupt,
        /// A [`Kind::Conflict`] error.
        conflict => Conflict,
        /// A [`Kind::Limit`] error.
        limit => Limit,
        /// A [`Kind::Cancelled`] error.
        cancelled => Cancelled,
        /// A [`Kind::WouldBlock`] error.
        would_block => WouldBlock,
        /// A [`Kind::Io`] error.
        io => Io,
    }

    /// Adds context. The innermost place names a thing best, so a name already present is kept.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if !self.0.context.iter().any(|(known, _)| *known == name) {
            self.0.context.push((name, value.to_string()));
        }
        self
    }

    /// Names the node that the error is about, by its path in the store: without a leading `/`, empty for
    /// the root. It is the context `"node"`.
    #[must_use]
    pub fn at_node(self, path: impl fmt::Display) -> Self {
        self.with("node", format_args!("/{path}"))
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, for programs.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message without its context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The value of a piece of context, for example `"key"` or `"codec"`.
    #[must_use]
    pub fn context(&self, name: &str) -> Option<&str> {
        self.contexts().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All context, name and value, in the order in which it was added: the innermost place first.
    pub fn contexts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// The error of a name that is not among `names`.
#[cold]
pub(crate) fn no_such(what: &str, given: &str, names: &[&str]) -> Error {
    Error::invalid_argument(format!("no {what} `{given}`; there are {}", names.join(", ")))
}

/// Adds context to the error of a result.
pub trait ResultExt<T> {
    /// [`Error::with`], evaluated only on failure.
    ///
    /// # Errors
    /// The error of `self`.
    fn context<V: fmt::Display>(self, name: &'static str, value: impl FnOnce() -> V) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn context<V: fmt::Display>(self, name: &'static str, value: impl FnOnce() -> V) -> Result<T> {
        self.map_err(|error| error.with(name, value()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (position, (name, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{name}: {value}", if position == 0 { " (" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Io,
        };
        Self::new(kind, "the store failed").with_source(error)
    }
}
