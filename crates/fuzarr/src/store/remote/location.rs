//! Addresses of remote stores, and the options that go with them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::attempt::{Connections, Meter, Retries};
use super::client::{Make, Manners, Service};
use super::settings::Settings;
use crate::error::{Error, Result, ResultExt as _};
use crate::store::address::{check_no_secrets, shown};

/// How a remote store is reached.
///
/// Credentials, endpoints and regions come from the environment, under the names that each
/// service's own tools use (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`,
/// `AZURE_STORAGE_ACCOUNT_NAME`, …), unless settings say otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Settings of the service by the names of the `object_store` crate, with or without the
    /// service's prefix: `region`, `endpoint`, `access_key_id`, `account_name`, `proxy_url`, …
    /// Also `anonymous`, for requests that nobody signs; `environment`, which switched off has nothing
    /// come from the environment; `read_only`; `max_retries`, `retry_timeout`, `first_pause` and
    /// `longest_pause` (in seconds), which take the place of `retries`; and `header:` with a
    /// name, for a header of all requests.
    pub settings: Vec<(String, String)>,
    /// What is tried again.
    pub retries: Retries,
    /// After how long without a byte an answer counts as lost; what is sent may take longer, at 64 KiB
    /// a second.
    pub patience: Duration,
}

impl fmt::Debug for RemoteOptions {
    /// Names of settings without their values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.settings.iter().map(|(name, _)| name).collect();
        let mut fields = f.debug_struct("RemoteOptions");
        fields.field("settings", &names).field("retries", &self.retries);
        fields.field("patience", &self.patience).finish()
    }
}

impl Default for RemoteOptions {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self { settings: Vec::new(), retries: Retries::default(), patience }
    }
}

/// Where an address leads.
pub(super) struct Location {
    pub(super) make: Make,
    pub(super) manners: Manners,
    pub(super) prefix: Path,
    pub(super) retries: Retries,
}

/// Requests are tried again here, not by the client: what became of one must be known.
fn no_retries() -> RetryConfig {
    let backoff = BackoffConfig::default();
    RetryConfig { backoff, max_retries: 0, retry_timeout: Duration::ZERO }
}

/// A large body takes its time; what stalls is noticed. Whoever names an endpoint without TLS wants it.
fn client_options(settings: &Settings) -> ClientOptions {
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(10))
        .with_allow_http(true);
    if settings.headers.is_empty() {
        return options;
    }
    options.with_default_headers(settings.headers.clone())
}

/// A builder of the client's with what the environment says, if that counts.
macro_rules! from_environment {
    ($builder:ident, $settings:expr) => {
        if $settings.environment { $builder::from_env() } else { $builder::new() }
    };
}

/// What makes clients from a builder of the client's, with settings applied to it.
macro_rules! clients {
    ($builder:expr, $settings:expr, $patience:expr, $into_service:expr) => {{
        let (settings, patience) = ($settings, $patience);
        let options = client_options(settings);
        let mut builder = $builder.with_client_options(options).with_retry(no_retries());
        for (name, value) in &settings.client {
            let key = name.parse().map_err(|_| {
                Error::invalid_argument("the store has no such option").with("option", name)
            })?;
            builder = builder.with_config(key, value);
        }
        let make = move |meter: &Arc<Meter>| {
            let connected = builder
                .clone()
                .with_http_connector(Connections { meter: Arc::clone(meter), patience });
            connected
                .build()
                .map($into_service)
                .map_err(|error| Error::invalid_argument(error.to_string()).with_source(error))
        };
        Box::new(make) as Make
    }};
}

/// A service that takes objects in parts, and one that does not.
fn in_parts<S: ObjectStore + MultipartStore>(store: S) -> Service {
    let store = Arc::new(store);
    Service { objects: Arc::clone(&store) as Arc<dyn ObjectStore>, parts: Some(store) }
}

fn plain<S: ObjectStore>(store: S) -> Service {
    Service { objects: Arc::new(store), parts: None }
}

/// The schemes of addresses.
const SCHEMES: [&str; 11] =
    ["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl", "http", "https"];

/// Whether a text is the address of a remote store, or of something in one.
pub(super) fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// The address of the store that a node is in, and the node's path: the store is the outermost folder
/// whose name ends in `.zarr`, or the node itself if there is none.
pub(super) fn split(address: &str) -> (&str, &str) {
    let start = address.find("://").map_or(0, |at| at + 3);
    let mut from = start;
    while let Some(end) = address[from..].find('/').map(|at| from + at) {
        if from > start && address[from..end].ends_with(".zarr") {
            return (&address[..end], address[end..].trim_matches('/'));
        }
        from = end + 1;
    }
    (address.trim_end_matches('/'), "")
}

/// What most services can do, and the settings leave on.
fn manners(settings: &Settings) -> Manners {
    Manners {
        suffixes: true,
        conditions: true,
        may_ignore_ranges: false,
        parts: true,
        marks_parts: true,
        deletes_lists: false,
        tags: true,
        read_only: settings.read_only,
    }
}

/// Whether writes to S3 may be on condition: the settings say so, and where they say nothing, the
/// environment.
fn has_conditions(settings: &Settings, environment: Option<&str>) -> bool {
    let named = |(name, _): &&(String, String)| name.ends_with("conditional_put");
    let put = settings.client.iter().rev().find(named).map(|(_, value)| value.as_str());
    put.or(environment).is_none_or(|put| put.trim() != "disabled")
}

/// Reads an address.
pub(super) fn parse(address: &str, options: &RemoteOptions) -> Result<Location> {
    let wrong = |reason: String| Error::invalid_argument(reason).with("url", shown(address));
    check_no_secrets(address).context("url", || shown(address))?;
    let url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
    let prefix = Path::from_url_path(url.path()).map_err(|error| wrong(error.to_string()))?;
    install_cryptography();
    let (settings, patience) = (&Settings::of(options)?, options.patience);
    let manners = manners(settings);
    let (make, manners) = match url.scheme() {
        "s3" | "s3a" => {
            let builder = from_environment!(AmazonS3Builder, settings).with_url(bucket(&url)?);
            let put = builder.get_config_value(&AmazonS3ConfigKey::ConditionalPut);
            let conditions = has_conditions(settings, put.as_deref());
            let manners = Manners { conditions, deletes_lists: true, ..manners };
            (clients!(builder, settings, patience, in_parts), manners)
        }
        scheme @ ("gs" | "gcs") => {
            // The client knows one of the names, and has a word of its own for an endpoint.
            let address = bucket(&url)?.replacen(scheme, "gs", 1);
            let settings = &settings.renamed("endpoint", "base_url");
            let builder = from_environment!(GoogleCloudStorageBuilder, settings).with_url(address);
            (clients!(builder, settings, patience, in_parts), manners)
        }
        "az" | "azure" | "abfs" | "abfss" | "adl" => {
            let builder =
                from_environment!(MicrosoftAzureBuilder, settings).with_url(bucket(&url)?);
            (
                clients!(builder, settings, patience, in_parts),
                Manners { suffixes: false, marks_parts: false, ..manners },
            )
        }
        "http" | "https" => {
            let builder = HttpBuilder::new().with_url(&url[..url::Position::BeforePath]);
            let manners = Manners {
                conditions: false,
                may_ignore_ranges: true,
                parts: false,
                tags: false,
                ..manners
            };
            (clients!(builder, settings, patience, plain), manners)
        }
        scheme => {
            let known = SCHEMES.join(", ");
            return Err(wrong(format!("`{scheme}` is no kind of remote store; there are {known}")));
        }
    };
    // What the client makes of the address and the settings is found out now, not in a request.
    make(&Arc::default()).map_err(|error| error.with("url", shown(address)))?;
    Ok(Location { make, manners, prefix, retries: settings.retries })
}

/// The address of the bucket or container.
fn bucket(url: &Url) -> Result<String> {
    let host = url.host_str().filter(|host| !host.is_empty());
    if host.is_none() {
        let message =
            format!("the address names no bucket, as in {}://bucket/folder", url.scheme());
        return Err(Error::invalid_argument(message));
    }
    Ok(url[..url::Position::BeforePath].to_owned())
}

/// Gives TLS its cryptography, unless the program has chosen one.
fn install_cryptography() {
    // An error says that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_store_is_the_outermost_folder_named_zarr() {
        for (address, root, path) in [
            ("s3://bucket/x.zarr/a/b", "s3://bucket/x.zarr", "a/b"),
            ("s3://bucket/x.zarr/a.zarr/b/", "s3://bucket/x.zarr", "a.zarr/b"),
            ("s3://bucket/x.zarr", "s3://bucket/x.zarr", ""),
            ("s3://bucket/x.zarr/", "s3://bucket/x.zarr", ""),
            ("https://host.zarr/x/y", "https://host.zarr/x/y", ""),
            ("gs://bucket", "gs://bucket", ""),
            ("gs://bucket/folder/array/", "gs://bucket/folder/array", ""),
        ] {
            assert_eq!(split(address), (root, path), "{address}");
        }
    }

    // The environment once counted before the option.
    #[test]
    fn whether_writes_are_on_condition_is_the_options_to_say_before_the_environments() {
        for (option, environment, expected) in [
            (None, None, true),
            (None, Some("etag"), true),
            (None, Some("disabled"), false),
            (Some("etag"), Some("disabled"), true),
            (Some("disabled"), Some("etag"), false),
            (Some(" disabled"), None, false),
        ] {
            for name in ["conditional_put", "AWS_CONDITIONAL_PUT"] {
                let settings = option.map(|value: &str| (name.to_owned(), value.to_owned()));
                let settings = settings.into_iter().collect();
                let options = RemoteOptions { settings, ..Default::default() };
                let found = has_conditions(&Settings::of(&options).unwrap(), environment);
                assert_eq!(found, expected, "{name}: {option:?}, {environment:?}");
            }
        }
    }

    #[test]
    fn addresses_and_options_that_make_no_sense_are_told_at_once() {
        let open = |address: &str, settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|&(name, value)| (name.into(), value.into()));
            let options = RemoteOptions { settings: settings.collect(), ..Default::default() };
            parse(address, &options).map(|location| location.prefix)
        };
        assert_eq!(
            open("s3://bucket/a%20b/c", &[("anonymous", "true")]).unwrap().as_ref(),
            "a b/c"
        );
        assert_eq!(open("https://host:81/a/b/", &[]).unwrap().as_ref(), "a/b");
        let azure = [("account_name", "me"), ("anon", "true")];
        assert_eq!(open("az://container/x", &azure).unwrap().as_ref(), "x");
        // Here a container has the place of a user.
        let container = "abfss://container@me.dfs.core.windows.net/x";
        assert_eq!(open(container, &azure).unwrap().as_ref(), "x");
        for (address, settings) in [
            ("ftp://host/x", &[][..]),
            ("s3:///x", &[]),
            ("s3://bucket/x?y", &[]),
            ("https://host/x#y", &[]),
            ("s3://key@bucket/x", &[]),
            ("abfss://container:secret@me.dfs.core.windows.net/x", &azure),
            ("s3://bucket/x", &[("regoin", "eu-west-1")]),
            ("s3://bucket/x", &[("anonymous", "perhaps")]),
            ("no address", &[]),
        ] {
            let error = open(address, settings).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{address}: {error}");
        }
    }
    // Seen to fail: a user and a password were taken, and sent to nobody.
    #[test]
    fn what_may_be_a_secret_in_an_address_is_not_told() {
        for address in [
            "https://user:secret@host/x",
            "https://secret@host:81/x",
            "http://user:sec@secret@host",
            "https://host/x?sig=secret",
            "s3://key:secret@bucket/x",
            "s3://key:sec/secret@bucket/x",
            "az://container/x?sv=1&sig=secret#secret",
            "abfss://container:secret@me.dfs.core.windows.net/x",
            "https://user:secret@host/x.zip|zip:a",
            "https://user:secret@host:port/x",
            "s3://bu cket/x?sig=secret",
        ] {
            let error = parse(address, &RemoteOptions::default()).map(|_| ()).unwrap_err();
            let parsed = crate::store::Address::parse(address).unwrap_err();
            for error in [error, parsed] {
                assert_eq!(error.kind(), Kind::InvalidArgument, "{address}: {error}");
                assert!(!format!("{error} {error:?}").contains("secret"), "{address}: {error:?}");
            }
        }
        let container = "abfss://container@me.dfs.core.windows.net/x";
        assert_eq!(shown(container), container);
        assert_eq!(shown("https://u:p@host:81/a@b?c"), "https://host:81/a@b");
        assert_eq!(shown("a?b"), "a?b");
    }
}
