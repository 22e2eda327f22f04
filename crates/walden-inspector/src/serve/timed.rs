//! A connection whose client must take what it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::limits;

/// Fails a write that the client leaves waiting for too long, or that it takes only bit by bit.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    patience: Duration,
    /// When a write that waits fails.
    deadline: Pin<Box<Sleep>>,
    waiting: bool,
    /// Since when not all was taken.
    behind: Option<Instant>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        let deadline = Box::pin(sleep(patience));
        Self { stream, patience, deadline, waiting: false, behind: None }
    }

    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = false;
            return outcome;
        }
        if !self.waiting {
            self.waiting = true;
            let now = Instant::now();
            let last = *self.behind.get_or_insert(now) + self.patience * limits::BEHIND_PATIENCES;
            self.deadline.as_mut().reset(last.min(now + self.patience));
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watched(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for once all is written.
        self.behind = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A client that takes a byte each time it was waited for.
    struct Bits(Option<Pin<Box<Sleep>>>);

    impl AsyncWrite for Bits {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            let pause = || Box::pin(sleep(Duration::from_millis(10)));
            ready!(self.0.get_or_insert_with(pause).as_mut().poll(context));
            self.0 = None;
            Poll::Ready(Ok(1))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_taken_bit_by_bit_ends_as_well() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let patience = Duration::from_millis(200);
            let mut timed = Timed::new(Bits(None), patience);
            let begun = Instant::now();
            let whole = patience * limits::BEHIND_PATIENCES;
            // One who has taken all now and then may go on.
            while begun.elapsed() < whole + patience {
                poll_fn(|context| Pin::new(&mut timed).poll_write(context, b"x")).await.unwrap();
                poll_fn(|context| Pin::new(&mut timed).poll_flush(context)).await.unwrap();
            }
            let begun = Instant::now();
            let ended = loop {
                let wrote = poll_fn(|context| Pin::new(&mut timed).poll_write(context, b"x")).await;
                match wrote {
                    Ok(_) => assert!(begun.elapsed() < whole * 10, "it never ends"),
                    Err(error) => break error,
                }
            };
            assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() + patience >= whole, "{:?}", begun.elapsed());
        });
    }
}
