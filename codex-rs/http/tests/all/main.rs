//! The client against small servers on the loopback interface.

// Clippy's own exception covers test functions, not what they share.
#![allow(clippy::unwrap_used)]

mod plain;
mod proxied;
mod server;
mod tls;

use std::time::Duration;

use codex_http::{Client, ClientOptions, HttpError, Method, Request, Response};

/// Far beyond what anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

fn client() -> Client {
    Client::new(ClientOptions::default())
}

fn get(url: &str) -> Request {
    Request::new(Method::Get, url)
        .unwrap()
        .connect_timeout(PATIENCE)
        .idle_timeout(PATIENCE)
}

/// The whole body, or the error that ended it and what came before.
async fn body(response: &mut Response) -> Result<String, (String, HttpError)> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(String::from_utf8(bytes).unwrap()),
            Err(error) => return Err((String::from_utf8(bytes).unwrap(), error)),
        }
    }
}
