//! Trying again: what is worth it, how often, and after how long.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::error::Error as _;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use http::Method;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

tokio::task_local! {
    /// What came of the request that the present operation sent last.
    static TRACE: Arc<Trace>;
    /// The object whose bytes the present operation receives.
    static WANTED: Path;
}

/// Does what asks for an object's bytes: they are handed on as they come, to be waited for by whoever
/// receives them.
pub(super) async fn receiving<T>(path: &Path, act: impl Future<Output = T>) -> T {
    WANTED.scope(path.clone(), act).await
}

/// Whether the path of a URL is that of an object. A client that asks for an object may ask for
/// credentials before.
fn leads_to(url: &str, object: &Path) -> bool {
    // Google's client encodes the slashes of a key, too. What is not encoded is not copied.
    let path: Cow<'_, [u8]> = percent_decode_str(url).into();
    let before = path.strip_suffix(object.as_ref().as_bytes());
    before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}

/// What came of the last request of an operation.
#[derive(Debug, Default)]
struct Trace {
    /// The status of the answer; 0 if there was none.
    status: AtomicU16,
    /// Whether that is how a condition is refused that the request bore.
    is_refused: AtomicBool,
    /// Seconds that the server asked to wait.
    wait: AtomicU64,
    /// Seconds that the body of the request may have taken to be sent.
    sending: AtomicU64,
}

/// How often and how long a remote store is asked again when it does not answer, or answers that it
/// is overloaded or broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often at most, after the first time.
    pub most: usize,
    /// How often at most if there was no answer at all.
    pub most_unanswered: usize,
    /// The longest pause before the first retry. It doubles with each; how much of it is waited is
    /// drawn by chance.
    pub pause: Duration,
    /// What the pause grows to.
    pub longest_pause: Duration,
    /// The time after which nothing is tried again, beside what a body may take to be sent.
    pub within: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            most: 10,
            most_unanswered: 4,
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            within: Duration::from_secs(180),
        }
    }
}

/// What a remote store was asked, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Requests that repeat one that failed.
    pub retries: u64,
    /// Bytes of objects received.
    pub received: u64,
    /// Bytes of objects sent.
    pub sent: u64,
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            retries: self.retries.saturating_add(other.retries),
            received: self.received.saturating_add(other.received),
            sent: self.sent.saturating_add(other.sent),
        }
    }
}

/// Counts [`Traffic`].
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

impl Meter {
    pub(super) fn traffic(&self) -> Traffic {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            requests: get(&self.requests),
            retries: get(&self.retries),
            received: get(&self.received),
            sent: get(&self.sent),
        }
    }
}

/// Connections whose requests are counted, whose answers are taken note of, and on which nothing is
/// waited for without end.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) meter: Arc<Meter>,
    /// How long nothing may come, beside the time that a body takes to be sent.
    pub(super) patience: Duration,
}

/// Bytes a second below which sending a body counts as standing still.
const SLOWEST: u64 = 64 << 10;

impl HttpConnector for Connections {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        let (meter, patience) = (Arc::clone(&self.meter), self.patience);
        Ok(HttpClient::new(Counted { client, meter, patience }))
    }
}

#[derive(Debug)]
struct Counted {
    client: HttpClient,
    meter: Arc<Meter>,
    patience: Duration,
}

/// What `work` gives, if it does not take longer than so.
async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    let late = |late| HttpError::new(HttpErrorKind::Timeout, late);
    tokio::time::timeout(patience, work).await.map_err(late)?
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.meter.requests.fetch_add(1, Ordering::Relaxed);
        let (is_read, is_conditional) = (is_read(&request), is_conditional(&request));
        let set = |status: u16, wait: u64| {
            // A read is refused in other words than a write, to which what is missing is another version.
            let is_refused = is_conditional
                && matches!((status, is_read), (412, _) | (304, true) | (404 | 409, false));
            // Outside an operation there is nobody to tell.
            let _ = TRACE.try_with(|trace| {
                trace.status.store(status, Ordering::Relaxed);
                trace.is_refused.store(is_refused, Ordering::Relaxed);
                trace.wait.store(wait, Ordering::Relaxed);
            });
        };
        set(0, 0);
        let sending = request.body().content_length() as u64 / SLOWEST;
        let _ = TRACE.try_with(|trace| trace.sending.store(sending, Ordering::Relaxed));
        let patience = self.patience + Duration::from_secs(sending);
        // Objects are received with patience of their own; all else is small.
        let is_get = request.method() == Method::GET;
        // What is in the query, a signature perhaps, does not tell.
        let is_wanted = |object: &Path| leads_to(request.uri().path(), object);
        let is_object = is_get && WANTED.try_with(is_wanted).unwrap_or(false);
        let response = within(patience, self.client.execute(request)).await?;
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|seconds| seconds.trim().parse().ok());
        set(response.status().as_u16(), wait.unwrap_or(0));
        if is_object && response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let told = told(body, patience).await;
            return Ok(HttpResponse::from_parts(parts, told.into()));
        }
        let body = within(patience, body.bytes()).await?;
        if is_get && parts.status.is_success() && is_error_document(&body) {
            // The client would take it for a list of nothing.
            let told = std::io::Error::other("the answer is an error document");
            return Err(HttpError::new(HttpErrorKind::Interrupted, told));
        }
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

fn is_read(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Whether a request bears a condition, in the words of any service.
fn is_conditional(request: &HttpRequest) -> bool {
    let names = ["if-match", "if-none-match", "x-goog-if-generation-match"];
    names.iter().any(|name| request.headers().contains_key(*name))
}

/// The most bytes that are kept of what a service says of an error.
const MOST_TOLD: usize = 64 << 10;

/// What a service says of an error, as far as it comes: the status tells that there is one.
async fn told(body: HttpResponseBody, patience: Duration) -> String {
    let mut told = Vec::new();
    let mut frames = body.bytes_stream();
    let receive = async {
        while told.len() < MOST_TOLD
            && let Some(Ok(frame)) = frames.next().await
        {
            told.extend_from_slice(&frame[..frame.len().min(MOST_TOLD - told.len())]);
        }
    };
    // What came until then will do.
    let _ = tokio::time::timeout(patience, receive).await;
    String::from_utf8_lossy(&told).into_owned()
}

/// Whether the root of a document in XML is `Error`.
fn is_error_document(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    let end = body.windows(2).position(|pair| pair == b"?>");
    let start = if body.starts_with(b"<?xml") { end.map_or(0, |end| end + 2) } else { 0 };
    let root = body[start..].trim_ascii_start();
    root.starts_with(b"<Error>") || root.starts_with(b"<Error ")
}

/// Why an operation did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What the client says.
    Client(object_store::Error),
    /// The answer ended early: this many bytes came of this many.
    Short(u64, u64),
    /// The answer says that all is well, and is not what was asked for.
    Garbled,
    /// Nothing came for so long.
    Stalled(Duration),
    /// What came cannot be used; it will not be asked for again.
    Refused(Error),
}

impl From<object_store::Error> for Trouble {
    fn from(error: object_store::Error) -> Self {
        Self::Client(error)
    }
}

/// An operation's last trouble, and what is known of those before.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    /// The status of the last answer; 0 if there was none.
    pub(super) status: u16,
    /// Whether that is how a condition is refused that the request bore.
    is_refused: bool,
    /// How often it was tried.
    pub(super) tries: usize,
    /// Whether an earlier try may have been carried out, though no answer said so.
    pub(super) is_uncertain: bool,
}

/// What to do about a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It will be the same next time.
    Final,
    /// The server is there and asks for patience, or is broken for the moment.
    Busy,
    /// No whole answer came, or one that will soon be another.
    Unanswered,
}

/// The status of an answer that holds one for each of several objects.
const SEVERAL: u16 = 202;

fn judge(trouble: &Trouble, status: u16) -> Verdict {
    let error = match trouble {
        Trouble::Client(object_store::Error::NotFound { .. }) if status == SEVERAL => {
            return Verdict::Final;
        }
        Trouble::Short(..) | Trouble::Garbled | Trouble::Stalled(_) => return Verdict::Unanswered,
        // A list has the same names in it next time.
        Trouble::Refused(_) | Trouble::Client(object_store::Error::InvalidPath { .. }) => {
            return Verdict::Final;
        }
        Trouble::Client(error) => error,
    };
    // Amazon's word for 408.
    let is_late = || status == 400 && says(error, &["<Code>RequestTimeout</Code>"]);
    // Another has made the folder that a server of WebDAV was to make for an object.
    let is_made = || matches!(status, 405 | 409) && says(error, &["performing MKCOL"]);
    // What a service itself asks to have tried again: another request is at work on the object.
    let is_aborted = || status == 409 && says(error, &["<Code>OperationAborted</Code>"]);
    if matches!(status, 408 | 429 | 500 | 502 | 503 | 504) || is_late() || is_aborted() {
        return Verdict::Busy;
    }
    if is_made() {
        return Verdict::Unanswered;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return match error.kind() {
                HttpErrorKind::Decode => Verdict::Final,
                _ => Verdict::Unanswered,
            };
        }
        cause = error.source();
    }
    // A success whose body says otherwise.
    if (200..300).contains(&status) { Verdict::Unanswered } else { Verdict::Final }
}

/// A number from 0 to 1, another each time.
pub(super) fn chance() -> f64 {
    let drawn = u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0);
    f64::from(drawn) / f64::from(u32::MAX)
}

impl Retries {
    /// How long to wait after a failed try; `None` if that was the last.
    fn pause(
        &self,
        verdict: Verdict,
        tries: usize,
        since: Instant,
        asked: u64,
    ) -> Option<Duration> {
        let most = match verdict {
            Verdict::Final => 0,
            Verdict::Busy => self.most,
            Verdict::Unanswered => self.most_unanswered.min(self.most),
        };
        let doubled = u32::try_from(tries - 1).unwrap_or(u32::MAX).min(20);
        let pause = self.pause.saturating_mul(1 << doubled).min(self.longest_pause);
        let pause = pause.mul_f64(chance()).max(Duration::from_secs(asked).min(self.longest_pause));
        let is_in_time = since.elapsed().saturating_add(pause) < self.within;
        (tries <= most && is_in_time).then_some(pause)
    }
}

/// The tries of one operation.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    retries: &'a Retries,
    meter: &'a Meter,
    since: Instant,
    tries: usize,
    is_uncertain: bool,
    trace: Arc<Trace>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(retries: &'a Retries, meter: &'a Meter) -> Self {
        let (since, trace) = (Instant::now(), Arc::default());
        Self { retries, meter, since, tries: 0, is_uncertain: false, trace }
    }

    /// One try.
    pub(super) async fn one<T>(
        &mut self,
        act: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        self.trace = Arc::default();
        self.tries += 1;
        TRACE.scope(Arc::clone(&self.trace), act).await
    }

    /// Waits for as long as is meet after a try that failed with `trouble`; fails if it is not to be
    /// tried again.
    pub(super) async fn again(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let status = self.status();
        let verdict = judge(&trouble, status);
        let asked = self.trace.wait.load(Ordering::Relaxed);
        // Who waits that long for an answer has the time to ask once more.
        let sending = Duration::from_secs(self.trace.sending.load(Ordering::Relaxed));
        let retries =
            Retries { within: self.retries.within.saturating_add(sending), ..*self.retries };
        let Some(pause) = retries.pause(verdict, self.tries, self.since, asked) else {
            let Self { tries, is_uncertain, .. } = *self;
            let is_refused = self.trace.is_refused.load(Ordering::Relaxed);
            return Err(Failure { trouble, status, is_refused, tries, is_uncertain });
        };
        // Who is asked too often has done nothing. Behind any other answer, a proxy's perhaps, it may
        // have been done.
        self.is_uncertain |= status != 429;
        tracing::debug!(status, tries = self.tries, ?pause, "a remote store is asked again");
        self.meter.retries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The status of the last answer; 0 if there was none.
    pub(super) fn status(&self) -> u16 {
        self.trace.status.load(Ordering::Relaxed)
    }
}

/// The error about an object whose name no key can be, as others may leave one in a bucket.
fn odd_name(reason: &object_store::path::Error) -> Error {
    use object_store::path::Error::{BadSegment, EmptySegment};
    let error = Error::unsupported(
        "the store lists an object whose name cannot be that of a node or a chunk; without it, or by \
         another name of it, the rest can be listed",
    );
    match reason {
        EmptySegment { path } | BadSegment { path, .. } => error.with("key", format!("{path:?}")),
        _ => error,
    }
}

/// Azure's codes, as far as they begin alike, of what no condition has to do with, though the status
/// is that of one.
const OTHER_REASONS: [&str; 4] =
    ["<Code>Lease", "<Code>BlobImmutable", "<Code>BlobArchived", "<Code>BlobBeingRehydrated"];

/// Whether an error's document says one of these.
fn says(error: &object_store::Error, words: &[&str]) -> bool {
    let told = error.to_string();
    words.iter().any(|word| told.contains(word))
}

impl Failure {
    /// Whether the store says, and has the authority to say, that there is no such object.
    pub(super) fn is_missing(&self) -> bool {
        // The client takes "not allowed" for "not found", too.
        let has_authority = matches!(self.status, 0 | 404 | SEVERAL);
        has_authority
            && matches!(self.trouble, Trouble::Client(object_store::Error::NotFound { .. }))
    }

    /// Whether the store says that it has no such upload, or not the parts of it.
    pub(super) fn lacks_upload(&self) -> bool {
        let Trouble::Client(error) = &self.trouble else { return false };
        // In Azure's words.
        let lacks_blocks = || says(error, &["InvalidBlockList"]);
        self.status == 404 || self.status == 400 && lacks_blocks()
    }

    /// Whether what is there may be what an earlier try put, whose answer got lost: it is in the way, or
    /// refused for another reason before that is looked at.
    pub(super) fn may_be_ours(&self) -> bool {
        self.is_uncertain && self.is_in_the_way()
    }

    fn is_in_the_way(&self) -> bool {
        use object_store::Error::{AlreadyExists, NotModified, Precondition};
        let Trouble::Client(error) = &self.trouble else { return false };
        matches!(error, AlreadyExists { .. } | Precondition { .. } | NotModified { .. })
    }

    /// Whether a condition did not hold. What is refused for another reason, a lease or an archive, in the
    /// same words or without a condition, will be refused again.
    pub(super) fn is_conflict(&self) -> bool {
        let Trouble::Client(error) = &self.trouble else { return false };
        // Another client than those made here leaves no trace, and knows itself.
        (self.is_refused || self.status == 0)
            && self.is_in_the_way()
            && !says(error, &OTHER_REASONS)
    }

    /// The error for the caller.
    pub(super) fn into_error(self) -> Error {
        let (is_conflict, is_missing) = (self.is_conflict(), self.is_missing());
        let error = match self.trouble {
            Trouble::Refused(error) => return error,
            Trouble::Short(came, wanted) => {
                Error::io(format!("the answer ended after {came} of {wanted} bytes"))
            }
            Trouble::Garbled => Error::io("the answer is not what was asked for"),
            Trouble::Stalled(pause) => {
                Error::io(format!("the store sent nothing for {} seconds", pause.as_secs()))
            }
            Trouble::Client(error) if is_conflict => {
                Error::conflict("the object changed since it was read").with_source(error)
            }
            Trouble::Client(error) => {
                use object_store::Error as Client;
                let told = match &error {
                    Client::NotFound { .. } if is_missing => {
                        Error::not_found("there is no such object")
                    }
                    Client::NotSupported { .. } | Client::NotImplemented { .. } => {
                        Error::unsupported("the store cannot do this")
                    }
                    // Names that are asked for are looked at before.
                    Client::InvalidPath { source } => odd_name(source),
                    Client::UnknownConfigurationKey { .. } => {
                        Error::invalid_argument("the store has no such name")
                    }
                    // Also of a service that was asked for credentials.
                    _ if matches!(self.status, 401 | 403) => Error::io(
                        "the store denies access; credentials come from the environment or from \
                         options, and what is public is read with `anonymous`",
                    ),
                    _ if self.status == 501 => Error::unsupported(
                        "the service does not have this; if it has no conditional writes, \
                         `conditional_put=disabled` does without",
                    ),
                    _ if matches!(self.status, 409 | 412) => Error::io(
                        "the store refuses this for now: the object may be leased, locked or archived",
                    ),
                    _ if self.status == 0 => Error::io("the store cannot be reached"),
                    _ => Error::io("the store failed"),
                };
                told.with_source(error)
            }
        };
        let error = if self.tries > 1 { error.with("tries", self.tries) } else { error };
        if self.status >= 400 { error.with("status", self.status) } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, and what they are in the URLs of S3's client, of Google's, and of Azure's and plain HTTP's.
    const SPELLINGS: [(&str, [&str; 3]); 5] = [
        ("k", ["k", "k", "k"]),
        ("x/a/c/0/0", ["x/a/c/0/0", "x%2Fa%2Fc%2F0%2F0", "x/a/c/0/0"]),
        ("x/a + b", ["x/a%20%2B%20b", "x%2Fa%20%2B%20b", "x/a%20+%20b"]),
        ("x/b%25/%2F", ["x/b%2525/%252F", "x%2Fb%2525%2F%252F", "x/b%2525/%252F"]),
        ("ä/&~.json", ["%C3%A4/%26~.json", "%C3%A4%2F%26%7E%2Ejson", "%C3%A4/&~.json"]),
    ];

    #[test]
    fn a_url_leads_to_its_own_object_as_every_service_spells_it() {
        for (at, (key, _)) in SPELLINGS.iter().enumerate() {
            let object = Path::parse(key).unwrap();
            for (other, (_, spellings)) in SPELLINGS.iter().enumerate() {
                for spelling in spellings {
                    for before in ["/", "/bucket/", "/account/my%2Dbucket/", "/web//%FF/"] {
                        let url = format!("{before}{spelling}");
                        assert_eq!(leads_to(&url, &object), at == other, "{key} {url}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_url_leads_to_no_object_that_only_ends_alike() {
        let object = Path::parse("x/a/c/0/0").unwrap();
        for url in [
            "/bucket",
            "/bucket/a/c/0/0",
            "/bucket/xx/a/c/0/0",
            "/bucket/xx%2Fa%2Fc%2F0%2F0",
            "/bucket/x%252Fa%252Fc%252F0%252F0",
            "/bucket/x/a/c/0/0/",
            "/latest/meta-data/iam/security-credentials/role",
            "/computeMetadata/v1/instance/service-accounts/default/token",
        ] {
            assert!(!leads_to(url, &object), "{url}");
        }
    }
}
