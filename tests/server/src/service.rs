//! Requests and answers.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat::Millis, Utc};
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED, RANGE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::TcpListener;

use super::fault::{Fault, Rule};
use super::objects::{Condition, Meta, Object, Objects, tag};
use super::{State, lock};

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Bucket and key.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// The range asked for, as it was sent.
    pub range: Option<String>,
    /// The status it was answered with; 0 for no answer.
    pub status: u16,
}

type Body = BoxBody<Bytes, io::Error>;
type Answer = Response<Body>;

/// The most objects of one page of a listing.
const PAGE: usize = 1000;

/// Serves connections for ever.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _counted = state.connections.one();
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            let io = TokioIo::new(stream);
            // What a client does to its connection is its own business.
            let _ =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service).await;
        });
    }
}

/// A whole body.
fn full(bytes: impl Into<Bytes>) -> Body {
    let never = |impossible: Infallible| match impossible {};
    Full::new(bytes.into()).map_err(never).boxed()
}

fn with(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    answer
}

fn failure(status: StatusCode, code: &str) -> Answer {
    // Clients look for these words.
    let message = if code == "InvalidRange" {
        "<Message>The requested range is not satisfiable</Message>"
    } else {
        ""
    };
    with(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code>{message}</Error>"))
}

/// What the orders make of a request: how long it takes, and what befalls it.
fn orders(state: &State, method: &Method, path: &str) -> (Duration, Option<Fault>) {
    let mut orders = lock(&state.orders);
    orders.chance = orders.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let drawn = orders.chance >> 33;
    let latency = orders.latency;
    let fits = |rule: &&mut Rule| {
        rule.times != Some(0)
            && rule.method.as_ref().is_none_or(|wanted| wanted == method.as_str())
            && path.contains(&rule.path)
    };
    let rule = orders.rules.iter_mut().find(fits);
    let Some(rule) = rule.filter(|rule| drawn.is_multiple_of(rule.one_in)) else {
        return (latency, None);
    };
    if let Some(times) = &mut rule.times {
        *times -= 1;
    }
    (latency, Some(rule.fault))
}

/// The most bytes that are made room for because a client says that it will send them.
const ROOM: u64 = 1 << 30;

/// A whole body, in one run of memory from the start.
async fn received(mut body: Incoming) -> Result<Bytes, io::Error> {
    let room = body.size_hint().exact().unwrap_or(0).min(ROOM);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

/// Answers a request; an error closes the connection.
async fn answer(state: Arc<State>, request: http::Request<Incoming>) -> Result<Answer, io::Error> {
    let (parts, body) = request.into_parts();
    let path = percent_decode_str(parts.uri.path().trim_start_matches('/')).decode_utf8_lossy();
    let path = path.into_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = received(body).await?;
    if let Some(path) = path.strip_prefix("__control/objects/") {
        return Ok(act(&state, &parts.method, (path, &query), &parts.headers, body));
    }
    if let Some(order) = path.strip_prefix("__control/") {
        return Ok(control(&state, order, &body));
    }
    let _counted = state.answering.one();
    let (latency, fault) = orders(&state, &parts.method, &format!("{path}?{query}"));
    tokio::time::sleep(latency).await;
    let note = |status: u16| {
        let range = parts.headers.get("range").and_then(|range| range.to_str().ok());
        let (method, range) = (parts.method.to_string(), range.map(str::to_owned));
        let (path, query) = (path.clone(), query.clone());
        lock(&state.requests).push(Request { method, path, query, range, status });
    };
    let act =
        |headers: &HeaderMap| act(&state, &parts.method, (&path, &query), headers, body.clone());
    let done = || {
        let folders =
            (fault == Some(Fault::Foldered)).then(|| folder(&state, &parts.method, &path));
        folders.flatten().unwrap_or_else(|| without(fault, &parts.headers, act))
    };
    match befallen(fault, done).await {
        Ok((answer, late)) => {
            // Whoever asked may not wait for it.
            note(answer.status().as_u16());
            tokio::time::sleep(late).await;
            Ok(answer)
        }
        Err(closed) => {
            note(0);
            Err(closed)
        }
    }
}

/// What a request comes to if this befalls it, and how late; an error closes the connection.
async fn befallen(
    fault: Option<Fault>,
    done: impl Fn() -> Answer,
) -> Result<(Answer, Duration), io::Error> {
    let closed = || io::Error::new(io::ErrorKind::ConnectionAborted, "as ordered");
    let answer = match fault {
        None | Some(Fault::Untagged | Fault::Rangeless | Fault::Foldered) => done(),
        Some(Fault::Status(status)) => failure(status_of(status)?, "Ordered"),
        Some(Fault::Told(status, code)) => failure(status_of(status)?, code),
        Some(Fault::Done(status)) => {
            drop(done());
            failure(status_of(status)?, "Ordered")
        }
        Some(Fault::Endless(status)) => {
            let mut answer = endless();
            *answer.status_mut() = status_of(status)?;
            answer
        }
        Some(Fault::Slow(milliseconds)) => slowly(done(), milliseconds).await?,
        Some(Fault::Refused) => return Err(closed()),
        Some(Fault::Lost) => {
            drop(done());
            return Err(closed());
        }
        Some(Fault::Truncated(length)) => cut(done(), length).await?,
        Some(Fault::ErrorDocument) => failure(StatusCode::OK, "InternalError"),
        Some(Fault::Stalled(milliseconds)) => {
            return Ok((done(), Duration::from_millis(milliseconds)));
        }
    };
    Ok((answer, Duration::ZERO))
}

/// What a server of WebDAV says of folders: the answer, unless there is something to do.
fn folder(state: &State, method: &Method, path: &str) -> Option<Answer> {
    let mut objects = lock(&state.objects);
    let (is_made, is_put) = (method.as_str() == "MKCOL", *method == Method::PUT);
    match objects.has_folder_of(path) {
        false if is_made || is_put => Some(failure(StatusCode::CONFLICT, "NoFolder")),
        true if is_made && objects.make_folder(path) => Some(with(StatusCode::CREATED, "")),
        true if is_made => Some(failure(StatusCode::METHOD_NOT_ALLOWED, "FolderExists")),
        _ => None,
    }
}

fn status_of(number: u16) -> Result<StatusCode, io::Error> {
    StatusCode::from_u16(number).map_err(io::Error::other)
}

/// The answer to a request with these headers of a server that lacks what the fault says.
fn without(
    fault: Option<Fault>,
    headers: &HeaderMap,
    act: impl FnOnce(&HeaderMap) -> Answer,
) -> Answer {
    let mut headers = headers.clone();
    if fault == Some(Fault::Rangeless) {
        headers.remove(RANGE);
    }
    let mut answer = act(&headers);
    if fault == Some(Fault::Untagged) {
        answer.headers_mut().remove(ETAG);
    }
    answer
}

/// The answer with a body that ends early.
async fn cut(answer: Answer, length: usize) -> Result<Answer, io::Error> {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    if bytes.len() <= length {
        return Ok(Response::from_parts(parts, full(bytes)));
    }
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let frames = [
        Ok(Frame::data(bytes.slice(..length))),
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "as ordered")),
    ];
    Ok(Response::from_parts(parts, BodyExt::boxed(StreamBody::new(stream::iter(frames)))))
}

/// An answer whose body has a beginning only.
fn endless() -> Answer {
    let beginning = stream::iter([Ok(Frame::data("<Error>".into()))]);
    Response::new(BodyExt::boxed(StreamBody::new(beginning.chain(stream::pending()))))
}

/// The answer with a body that comes by the byte.
async fn slowly(answer: Answer, milliseconds: u64) -> Result<Answer, io::Error> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let frames = stream::unfold(bytes, move |mut rest| async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        let frame = (!rest.is_empty()).then(|| Frame::data(rest.split_to(1)))?;
        Some((Ok(frame), rest))
    });
    Ok(Response::from_parts(parts, BodyExt::boxed(StreamBody::new(frames))))
}

/// Orders that come over the network, from tests in other languages.
fn control(state: &State, order: &str, body: &Bytes) -> Answer {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    match order {
        "orders" => {
            let mut orders = lock(&state.orders);
            orders.latency = Duration::from_millis(asked["latency"].as_u64().unwrap_or(0));
            let rules = asked["rules"].as_array().into_iter().flatten();
            orders.rules = rules.filter_map(Rule::from_json).collect();
            with(StatusCode::OK, "")
        }
        "requests" => {
            let requests = std::mem::take(&mut *lock(&state.requests));
            let json = |request: &Request| {
                serde_json::json!([
                    request.method,
                    request.path,
                    request.query,
                    request.range,
                    request.status
                ])
            };
            with(StatusCode::OK, Value::from_iter(requests.iter().map(json)).to_string())
        }
        "gauges" => {
            let (answering, connections) = (&state.answering, &state.connections);
            let counts = serde_json::json!({
                "answering": answering.now.load(Ordering::SeqCst),
                "most_at_once": answering.most.swap(0, Ordering::SeqCst),
                // Beside the one that asks.
                "connections": connections.now.load(Ordering::SeqCst) - 1,
            });
            with(StatusCode::OK, counts.to_string())
        }
        "uploads" => with(StatusCode::OK, lock(&state.objects).open_uploads().to_string()),
        "clear" => {
            *lock(&state.objects) = Objects::default();
            with(StatusCode::OK, "")
        }
        _ => with(StatusCode::NOT_FOUND, ""),
    }
}

/// The value of a parameter.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Does what a request asks for.
fn act(
    state: &State,
    method: &Method,
    (path, query): (&str, &str),
    headers: &HeaderMap,
    body: Bytes,
) -> Answer {
    if path.split_once('/').is_none_or(|(_, key)| key.is_empty()) {
        return bucket(state, method, (path.trim_end_matches('/'), query), &body);
    }
    let mut objects = lock(&state.objects);
    if let Some(upload) = parameter(query, "uploadId").and_then(|id| id.parse().ok()) {
        return in_parts(&mut objects, method, (path, query), upload, body);
    }
    if *method == Method::PUT
        && let Some(kind) = parameter(query, "comp")
    {
        return in_blocks(&mut objects, (path, query), &kind, headers, body);
    }
    match *method {
        Method::GET | Method::HEAD => match objects.get(path) {
            Some(object) => get(object.clone(), method, headers),
            None => failure(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        Method::PUT => {
            let source = headers.get("x-amz-copy-source").and_then(|value| value.to_str().ok());
            if let Some(source) = source {
                return copy(&mut objects, source, path);
            }
            match objects.put(path, (body, meta_of(headers)), &condition_of(headers)) {
                Some(generation) => stored(generation, ""),
                None => failure(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            }
        }
        Method::POST => {
            let id = objects.begin(meta_of(headers));
            let document = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
                 </InitiateMultipartUploadResult>"
            );
            with(StatusCode::OK, document)
        }
        Method::DELETE => match objects.delete(path) || !is_google(headers) {
            true => with(StatusCode::NO_CONTENT, ""),
            false => failure(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        _ => failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

/// Whether a client speaks to Google's service, which knows who it is by a token: the few answers
/// that differ from Amazon's are as there.
fn is_google(headers: &HeaderMap) -> bool {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    authorization.is_some_and(|text| text.starts_with("Bearer"))
}

/// The condition of a put, in the words of either service.
fn condition_of(headers: &HeaderMap) -> Condition {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(generation) = header("x-goog-if-generation-match") {
        return match generation.parse() {
            Ok(0) => Condition::Absent,
            Ok(generation) => Condition::Generation(generation),
            // No object has it.
            Err(_) => Condition::Generation(0),
        };
    }
    match (header("if-match"), header("if-none-match")) {
        (Some(tag), _) => Condition::Tag(quoted(tag)),
        (None, Some(_)) => Condition::Absent,
        (None, None) => Condition::None,
    }
}

/// A tag as it is kept; clients may leave the quotes away.
fn quoted(tag: &str) -> String {
    format!("\"{}\"", tag.trim_matches('"'))
}

/// Copies an object, whatever its conditions.
fn copy(objects: &mut Objects, source: &str, path: &str) -> Answer {
    let source = percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy();
    let Some(object) = objects.get(&source).cloned() else {
        return failure(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let generation = objects.put(path, (object.bytes, object.meta), &Condition::None);
    let tag = escaped(&tag(generation.unwrap_or_default()));
    with(StatusCode::OK, format!("<CopyObjectResult><ETag>{tag}</ETag></CopyObjectResult>"))
}

/// Does what is asked of an upload in parts.
fn in_parts(
    objects: &mut Objects,
    method: &Method,
    (path, query): (&str, &str),
    upload: u64,
    body: Bytes,
) -> Answer {
    let answer = match *method {
        Method::PUT => {
            let number = parameter(query, "partNumber").and_then(|number| number.parse().ok());
            let number = number.filter(|&number| objects.add(upload, number, body));
            number.map(|number| tagged(&format!("\"{upload}-{number}\""), ""))
        }
        Method::POST => objects.complete(upload, path).map(|generation| {
            let tag = escaped(&tag(generation));
            let document = format!(
                "<CompleteMultipartUploadResult><ETag>{tag}</ETag>\
                 </CompleteMultipartUploadResult>"
            );
            stored(generation, &document)
        }),
        _ => objects.call_off(upload).then(|| with(StatusCode::NO_CONTENT, "")),
    };
    answer.unwrap_or_else(|| failure(StatusCode::NOT_FOUND, "NoSuchUpload"))
}

/// Does what is asked of an object in Azure's blocks.
fn in_blocks(
    objects: &mut Objects,
    (path, query): (&str, &str),
    kind: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Answer {
    if kind == "block" {
        objects.add_block(path, parameter(query, "blockid").unwrap_or_default(), body);
        return with(StatusCode::CREATED, "");
    }
    let document = String::from_utf8_lossy(&body);
    let names = document.split("<Uncommitted>").skip(1);
    let names = names.filter_map(|rest| Some(rest.split_once('<')?.0.to_owned()));
    match objects.join_blocks(path, &names.collect::<Vec<_>>(), meta_of(headers)) {
        Some(generation) => stored(generation, ""),
        None => failure(StatusCode::BAD_REQUEST, "InvalidBlockList"),
    }
}

/// What the names begin with of what a client keeps beside the bytes of an object.
const META: [&str; 3] = ["x-amz-meta-", "x-goog-meta-", "x-ms-meta-"];

fn meta_of(headers: &HeaderMap) -> Meta {
    let is_meta = |name: &str| META.iter().any(|start| name.starts_with(start));
    let meta = headers.iter().filter(|(name, _)| is_meta(name.as_str()));
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    meta.map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn tagged(tag: &str, body: &str) -> Answer {
    let mut answer = with(StatusCode::OK, body.to_owned());
    if let Ok(tag) = tag.parse() {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

/// An answer about an object, with what tells its version in either service.
fn stored(generation: u64, body: &str) -> Answer {
    let mut answer = tagged(&tag(generation), body);
    answer.headers_mut().insert("x-goog-generation", generation.into());
    answer
}

/// The bytes that a `Range` header asks for: `None` for all of them, `Err` for none that are there.
fn range_of(header: Option<&str>, size: usize) -> Result<Option<std::ops::Range<usize>>, ()> {
    let Some(range) = header.and_then(|header| header.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let (start, end) = range.split_once('-').ok_or(())?;
    let range = match (start.parse::<usize>(), end.parse::<usize>()) {
        (Ok(start), Ok(end)) => start..size.min(end + 1),
        (Ok(start), Err(_)) => start..size,
        (Err(_), Ok(length)) => size.saturating_sub(length)..size,
        (Err(_), Err(_)) => return Err(()),
    };
    if range.start < range.end { Ok(Some(range)) } else { Err(()) }
}

/// Gives an object, or a range of it.
fn get(object: Object, method: &Method, headers: &HeaderMap) -> Answer {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("if-match").is_some_and(|tag| quoted(tag) != object.tag()) {
        return failure(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    if header("if-none-match").is_some_and(|tag| quoted(tag) == object.tag()) {
        let mut answer = stored(object.generation, "");
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    let size = object.bytes.len();
    let Ok(range) = range_of(header("range"), size) else {
        return failure(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
    };
    let wanted = range.clone().unwrap_or(0..size);
    let length = wanted.len();
    let bytes =
        if method == Method::HEAD { Bytes::new() } else { object.bytes.slice(wanted.clone()) };
    let mut answer = stored(object.generation, "");
    *answer.body_mut() = full(bytes);
    let headers = answer.headers_mut();
    for (name, value) in &object.meta {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), value.parse()) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_LENGTH, length.into());
    let changed = DateTime::<Utc>::from(object.changed).format("%a, %d %b %Y %H:%M:%S GMT");
    if let Ok(changed) = changed.to_string().parse() {
        headers.insert(LAST_MODIFIED, changed);
    }
    if range.is_some() {
        let content = format!("bytes {}-{}/{size}", wanted.start, wanted.end - 1);
        if let Ok(content) = content.parse() {
            headers.insert(CONTENT_RANGE, content);
        }
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    answer
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Lists a bucket, or deletes several of its objects.
fn bucket(state: &State, method: &Method, (bucket, query): (&str, &str), body: &Bytes) -> Answer {
    let mut objects = lock(&state.objects);
    let text = |name: &str| parameter(query, name).unwrap_or_default();
    if method == Method::POST {
        let document = String::from_utf8_lossy(body);
        let mut answer = "<DeleteResult>".to_owned();
        for rest in document.split("<Key>").skip(1) {
            let key = rest.split("</Key>").next().unwrap_or_default();
            let plain = key.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            objects.delete(&format!("{bucket}/{}", plain.replace("&amp;", "&")));
            let _ = write!(answer, "<Deleted><Key>{key}</Key></Deleted>");
        }
        answer.push_str("</DeleteResult>");
        return with(StatusCode::OK, answer);
    }
    if method != Method::GET {
        return failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
    }
    let most = text("max-keys").parse().unwrap_or(PAGE).min(PAGE);
    let prefix = format!("{bucket}/{}", text("prefix"));
    let page = objects.list(&prefix, &text("delimiter"), &text("continuation-token"), most);
    let bare = |key: &str| escaped(&key[bucket.len() + 1..]);
    let mut answer = "<?xml version=\"1.0\"?><ListBucketResult>".to_owned();
    for (key, object) in &page.objects {
        let (key, tag, size) = (bare(key), escaped(&object.tag()), object.bytes.len());
        let changed = DateTime::<Utc>::from(object.changed).to_rfc3339_opts(Millis, true);
        let _ = write!(
            answer,
            "<Contents><Key>{key}</Key><LastModified>{changed}</LastModified>\
             <ETag>{tag}</ETag><Size>{size}</Size></Contents>"
        );
    }
    for prefix in &page.prefixes {
        let prefix = bare(prefix);
        let _ = write!(answer, "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
    }
    // Some clients look at the one, some at the other.
    let _ = write!(answer, "<IsTruncated>{}</IsTruncated>", page.next.is_some());
    if let Some(next) = &page.next {
        let next = escaped(next);
        let _ = write!(answer, "<NextContinuationToken>{next}</NextContinuationToken>");
    }
    answer.push_str("</ListBucketResult>");
    with(StatusCode::OK, answer)
}
