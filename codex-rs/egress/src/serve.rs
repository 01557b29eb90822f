//! The proxy: connections of clients, and what becomes of each request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use codex_http::{Activity, Watched};
use codex_protocol::decision::{Effect, Rule, rule};
use codex_protocol::gate;
use codex_protocol::hosts;
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::RecordError;
use codex_protocol::request::{NetworkRead, Requested as _};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::approval;
use crate::body::{Reply, Streamed};
use crate::environment;
use crate::inspect::{self, MAX_HEAD, Via};
use crate::origin::{self, Origins, Unreached, Way};
use crate::reply;
use crate::session::{EgressError, Options, Session};

/// Bytes that are encrypted ahead of what the client's socket takes.
const TLS_BUFFER: usize = 64 << 10;
/// Headers that a request may have.
const MAX_HEADERS: usize = 100;

/// A running proxy. Dropping it ends every connection.
pub struct Proxy {
    session: Arc<Session>,
    directory: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Serves whoever connects to `listener`, which only the sandboxed tree should be able to.
    /// Runs on a thread of its own.
    ///
    /// # Errors
    /// [`EgressError`] says what is missing; nothing is allowed then.
    pub fn start(
        listener: TcpListener,
        permissions: Arc<Permissions>,
        options: Options,
    ) -> Result<Self, EgressError> {
        let address = listener.local_addr();
        let shown = address
            .as_ref()
            .map_or_else(|_| "?".to_owned(), ToString::to_string);
        let listen = |cause| EgressError::Listen {
            address: shown.clone(),
            cause,
        };
        let address = address.map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let directory = options.directory.clone();
        let session = Arc::new(Session::new(address, permissions, options)?);
        environment::write_bundle(&directory, &session.roots, session.authority.pem()).map_err(
            |cause| EgressError::Bundle {
                directory: directory.clone(),
                cause,
            },
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(listen)?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&session);
        let thread = std::thread::Builder::new()
            .name("codex-egress".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, shared) => {}
                        _ = stopped => {}
                    }
                });
                // A lookup of a name may hang in the platform's resolver: it is not waited for.
                runtime.shutdown_background();
            })
            .map_err(listen)?;
        Ok(Self {
            session,
            directory,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.session.address
    }

    /// The session's certificate authority, as PEM.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        self.session.authority.pem()
    }

    /// The variables by which a command's programs find and trust the proxy, and keep their caches
    /// in the run's directory.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let pass = self.session.pass.as_ref();
        environment::variables(&self.directory, self.address(), pass, |_| true)
    }

    /// Waits for a record that could not be written. From then on the proxy refuses everything, and
    /// the run must end.
    pub fn lost(&self) -> impl Future<Output = RecordError> + Send + use<> {
        let mut lost = self.session.lost.subscribe();
        async move {
            if let Ok(lost) = lost.wait_for(Option::is_some).await
                && let Some(error) = lost.as_ref()
            {
                return error.clone();
            }
            // The proxy ended without one.
            std::future::pending().await
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own hook; nothing can be done about it here.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, session: Arc<Session>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let free = Arc::new(Semaphore::new(session.limits.connections));
    let requests = Arc::new(AtomicU64::new(0));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: some come free as connections end.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        // Only latency is lost where it cannot be set.
        let _ = stream.set_nodelay(true);
        let activity = Activity::new();
        let client = Arc::new(Client {
            session: Arc::clone(&session),
            via: Via::Port,
            origins: Origins::default(),
            requests: Arc::clone(&requests),
            activity: activity.clone(),
            unproved: Mutex::default(),
            _permit: Arc::new(permit),
        });
        let stream = Watched { stream, activity };
        tokio::spawn(serve_http1(client, TokioIo::new(stream)));
    }
}

/// One connection of a client, or what runs in its CONNECT.
struct Client {
    session: Arc<Session>,
    via: Via,
    origins: Origins,
    requests: Arc<AtomicU64>,
    /// Of the connection to the proxy's port, also for what runs in its CONNECT.
    activity: Activity,
    /// A request without the run's pass, until the same connection shows it.
    unproved: Mutex<Option<NetworkRead>>,
    /// Held as long as anything of the connection is.
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Client {
    /// Waits until the client's connection has stood still for longer than any answer may take.
    async fn abandoned(&self) {
        let limits = &self.session.limits;
        let whole = limits.approval + limits.connect + limits.answer + limits.idle;
        self.activity.stopped(whole).await;
    }
}

async fn serve_http1<S>(client: Arc<Client>, stream: TokioIo<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let client = Arc::clone(&client);
        service_fn(move |request| answer(Arc::clone(&client), request))
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(client.session.limits.head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(stream, service)
        .with_upgrades();
    let served = tokio::select! {
        served = serving => served,
        () = client.abandoned() => Ok(()),
    };
    client.leave();
    if let Err(error) = served
        && (error.is_parse() || error.is_parse_too_large())
    {
        let why = format!("the request cannot be read ({error})");
        if let Err(error) = client.refuse(client.unread(), rule::NET_REQUEST, &why) {
            client.session.lose(error);
        }
    }
}

/// What becomes of one request. Never an error: a refusal is an answer.
async fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let target = {
        let (read, _) = inspect::inspect(&client.via, &request);
        client
            .session
            .permissions
            .recorder()
            .mask(&read.view().target())
    };
    Ok(client.answer(request).await.unwrap_or_else(|error| {
        // No record, no act. The reason names a file of the person's, which is not the client's.
        client.session.lose(error);
        let why = "the request cannot be recorded, and what is not recorded is not done";
        reply::failed(StatusCode::SERVICE_UNAVAILABLE, "no_record", why, &target)
    }))
}

impl Client {
    /// Stands for a request of which nothing could be read.
    fn unread(&self) -> NetworkRead {
        let (https, host, port) = match &self.via {
            Via::Port => (false, "invalid".to_owned(), 80),
            Via::Intercepted { host, port, .. } => (true, host.clone(), *port),
        };
        NetworkRead {
            method: "?".to_owned(),
            https,
            host,
            port,
            path: "/".to_owned(),
            query: None,
        }
    }

    fn refuse(
        &self,
        read: NetworkRead,
        rule: Rule,
        why: &str,
    ) -> Result<Response<Reply>, RecordError> {
        let permissions = &self.session.permissions;
        let target = permissions.recorder().mask(&read.view().target());
        let decision = permissions.refuse(read, rule, why)?;
        let reason = permissions.recorder().mask(&decision.explanation());
        Ok(reply::denied(&decision, &target, &reason))
    }

    async fn answer(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Reply>, RecordError> {
        if let Some(error) = self.session.lost.borrow().as_ref() {
            return Err(error.clone());
        }
        let (read, fault) = inspect::inspect(&self.via, &request);
        if !self.proves_itself(&request) {
            let target = self
                .session
                .permissions
                .recorder()
                .mask(&read.view().target());
            let mut unproved = self.unproved.lock().unwrap_or_else(PoisonError::into_inner);
            *unproved = Some(read);
            return Ok(reply::unproved(&target));
        }
        if let Some(fault) = fault {
            return self.refuse(
                read,
                rule::NET_REQUEST,
                &format!("the request is refused: {fault}"),
            );
        }
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.session.limits.requests {
            let why = "the session has used up its number of requests";
            return self.refuse(read, rule::NET_REQUEST, why);
        }
        let declared = request.body().size_hint().lower();
        if declared > self.session.limits.request_bytes {
            let why = "what the request sends is longer than the proxy's limit";
            return self.refuse(read, rule::NET_REQUEST, why);
        }
        self.session.pace.turn().await;
        let permissions = &self.session.permissions;
        if read.method == "CONNECT" {
            let upgrade = hyper::upgrade::on(&mut request);
            return match gate::decide(permissions.policy(), read.view()).effect {
                Effect::Allow => self.tunnel(read, upgrade).await,
                // What runs in it is judged request by request, with method and path.
                Effect::Ask | Effect::Deny => {
                    tokio::spawn(intercept(Arc::clone(self), read, upgrade));
                    Ok(reply::connected())
                }
            };
        }
        let target = permissions.recorder().mask(&read.view().target());
        let authorized = match approval::authorize(&self.session, read.clone()).await {
            Ok(authorized) => authorized,
            Err(NotPermitted::NoRecord(error)) => return Err(error),
            Err(NotPermitted::Denied { decision, .. }) => {
                let reason = permissions.recorder().mask(&decision.explanation());
                return Ok(reply::denied(&decision, &target, &reason));
            }
        };
        // The intent stands in the log before a byte is sent, the look-up of the name included.
        permissions.record(authorized, None)?;
        let way = match self.way(&read).await {
            Ok(way) => way,
            Err(unreached) => return self.unreached(read, unreached, &target),
        };
        let request = outbound(request, &read).map(|body| {
            let limits = &self.session.limits;
            Reply::Stream(Streamed::new(body, limits.request_bytes, limits.idle))
        });
        match self.origins.send(&self.session, &read, &way, request).await {
            Ok(response) => Ok(self.inbound(response)),
            Err(unreached) => self.unreached(read, unreached, &target),
        }
    }

    /// Whether a request on the proxy's port shows the run's pass.
    fn proves_itself(&self, request: &Request<Incoming>) -> bool {
        let (Via::Port, Some(pass)) = (&self.via, &self.session.pass) else {
            return true;
        };
        let shown = request.headers().get(header::PROXY_AUTHORIZATION);
        let proved = shown.is_some_and(|value| pass.is_shown_by(value.as_bytes()));
        if proved {
            *self.unproved.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        proved
    }

    /// Records a request that stayed without the run's pass when its connection ends.
    fn leave(&self) {
        let unproved = {
            let mut unproved = self.unproved.lock().unwrap_or_else(PoisonError::into_inner);
            unproved.take()
        };
        let Some(read) = unproved else { return };
        let why = "the request does not show the credentials of this run";
        if let Err(error) = self.refuse(read, rule::NET_REQUEST, why) {
            self.session.lose(error);
        }
    }

    async fn way(&self, read: &NetworkRead) -> Result<Way, Unreached> {
        let way = origin::way(&self.session, read);
        tokio::time::timeout(self.session.limits.connect, way)
            .await
            .unwrap_or(Err(Unreached::Slow))
    }

    fn unreached(
        &self,
        read: NetworkRead,
        unreached: Unreached,
        target: &str,
    ) -> Result<Response<Reply>, RecordError> {
        Ok(match unreached {
            Unreached::Address(why) => return self.refuse(read, rule::NET_ADDRESS, why),
            Unreached::Failed(why) => {
                reply::failed(StatusCode::BAD_GATEWAY, "unreachable", &why, target)
            }
            Unreached::Slow => {
                let why = "the host took too long";
                reply::failed(StatusCode::GATEWAY_TIMEOUT, "timeout", why, target)
            }
        })
    }

    fn inbound(&self, response: Response<Incoming>) -> Response<Reply> {
        let limits = &self.session.limits;
        let (mut head, body) = response.into_parts();
        inspect::strip(&mut head.headers);
        head.version = Version::default();
        let body = Streamed::new(body, limits.response_bytes, limits.idle);
        Response::from_parts(head, Reply::Stream(body))
    }

    /// A tunnel that the person granted: recorded as one, since nobody sees what runs in it.
    async fn tunnel(
        self: &Arc<Self>,
        read: NetworkRead,
        upgrade: OnUpgrade,
    ) -> Result<Response<Reply>, RecordError> {
        let permissions = &self.session.permissions;
        let target = permissions.recorder().mask(&read.view().target());
        let detail = serde_json::json!({ "tunnel": true });
        match permissions.require_unasked(read.clone(), Some(detail)) {
            Ok(_) => {}
            Err(NotPermitted::NoRecord(error)) => return Err(error),
            Err(NotPermitted::Denied { decision, .. }) => {
                let reason = permissions.recorder().mask(&decision.explanation());
                return Ok(reply::denied(&decision, &target, &reason));
            }
        }
        let way = match self.way(&read).await {
            Ok(way) => way,
            Err(unreached) => return self.unreached(read, unreached, &target),
        };
        let limits = self.session.limits;
        let connecting = origin::tunnel(&self.session, &read, &way);
        let connected = tokio::time::timeout(limits.connect, connecting);
        let mut host = match connected.await.unwrap_or(Err(Unreached::Slow)) {
            Ok(stream) => stream,
            Err(unreached) => return self.unreached(read, unreached, &target),
        };
        // Keeps the connection's permit until the tunnel ends.
        let outer = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(client) = upgrade.await else { return };
            let mut client = TokioIo::new(client);
            tokio::select! {
                // Either side may end it at any time; there is nobody to tell.
                _ = tokio::io::copy_bidirectional(&mut client, &mut host) => {}
                () = outer.activity.stopped(limits.idle) => {}
            }
        });
        Ok(reply::connected())
    }
}

/// Speaks TLS to the client in the host's name, and judges what comes out of it.
/// Boxed, since it serves requests and a request may lead to it.
fn intercept(
    outer: Arc<Client>,
    connect: NetworkRead,
    upgrade: OnUpgrade,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(intercepted(outer, connect, upgrade))
}

async fn intercepted(outer: Arc<Client>, connect: NetworkRead, upgrade: OnUpgrade) {
    let session = Arc::clone(&outer.session);
    let accepted = async {
        let upgraded: Upgraded = upgrade.await.map_err(|error| error.to_string())?;
        let config = session
            .authority
            .server_config(&connect.host)
            .map_err(|error| error.to_string())?;
        TlsAcceptor::from(config)
            .accept(TokioIo::new(upgraded))
            .await
            .map_err(|error| error.to_string())
    };
    let accepted = tokio::time::timeout(session.limits.head, accepted).await;
    let stream = match accepted.unwrap_or_else(|_| Err("it took too long".to_owned())) {
        Ok(mut stream) => {
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
            stream
        }
        Err(error) => {
            let why = format!(
                "the client did not complete TLS with the session's certificate authority ({error}); where it pins the host's certificate, --allow-tunnel {} grants the host as a tunnel",
                hosts::rule_at(&connect.host, connect.port)
            );
            if let Err(error) = outer.refuse(connect, rule::NET_TUNNEL, &why) {
                session.lose(error);
            }
            return;
        }
    };
    let (_, tls) = stream.get_ref();
    let other_name = tls
        .server_name()
        .is_some_and(|name| !name.eq_ignore_ascii_case(&connect.host));
    let h2 = tls.alpn_protocol() == Some(b"h2");
    let client = Arc::new(Client {
        via: Via::Intercepted {
            host: connect.host,
            port: connect.port,
            other_name,
        },
        origins: Origins::default(),
        requests: Arc::clone(&outer.requests),
        activity: outer.activity.clone(),
        unproved: Mutex::default(),
        _permit: Arc::clone(&outer._permit),
        session,
    });
    drop(outer);
    if !h2 {
        return serve_http1(client, TokioIo::new(stream)).await;
    }
    let limits = client.session.limits;
    let watched = Arc::clone(&client);
    let service = service_fn(move |request| answer(Arc::clone(&client), request));
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // What is no HTTP/2 ends the connection; every stream that became a request has its record.
        _ = serving => {}
        () = watched.abandoned() => {}
    }
}

/// The request as the host gets it: nothing of the client's connection, and one Host.
fn outbound(mut request: Request<Incoming>, read: &NetworkRead) -> Request<Incoming> {
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
    *request.version_mut() = Version::HTTP_11;
    let has_body = *request.method() == Method::POST;
    let headers = request.headers_mut();
    inspect::strip(headers);
    if !has_body {
        headers.remove(header::CONTENT_LENGTH);
    }
    let host = match read.host.contains(':') {
        true => format!("[{}]", read.host),
        false => read.host.clone(),
    };
    let host = match (read.https, read.port) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    };
    if let Ok(value) = HeaderValue::from_str(&host) {
        headers.insert(header::HOST, value);
    }
    request
}
