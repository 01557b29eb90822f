//! Addresses of names, remembered for a while: a program that fetches hundreds of files asks for its
//! host's once, and a name cannot lead elsewhere from one request to the next.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::address::Resolver;

/// How long an answer counts. Resolvers do not tell us how long it would.
const KEPT: Duration = Duration::from_secs(60);
/// Names that are remembered. One more empties the memory.
const NAMES: usize = 1024;

type Answer = Option<(Instant, Vec<IpAddr>)>;

/// What a session looked up.
#[derive(Default)]
pub(crate) struct Lookup {
    names: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Answer>>>>,
}

impl Lookup {
    /// The addresses of `host`. Whoever asks while it is being looked up waits for that answer. An
    /// error is remembered by nobody.
    pub(crate) async fn resolve(
        &self,
        resolver: &dyn Resolver,
        host: &str,
    ) -> io::Result<Vec<IpAddr>> {
        let answer = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            if names.len() >= NAMES && !names.contains_key(host) {
                names.clear();
            }
            Arc::clone(names.entry(host.to_owned()).or_default())
        };
        let mut answer = answer.lock().await;
        if let Some((when, addresses)) = &*answer
            && when.elapsed() < KEPT
        {
            return Ok(addresses.clone());
        }
        let addresses = resolver.resolve(host).await?;
        *answer = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives another address each time, and none the first time.
    struct Changing(AtomicUsize);

    impl Resolver for Changing {
        fn resolve<'a>(
            &'a self,
            _: &'a str,
        ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                match self.0.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(io::ErrorKind::TimedOut.into()),
                    n => Ok(vec![[10, 0, 0, n as u8].into()]),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_a_while_and_an_error_does_not() {
        let (lookup, resolver) = (Lookup::default(), Changing(AtomicUsize::new(0)));
        assert!(lookup.resolve(&resolver, "a").await.is_err());
        let both = tokio::join!(
            lookup.resolve(&resolver, "a"),
            lookup.resolve(&resolver, "a")
        );
        let first: Vec<IpAddr> = vec![[10, 0, 0, 1].into()];
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (first.clone(), first));
        assert_eq!(resolver.0.load(Ordering::Relaxed), 2);
        tokio::time::advance(KEPT).await;
        let later: Vec<IpAddr> = vec![[10, 0, 0, 2].into()];
        assert_eq!(lookup.resolve(&resolver, "a").await.unwrap(), later);
    }
}
