//! `doctor` and the settings that old recipes name; its options, its text, and what an ordinary user gets.
use std::process::Command;

use tcpstate_tests::{
    Namespace, diagnosis,
    diagnosis::Diagnosis,
    host,
    tool::{self, PublicCopy},
};

#[test]
fn changed_settings_are_found() {
    for (name, value, id, severity, headline) in [
        (
            "tcp_fin_timeout",
            "15",
            "tcp_fin_timeout",
            "info",
            "TIME_WAIT still lasts 60 s",
        ),
        ("tcp_tw_reuse", "0", "tcp_tw_reuse", "info", "never reused"),
        (
            "tcp_tw_reuse",
            "1",
            "tcp_tw_reuse",
            "info",
            "reused for outgoing connections",
        ),
        (
            "tcp_tw_reuse",
            "2",
            "tcp_tw_reuse",
            "ok",
            "on loopback only",
        ),
        (
            "tcp_syncookies",
            "0",
            "tcp_syncookies",
            "warning",
            "SYN cookies are off",
        ),
        (
            "tcp_syncookies",
            "2",
            "tcp_syncookies",
            "info",
            "always sent",
        ),
        (
            "tcp_abort_on_overflow",
            "1",
            "tcp_abort_on_overflow",
            "info",
            "are reset",
        ),
        (
            "tcp_synack_retries",
            "2",
            "tcp_synack_retries",
            "info",
            "half open for 7 s",
        ),
        (
            "tcp_syn_retries",
            "3",
            "tcp_syn_retries",
            "info",
            "tcp_syn_retries is 3",
        ),
        (
            "tcp_retries2",
            "5",
            "tcp_retries",
            "info",
            "gives up after 13 s",
        ),
        (
            "tcp_keepalive_time",
            "600",
            "tcp_keepalive",
            "info",
            "600 s, then 9 probes",
        ),
        (
            "tcp_rfc1337",
            "1",
            "tcp_rfc1337",
            "info",
            "do not end a TIME_WAIT",
        ),
    ] {
        let ns = Namespace::new();
        ns.run(|| host::set(name, value));
        let found = diagnosis::at_once(&ns);
        found.assert(id, severity, headline);
    }
}

#[test]
fn reuse_without_timestamps() {
    let ns = Namespace::new();
    ns.run(|| {
        host::set("tcp_tw_reuse", "1");
        host::set("tcp_timestamps", "0");
    });
    let found = diagnosis::at_once(&ns);
    found.assert(
        "tcp_tw_reuse",
        "warning",
        "without timestamps it does nothing",
    );
}

#[test]
fn a_recipe_of_old_is_no_setting_any_more() {
    let found = diagnosis::at_once(&Namespace::new());
    found.assert("tcp_tw_recycle", "ok", "no longer (since 4.12)");
}

#[test]
fn strict_fails_on_a_warning_only() {
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let strict = || {
        tool::run(tool::command(&[
            "doctor",
            "--strict",
            "--no-measure",
            "-N",
            &inode,
        ]))
    };
    strict().assert_status(0);
    ns.run(|| host::set("tcp_syncookies", "0"));
    let run = strict();
    run.assert_status(1);
    assert_eq!(run.stderr.len(), 1, "{run:#?}");
    assert!(run.stdout[0].starts_with("1 warning, "), "{run:#?}");
}

#[test]
fn all_namespaces_at_once() {
    let namespaces = [Namespace::new(), Namespace::new()];
    for ns in &namespaces {
        ns.run(|| host::set("tcp_fin_timeout", "7"));
    }
    let found = Diagnosis::read(&tool::run(tool::command(&[
        "doctor",
        "--json",
        "--all-netns",
        "-d",
        "1",
    ])));
    let mut those = found.findings.iter();
    let changed = those.find(|one| one.id == "tcp_fin_timeout" && one.headline.contains("is 7 s"));
    let changed = changed.expect("a finding");
    let places: Vec<u32> = changed.netns.iter().map(|place| place.netns).collect();
    for ns in &namespaces {
        assert!(places.contains(&ns.inode()), "{changed:#?}");
    }
}

#[test]
fn the_text_fits_a_terminal_and_is_coloured_only_there() {
    let ns = Namespace::new();
    ns.run(|| host::set("tcp_syncookies", "0"));
    let inode = ns.inode().to_string();
    let text = |variable: Option<&str>| {
        let mut command: Command = tool::command(&["doctor", "--no-measure", "-N", &inode]);
        command.envs(variable.map(|name| (name, "1")));
        let run = tool::run(command);
        run.assert_status(0);
        run.stdout
    };
    let plain = text(None);
    let wide: Vec<_> = plain
        .iter()
        .filter(|line| line.chars().count() > 80)
        .collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert!(!plain.concat().contains('\x1b'), "{plain:#?}");
    for title in [
        "  seen   ",
        "  why    ",
        "  do     ",
        "  don't  ",
        "  see    ",
    ] {
        let those = plain.iter().filter(|line| line.starts_with(title));
        // The one warning has no numbers beyond its headline.
        assert_eq!(
            those.count(),
            usize::from(title != "  seen   "),
            "{title}: {plain:#?}"
        );
    }
    assert!(text(Some("CLICOLOR_FORCE")).concat().contains("\x1b[1;31m"));
    assert_eq!(text(Some("NO_COLOR")), plain);
}

#[test]
fn an_ordinary_user_gets_what_can_be_read() {
    let ns = Namespace::new();
    let copy = PublicCopy::new();
    let run = ns.run(|| tool::run(copy.command_for_nobody(&["doctor", "--json", "-d", "1"])));
    let found = Diagnosis::read(&run);
    assert_eq!(
        (found.tier.as_deref(), found.warnings),
        (None, 0),
        "{found:#?}"
    );
    let [missing] = &found.missing[..] else {
        panic!("{found:#?}")
    };
    assert!(
        missing.starts_with("no measurement, so no owners and no ages: "),
        "{missing}"
    );
    assert!(missing.contains("run it as root"), "{missing}");
    found.assert("tcp_fin_timeout", "ok", "60 s");
    let grown = &found.evidence[0]["counters"]["watched"]["grown"]["ListenOverflows"];
    assert_eq!(grown, 0, "{found:#?}");
}

#[test]
fn the_plan_of_probes() {
    let run = tool::run(tool::command(&["doctor", "--probes"]));
    run.assert_status(0);
    assert!(run.stdout[0].starts_with("tier: "), "{run:#?}");
    assert!(
        run.stdout
            .iter()
            .any(|line| line.starts_with("inet_sock_set_state ")),
        "{run:#?}"
    );
}
