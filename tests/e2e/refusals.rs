//! What the tool says when it cannot run: one clear line that says what to do, and the documented exit status.
use std::thread;

use nix::{errno::Errno, libc};
use tcpstate_tests::{
    Run, mounts, privilege,
    tool::{self, PublicCopy},
};

/// Failed (1), for the one reason that standard error gives in one line.
fn assert_refused(run: &Run, words: &[&str]) {
    run.assert_status(1);
    assert!(
        run.stdout.iter().all(|line| !line.contains("Error")),
        "{run:#?}"
    );
    let [line] = &run.stderr[..] else {
        panic!("one line: {run:#?}")
    };
    assert!(line.starts_with("tcpstate: "), "{run:#?}");
    for word in words {
        assert!(line.contains(word), "no {word}: {run:#?}");
    }
}

/// Bad usage (2), with words that help.
fn assert_bad_usage(args: &[&str], words: &[&str]) {
    let run = tool::run(tool::command(args));
    run.assert_status(2);
    assert!(run.stdout.is_empty(), "{run:#?}");
    let text = run.stderr.join("\n");
    for word in words {
        assert!(text.contains(word), "no {word}: {run:#?}");
    }
}

#[test]
fn without_root() {
    privilege::demand();
    let copy = PublicCopy::new();
    for args in [
        &["trace"][..],
        &["trace", "--json"],
        &["hist"],
        &["hist", "1", "1"],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let run = tool::run(copy.command_for_nobody(args));
        assert_refused(&run, &["root"]);
        assert!(run.stdout.is_empty(), "{run:#?}");
    }
}

#[test]
fn without_the_kernels_types() {
    privilege::demand();
    for args in [&["trace"], &["hist"]] {
        let run = run_without("/sys/kernel/btf", args);
        assert_refused(&run, &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
    }
}

#[test]
fn without_proc() {
    privilege::demand();
    for args in [
        &["trace"][..],
        &["hist"],
        &["life"],
        &["record", "/dev/null"],
        &["report", "-d", "1"],
        &["serve", "--listen", "127.0.0.1:0"],
        &["count", "--live"],
        &["doctor"],
        &["doctor", "--no-measure"],
        &["doctor", "--probes"],
    ] {
        let run = run_without("/proc", args);
        assert_refused(&run, &["/proc is not mounted", "mount -t proc proc /proc"]);
        assert!(run.stdout.is_empty(), "{run:#?}");
    }
    // It asks the kernel's sock_diag, and nobody else.
    let run = run_without("/proc", &["count", "ESTABLISHED"]);
    run.assert_status(0);
}

/// Runs `tcpstate ARGS` where an empty file system lies over `folder`.
fn run_without(folder: &str, args: &[&str]) -> Run {
    mounts::privately(|| {
        mounts::hide(folder);
        tool::run(tool::command(args))
    })
}

/// CAP_SYS_ADMIN stands for both, so it is missing as well.
#[test]
fn without_a_capability() {
    privilege::demand();
    for missing in [CAP_BPF, CAP_PERFMON] {
        for args in [&["trace"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let run = thread::scope(|scope| {
                let task = scope.spawn(|| {
                    give_up(missing);
                    give_up(CAP_SYS_ADMIN);
                    tool::run(tool::command(args))
                });
                task.join().expect("running the tool")
            });
            assert_refused(&run, &["CAP_BPF", "CAP_PERFMON", "sudo"]);
            assert!(run.stdout.is_empty(), "{run:#?}");
        }
    }
}

// include/uapi/linux/capability.h
const CAP_SYS_ADMIN: libc::c_ulong = 21;
const CAP_PERFMON: libc::c_ulong = 38;
const CAP_BPF: libc::c_ulong = 39;

/// No program that this thread starts from now on has the capability, although it runs as root.
fn give_up(capability: libc::c_ulong) {
    #[expect(unsafe_code, reason = "no crate of ours has this call")]
    // SAFETY: it takes a number and changes nothing but this thread's bounding set.
    let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    Errno::result(result).expect("giving up a capability");
}

#[test]
fn unknown_flags_and_commands() {
    assert_bad_usage(&["trace", "--no-such-flag"], &["--no-such-flag"]);
    assert_bad_usage(&["hist", "--no-such-flag"], &["--no-such-flag"]);
    assert_bad_usage(&["count", "--no-such-flag"], &["--no-such-flag"]);
    assert_bad_usage(&["no-such-command"], &["no-such-command"]);
    assert_bad_usage(&[], &["trace", "hist", "count"]);
}

#[test]
fn unknown_states() {
    let accepted = ["TIME", "TIME_WAIT", "ESTABLISHED", "CLOSE_WAIT", "CLOSING"];
    assert_bad_usage(&["count", "TIME"], &accepted);
    assert_bad_usage(&["trace", "--state", "TIME"], &accepted);
    assert_bad_usage(&["trace", "--state", "LISTEN,TIME"], &accepted);
    assert_bad_usage(&["hist", "--state", "TIME"], &accepted);
    assert_bad_usage(&["life", "--state", "TIME"], &accepted);
}

#[test]
fn invalid_values() {
    for args in [
        &["trace", "-d", "soon"][..],
        &["trace", "-d", "0"],
        &["trace", "-L", "http"],
        &["trace", "-L", "0"],
        &["trace", "-D", "20-10"],
        &["trace", "-D", "65536"],
        &["trace", "--format", "xml"],
        &["trace", "--json", "--csv"],
        &["life", "--json", "--csv"],
        &["trace", "--ring-size", "0"],
        &["hist", "1", "0"],
        &["hist", "--state", "CLOSE"],
        &["hist", "--hdr", "-"],
        &["record", "any.arrows", "--hdr", "-"],
        &["count", "-N", "no-such-namespace"],
    ] {
        assert_bad_usage(args, &["error: "]);
    }
}

/// What is checked late names its option too, and shows the usage of its command.
#[test]
fn what_a_command_cannot_do() {
    let count = "Usage: tcpstate count ";
    for option in ["-4", "-q", "--raw", "--summary", "--bpf-stats"] {
        assert_bad_usage(&["count", option], &["needs --live", count]);
    }
    assert_bad_usage(&["count", "-L", "80"], &["--localport needs --live", count]);
    assert_bad_usage(
        &["count", "--reconcile", "5"],
        &["--reconcile needs --live", count],
    );
    assert_bad_usage(&["count", "--live", "soon"], &["INTERVAL 'soon'", count]);
    assert_bad_usage(
        &["record", "any.arrows", "--keep", "2"],
        &["--rotate-size", "Usage: tcpstate record "],
    );
    assert_bad_usage(&["serve", "--raw"], &["--raw", "Usage: tcpstate serve "]);
}

/// The message names the value and says what is accepted.
#[test]
fn invalid_values_of_filters() {
    for (option, value, accepted) in [
        ("--laddr", "10.0.0.0/33", "10.0.0.0/8"),
        ("--raddr", "example.org", "10.0.0.0/8"),
        ("-p", "0", "the number of a process"),
        ("-p", "nginx", "the number of a process"),
        ("--comm", "", "the name of a task"),
        ("--cgroup", "/no/such/cgroup", "/system.slice/nginx.service"),
        ("--netns", "no-such-namespace", "ip netns list"),
        ("--netns", "/etc/passwd", "ip netns list"),
        ("--from-state", "NOWHERE", "CLOSE_WAIT"),
        ("--to-state", "TIME", "TIME_WAIT"),
        ("--min-dwell", "soon", "200ms"),
        ("--min-dwell", "NOWHERE=1s", "CLOSE_WAIT"),
        ("--min-dwell", "CLOSE_WAIT=", "200ms"),
    ] {
        for command in ["trace", "hist"] {
            let value_named = format!("invalid value '{value}'");
            assert_bad_usage(&[command, option, value], &[&value_named, accepted]);
        }
    }
}

#[test]
fn help_is_no_error_and_begins_with_examples() {
    for name in ["trace", "life", "hist", "count"] {
        let run = tool::run(tool::command(&[name, "--help"]));
        run.assert_status(0);
        assert_eq!(run.stdout.first().map(String::as_str), Some("Examples:"));
        assert!(run.stderr.is_empty(), "{run:#?}");
    }
}
