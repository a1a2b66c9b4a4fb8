//! Programs that the jobs start, as Debian packages.
use anyhow::Context as _;

use crate::command;

/// What the tests start: program and the Debian package that has it.
pub(super) const FOR_TESTING: [(&str, &str); 7] = [
    ("curl", "curl"),
    ("ip", "iproute2"),
    // By its full name: plain `nc` may be another package's, with other options.
    ("nc.openbsd", "netcat-openbsd"),
    ("bpftool", "bpftool"),
    ("zabbix_agentd", "zabbix-agent"),
    ("zabbix_get", "zabbix-proxy-sqlite3"),
    // Reads recordings with other people's packages.
    ("python3", "python3-venv"),
];

/// What a Zabbix server consists of. The frontend is no program: it comes with what runs it.
pub(super) const FOR_ZABBIX: [(&str, &str); 7] = [
    ("curl", "curl"),
    ("zabbix_server", "zabbix-server-pgsql"),
    ("php", "zabbix-frontend-php"),
    ("php", "php-cli"),
    ("php", "php-pgsql"),
    ("psql", "postgresql"),
    ("zabbix_agentd", "zabbix-agent"),
];

/// Installs the packages whose programs are missing.
pub(super) fn install(programs: &[(&str, &str)], who: &str) -> anyhow::Result<()> {
    // By program and not by package: that is what is needed, and it costs no process.
    let missing: Vec<_> = programs
        .iter()
        .filter(|(program, _)| command::find(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup(); // several programs of one package
    let packages = packages.join(" ");
    eprintln!("setup: installing the Debian packages that {who} need: {packages}");
    apt_get(&packages).with_context(|| {
        format!("cannot install {packages}; try by hand what failed, or install the same programs another way")
    })
}

fn apt_get(packages: &str) -> anyhow::Result<()> {
    // Through `env`, because sudo drops most variables.
    let apt_get = || -> anyhow::Result<_> {
        let mut command = command::as_root("env")?;
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
        Ok(command)
    };
    command::run(apt_get()?.arg("update"))?;
    command::run(
        apt_get()?
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages.split(' ')),
    )
}
