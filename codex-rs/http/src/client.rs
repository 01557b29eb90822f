//! Sending a request.

use std::fmt;
use std::sync::Arc;

use crate::HttpError;
use crate::connect::connect;
use crate::pool::{Connection, Pool, Route};
use crate::proxy::{Proxy, ProxySettings};
use crate::request::{Payload, Request};
use crate::response::Response;
use crate::tls::{Tls, TrustRoots};

/// What a [`Client`] needs to know about its surroundings.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// The proxies to use.
    pub proxy: ProxySettings,
    /// The certificate authorities to trust.
    pub roots: TrustRoots,
}

/// An HTTP/1.1 client. Clones share their waiting connections and TLS set-up.
///
/// It works on any tokio runtime with I/O and time enabled, and spawns no task.
/// Looking a name up uses the runtime's blocking pool: end a runtime with
/// `shutdown_background` where a hanging resolver must not delay the exit.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    proxy: ProxySettings,
    tls: Tls,
    pool: Arc<Pool>,
}

impl Client {
    /// A client that has done nothing yet: no file read, no TLS built.
    pub fn new(options: ClientOptions) -> Self {
        Self(Arc::new(Shared {
            proxy: options.proxy,
            tls: Tls::new(options.roots),
            pool: Arc::default(),
        }))
    }

    /// Sends `request` and waits for the response's headers. Any status is a
    /// response, redirects and errors included. Dropping the future, or the
    /// response it gives, cancels the request and closes its connection.
    ///
    /// # Errors
    /// Every kind of [`HttpError`]. A request on a kept connection is sent
    /// again on a new one only if none of it had been sent; everything else is
    /// the caller's to repeat (see [`HttpError::is_transient`]).
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let proxy = self.0.proxy.proxy_for(&request.endpoint)?;
        let forwarded = match &proxy {
            Some(proxy) if !request.endpoint.https => Some(proxy.credentials.as_ref()),
            _ => None,
        };
        let mut message = request.message(forwarded)?;
        let route = Route {
            target: request.endpoint.clone(),
            proxy: proxy.as_ref().map(|proxy| proxy.endpoint.clone()),
        };
        while let Some(connection) = self.0.pool.take(&route).await {
            match self.exchange(connection, &request, &route, message).await? {
                Exchange::Answered(response) => return Ok(response),
                Exchange::NotSent(returned) => message = returned,
            }
        }
        let connection = self.open(&request, proxy.as_ref()).await?;
        match self.exchange(connection, &request, &route, message).await? {
            Exchange::Answered(response) => Ok(response),
            Exchange::NotSent(_) => Err(HttpError::Cut {
                target: request.endpoint.to_string(),
            }),
        }
    }

    async fn open(
        &self,
        request: &Request,
        proxy: Option<&Proxy>,
    ) -> Result<Connection, HttpError> {
        let target = request.endpoint.to_string();
        let connecting = connect(&request.endpoint, proxy, &self.0.tls);
        let stream = tokio::time::timeout(request.connect_timeout, connecting)
            .await
            .map_err(|_| HttpError::ConnectTimeout {
                target: target.clone(),
                after: request.connect_timeout,
            })??;
        Connection::open(stream, &target).await
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: &Request,
        route: &Route,
        message: hyper::Request<Payload>,
    ) -> Result<Exchange, HttpError> {
        let target = request.endpoint.to_string();
        let waiting = connection.sender.try_send_request(message);
        match connection.drive(request.idle_timeout, waiting).await {
            None => Err(HttpError::IdleTimeout {
                target,
                after: request.idle_timeout,
            }),
            Some(Ok(answer)) => Ok(Exchange::Answered(Response::new(
                answer,
                connection,
                request.idle_timeout,
                route.clone(),
                Arc::clone(&self.0.pool),
            ))),
            Some(Err(mut error)) => match error.take_message() {
                Some(message) => Ok(Exchange::NotSent(message)),
                None => Err(HttpError::from_hyper(error.error(), &target)),
            },
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("proxy", &self.0.proxy)
            .finish_non_exhaustive()
    }
}

enum Exchange {
    Answered(Response),
    /// The connection was gone before anything of the message was written.
    NotSent(hyper::Request<Payload>),
}
