//! Many who ask at the same time.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use units::Stopwatch;

use crate::samples::Samples;

/// Somebody who asks and waits for the answer.
pub(crate) trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Lets every client make so many calls, all at the same time; returns their times and calls a second.
pub(crate) async fn run<C: Caller>(clients: Vec<C>, calls: usize) -> Result<(Samples, f64)> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            for _ in 0..calls / 10 {
                client.call().await?;
            }
            let (mut samples, whole) = (Samples::default(), Stopwatch::start());
            for _ in 0..calls {
                let took = Stopwatch::start();
                client.call().await?;
                samples.add(took.elapsed());
            }
            Ok::<_, anyhow::Error>((samples, whole.elapsed()))
        });
    }
    let (mut all, mut longest) = (Samples::default(), Duration::ZERO);
    while let Some(done) = tasks.join_next().await {
        let (samples, took) = done??;
        all.extend(samples);
        longest = longest.max(took);
    }
    let count = f64::from(u32::try_from(all.len()).unwrap_or(u32::MAX));
    Ok((all, count / longest.as_secs_f64()))
}
