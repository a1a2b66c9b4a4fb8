//! `cargo xtask systemd`: the units of the package under systemd, in a virtual machine that runs a clean Debian system
//! with the package installed.
//!
//! package → Debian system with it, the tests and a unit that runs them → a disk → a guest that boots from it → a table
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

use crate::debian::System;
use crate::vm::guest::Guest;
use crate::vm::matrix::{Arch, Clock, Matrix};
use crate::vm::{binaries, boot, fetch, folder, initramfs, modules};
use crate::{command, dist, setup};

/// The kernel of the same release of Debian.
const KERNEL: &str = "6.1";
/// What the guest reads its disk with.
const DRIVERS: [&str; 3] = ["virtio_pci", "virtio_blk", "ext4"];
/// An emulated processor takes so many seconds from power-on to the tests, at the most.
const BOOT_SECONDS: u64 = 300;
/// Room for the system, and for what it writes.
const DISK: &str = "768M";

/// Runs all tests, tells the host, and ends the machine, whatever came of it.
const RUNNER: &str = "\
[Unit]
Description=The tests
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/init runner SECONDS
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console

[Install]
WantedBy=multi-user.target
";

/// Makes the disk, boots from it, and says how it went.
pub(crate) fn job(kernels: &[String]) -> anyhow::Result<ExitCode> {
    ensure!(
        command::is_root()?,
        "systemd: only root can make a Debian system; run as root (sudo cargo xtask systemd)"
    );
    let matrix = Matrix::read()?;
    let arch = Arch::ours()?;
    let machine = matrix.machine(arch)?;
    setup::for_debian()?;
    setup::for_machines(&machine.target, (&machine.qemu[0], &machine.package))?;
    let default = [KERNEL.to_owned()];
    let names = if kernels.is_empty() {
        &default
    } else {
        kernels
    };

    let made = dist::make()?;
    let init = binaries::init(machine)?;
    let tests = binaries::of_systemd(machine)?;
    let system = System::fresh("systemd")?;
    system.copy(&made.package, "/root/tcpstate.deb")?;
    system.output(&["dpkg", "--install", "/root/tcpstate.deb"])?;
    system.copy(&init, "/usr/local/sbin/init")?;
    std::fs::create_dir(system.path("/tests")).context("cannot make the folder of the tests")?;
    system.copy(&tests, "/tests/systemd")?;
    let runner = RUNNER.replace("SECONDS", &matrix.test_seconds.to_string());
    system.write("/etc/systemd/system/tests.service", &runner)?;
    system.output(&["systemctl", "enable", "tests.service"])?;
    // The console is the tests' own.
    system.write("/etc/systemd/system.conf", "[Manager]\nShowStatus=no\n")?;
    system.output(&[
        "systemctl",
        "mask",
        "serial-getty@.service",
        "console-getty.service",
    ])?;

    let folder = folder()?;
    let disk = folder.join("systemd.ext4");
    let mut mke2fs = Command::new(command::find("mke2fs").context("mke2fs is missing")?);
    mke2fs
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(system.path("/"));
    command::run(mke2fs.arg(&disk).arg(DISK))?;

    let mut guests = Vec::new();
    for kernel in matrix.select(arch, names)? {
        let image = fetch::kernel(kernel, machine)?;
        let wanted: Vec<String> = matrix
            .modules
            .iter()
            .cloned()
            .chain(DRIVERS.map(str::to_owned))
            .collect();
        let modules = modules::load_order(&image.modules, &wanted)?;
        let title = format!("systemd-{}-{}", kernel.arch, kernel.name);
        let initramfs = folder.join(format!("{title}.cpio"));
        initramfs::write(&initramfs, &init, &[], &modules)?;
        guests.push(Guest {
            log: folder.join(format!("{title}.log")),
            title,
            machine,
            matrix: &matrix,
            clock: Clock::Real,
            kernel: image.file,
            initramfs,
            disk: Some(disk.clone()),
            boot_seconds: BOOT_SECONDS,
            init: "switch".to_owned(),
            passes_on: false,
        });
    }
    boot(&guests, 1)
}
