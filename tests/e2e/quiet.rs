//! A host where nothing happens: the reader looks at its rings once a second then, but the next record wakes it.
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    Line, Namespace, Tool,
    traffic::{self, V4},
};

/// After this long without a transition the reader sleeps, and has looked once: it looks again nearly a second later.
const SILENCE: Duration = Duration::from_millis(3_200);
/// What a line may take: far less than until that look.
const AT_ONCE: Duration = Duration::from_millis(400);
/// How often there is silence: a reader that has been woken asks again.
const ROUNDS: u32 = 3;

#[test]
fn a_line_after_silence_comes_at_once() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["-N", &ns.inode().to_string()]);
    let mut listeners = Vec::new(); // none ends during a silence
    let took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            sleep(SILENCE); // what is tested is that nothing happens
            let began = Instant::now();
            let listener = ns.run(|| traffic::listen(V4));
            // A port of its own, so that no line of an earlier round is taken for this one.
            let port = Some(traffic::address(&listener).port());
            tool.wait_for("the listener", |text| {
                let line = Line::read(text);
                (line.netns, line.lport) == (ns.inode(), port)
            });
            let took = began.elapsed();
            listeners.push(listener);
            took
        })
        .collect();
    let _ = tool.stop();
    assert!(took.iter().all(|took| *took < AT_ONCE), "{took:?}");
}
