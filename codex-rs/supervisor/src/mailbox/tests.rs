use std::time::Duration;

use proptest::prelude::*;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

const POLICIES: [MailboxFullPolicy; 3] = [
    MailboxFullPolicy::Block,
    MailboxFullPolicy::DropOldest,
    MailboxFullPolicy::DropNew,
];

#[tokio::test]
async fn a_full_mailbox_does_as_its_policy_says() {
    for policy in POLICIES {
        let (sender, mailbox) = mailbox(2, policy);
        assert_eq!(sender.send(1).await, Sent::Delivered);
        assert_eq!(sender.send(2).await, Sent::Delivered);
        let third = timeout(Duration::from_millis(20), sender.send(3)).await;
        let (expected, left, dropped, lost) = match policy {
            MailboxFullPolicy::Block => (None, [1, 2], 0, 0),
            MailboxFullPolicy::DropOldest => (Some(Sent::DroppedOldest), [2, 3], 1, 1),
            MailboxFullPolicy::DropNew => (Some(Sent::DroppedNew), [1, 2], 1, 0),
        };
        assert_eq!(third.ok(), expected, "{policy:?}");
        assert_eq!([mailbox.take().await, mailbox.take().await], left.map(Some));
        assert_eq!(mailbox.counts().dropped, dropped, "{policy:?}");
        assert_eq!(sender.lost(), lost, "{policy:?}");
    }
}

#[tokio::test]
async fn a_waiting_sender_gets_room_or_is_told_that_nobody_reads() {
    let (sender, mailbox) = mailbox(1, MailboxFullPolicy::Block);
    sender.send("a").await;
    let waiting = tokio::spawn(async move { (sender.send("b").await, sender.send("c").await) });
    yield_now().await;
    assert_eq!(mailbox.take().await, Some("a"));
    while mailbox.is_empty() {
        yield_now().await;
    }
    yield_now().await;
    drop(mailbox);
    assert_eq!(waiting.await.unwrap(), (Sent::Delivered, Sent::Closed));
}

#[tokio::test]
async fn memory_stays_flat_under_a_flood() {
    for policy in [MailboxFullPolicy::DropOldest, MailboxFullPolicy::DropNew] {
        let (sender, mailbox) = mailbox(DEFAULT_CAPACITY, policy);
        for n in 0..100_000_u32 {
            sender.send(n).await;
            assert!(mailbox.len() <= DEFAULT_CAPACITY);
        }
        assert!(mailbox.0.inner().queue.capacity() <= 2 * DEFAULT_CAPACITY);
        assert_eq!(mailbox.counts().dropped, 100_000 - DEFAULT_CAPACITY as u64);
        let first = mailbox.take().await.unwrap();
        let expected = match policy {
            MailboxFullPolicy::DropOldest => 100_000 - DEFAULT_CAPACITY as u32,
            _ => 0,
        };
        assert_eq!(first, expected);
    }
}

/// What one sender saw.
#[derive(Default)]
struct Seen {
    delivered: u64,
    dropped_oldest: u64,
    dropped_new: u64,
    closed: u64,
    lost: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Several senders, a reader and a close at any point, in any order of steps: nothing hangs,
    /// nothing is counted twice or not at all, and order within a sender holds.
    #[test]
    fn every_message_is_accounted_for_under_any_schedule(
        policy in prop::sample::select(POLICIES.to_vec()),
        capacity in 1_usize..5,
        // For each sender: how often it lets others go first before each message.
        senders in prop::collection::vec(prop::collection::vec(0_u8..4, 0..12), 1..5),
        // The same for the reader, which reads so many messages and then closes.
        reader in prop::collection::vec(0_u8..4, 0..30),
        // Senders that are dropped in the middle of waiting, by number of steps.
        impatient in prop::collection::vec(prop::option::of(1_u8..6), 5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (first, mailbox) = mailbox::<(usize, usize)>(capacity, policy);
            let mut tasks = Vec::new();
            for (who, pauses) in senders.iter().cloned().enumerate() {
                let sender = first.clone();
                let patience = impatient[who];
                tasks.push(tokio::spawn(async move {
                    let mut seen = Seen::default();
                    for (n, pause) in pauses.into_iter().enumerate() {
                        for _ in 0..pause {
                            yield_now().await;
                        }
                        let sending = sender.send((who, n));
                        let sent = match patience {
                            None => Some(sending.await),
                            Some(steps) => tokio::select! {
                                biased;
                                sent = sending => Some(sent),
                                () = async { for _ in 0..steps { yield_now().await } } => None,
                            },
                        };
                        match sent {
                            Some(Sent::Delivered) => seen.delivered += 1,
                            Some(Sent::DroppedOldest) => seen.dropped_oldest += 1,
                            Some(Sent::DroppedNew) => seen.dropped_new += 1,
                            Some(Sent::Closed) => seen.closed += 1,
                            None => {}
                        }
                    }
                    (seen, sender)
                }));
            }
            let mut taken = Vec::new();
            let reading = async {
                for pause in &reader {
                    for _ in 0..*pause {
                        yield_now().await;
                    }
                    assert!(mailbox.len() <= capacity);
                    // What no sender is left to write is not waited for.
                    match timeout(Duration::from_secs(1), mailbox.take()).await {
                        Ok(Some(message)) => taken.push(message),
                        Ok(None) | Err(_) => break,
                    }
                }
                mailbox.close();
            };
            timeout(Duration::from_secs(3600), reading).await.expect("the reader gets on");
            let mut all = Seen::default();
            for task in tasks {
                let (seen, sender) = timeout(Duration::from_secs(3600), task).await.expect("no sender hangs").unwrap();
                all.delivered += seen.delivered;
                all.dropped_oldest += seen.dropped_oldest;
                all.dropped_new += seen.dropped_new;
                all.closed += seen.closed;
                all.lost += sender.lost();
            }
            let counts = mailbox.counts();
            assert_eq!(counts.taken, taken.len() as u64);
            assert_eq!(counts.dropped, all.dropped_oldest + all.dropped_new);
            assert_eq!(counts.sent, all.delivered + all.dropped_oldest + all.dropped_new + all.closed);
            assert_eq!(counts.sent, counts.taken + counts.dropped + counts.undelivered);
            // What its sender was told is in the mailbox was read, or counted as lost.
            assert_eq!(all.delivered + all.dropped_oldest, counts.taken + all.lost);
            assert_eq!(mailbox.len(), 0);
            for who in 0..senders.len() {
                let order: Vec<usize> = taken.iter().filter(|(w, _)| *w == who).map(|(_, n)| *n).collect();
                assert!(order.is_sorted(), "{order:?}");
            }
            if policy == MailboxFullPolicy::Block {
                assert_eq!(counts.dropped, 0);
            }
        });
    }
}
