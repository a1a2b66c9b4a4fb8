//! Database, server, frontend and agent, from Debian's packages, for the length of one job.
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{command, workspace};

/// Where Debian puts the frontend, and the database's contents.
const FRONTEND: &str = "/usr/share/zabbix";
const CONTENTS: &str = "/usr/share/zabbix-server-pgsql";
/// The path of its configuration that Debian has written into the frontend.
const FRONTEND_CONFIG: &str = "/etc/zabbix/zabbix.conf.php";

/// What runs; it ends with this value.
pub(super) struct Lab {
    folder: PathBuf,
    database: PathBuf,
    children: Vec<Child>,
    /// Port of the frontend.
    pub(super) web_port: u16,
    /// Port of the agent.
    pub(super) agent_port: u16,
}

impl Lab {
    /// Starts everything; the agent finds `tool` as `tcpstate`.
    pub(super) fn start(tool: &Path) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("tcpstate-zabbix-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        // The database runs as its own user.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        let mut lab = Self {
            database: folder.join("database"),
            folder,
            children: Vec::new(),
            web_port: free_port()?,
            agent_port: free_port()?,
        };
        match lab.start_all(tool) {
            Ok(()) => Ok(lab),
            Err(error) => Err(error.context(lab.logs())),
        }
    }

    fn start_all(&mut self, tool: &Path) -> anyhow::Result<()> {
        self.start_database()?;
        self.start_frontend()?;
        self.start_agent(tool)?;
        self.start_server()
    }

    /// What the programs have said.
    pub(super) fn logs(&self) -> String {
        ["server.log", "agent.log", "frontend.log"]
            .into_iter()
            .map(|name| {
                let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(20).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                format!("--- {name}\n{}\n", last.join("\n"))
            })
            .collect()
    }

    fn start_database(&self) -> anyhow::Result<()> {
        let programs = database_programs()?;
        let folder = self.folder.display();
        let database = self.database.display().to_string();
        as_database(
            &programs.join("initdb"),
            &["-A", "trust", "-U", "zabbix", "-D", &database],
        )?;
        let options = format!("-k {folder} -c listen_addresses= -c fsync=off");
        let log = self.folder.join("database.log").display().to_string();
        as_database(
            &programs.join("pg_ctl"),
            &["-D", &database, "-o", &options, "-l", &log, "-w", "start"],
        )?;
        let folder = folder.to_string();
        as_database(
            Path::new("createdb"),
            &["-h", &folder, "-U", "zabbix", "zabbix"],
        )?;
        for part in ["schema", "images", "data"] {
            let file = Path::new(CONTENTS).join(part).with_extension("sql.gz");
            let mut unpack = Command::new("zcat")
                .arg(&file)
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot run zcat")?;
            let contents = unpack.stdout.take().context("zcat has no stdout")?;
            let loaded = Command::new("psql")
                .args([
                    "-q",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-h",
                    &folder,
                    "-U",
                    "zabbix",
                    "zabbix",
                ])
                .stdin(contents)
                .stdout(Stdio::null())
                .status()
                .context("cannot run psql")?;
            anyhow::ensure!(
                unpack.wait()?.success() && loaded.success(),
                "{} was not loaded",
                file.display()
            );
        }
        Ok(())
    }

    fn start_frontend(&mut self) -> anyhow::Result<()> {
        let web = self.folder.join("web");
        // Some links of the package lead nowhere where documentation was left out.
        let _ = Command::new("cp")
            .args(["-rL", FRONTEND])
            .arg(&web)
            .stderr(Stdio::null())
            .status()
            .context("cannot run cp")?;
        let config = web.join("zabbix.conf.php");
        fs::write(
            &config,
            format!(
                "<?php\n$DB = ['TYPE' => 'POSTGRESQL', 'SERVER' => '{}', 'PORT' => '0', 'DATABASE' => 'zabbix', 'USER' => 'zabbix', \
                 'PASSWORD' => '', 'SCHEMA' => '', 'ENCRYPTION' => false, 'KEY_FILE' => '', 'CERT_FILE' => '', 'CA_FILE' => '', \
                 'VERIFY_HOST' => false, 'CIPHER_LIST' => '', 'VAULT_URL' => '', 'VAULT_DB_PATH' => '', 'VAULT_TOKEN' => '', \
                 'DOUBLE_IEEE754' => true];\n$ZBX_SERVER_NAME = '';\n$IMAGE_FORMAT_DEFAULT = IMAGE_FORMAT_PNG;\n",
                self.folder.display()
            ),
        )?;
        let reader = web.join("include/classes/core/CConfigFile.php");
        let source = fs::read_to_string(&reader).with_context(|| reader.display().to_string())?;
        let source = source.replace(FRONTEND_CONFIG, &config.display().to_string());
        fs::write(&reader, source)?;
        let port = self.web_port;
        let mut php = Command::new("php");
        php.args(["-d", "max_execution_time=300", "-d", "post_max_size=16M"])
            .args(["-S", &format!("127.0.0.1:{port}"), "-t"])
            .arg(&web);
        self.spawn(php, "frontend.log")?;
        await_port(port)
    }

    fn start_agent(&mut self, tool: &Path) -> anyhow::Result<()> {
        let bin = self.folder.join("bin");
        fs::create_dir(&bin)?;
        std::os::unix::fs::symlink(tool, bin.join("tcpstate"))?;
        let shipped = workspace::root().join("contrib/zabbix/tcpstate.conf");
        let port = self.agent_port;
        let config = self.configure(
            "agent.conf",
            &format!(
                "Server=127.0.0.1\nListenIP=127.0.0.1\nListenPort={port}\nInclude={}\n",
                shipped.display()
            ),
        )?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))?;
        let mut agent = Command::new(program("zabbix_agentd")?);
        agent.arg("-f").arg("-c").arg(&config).env("PATH", path);
        self.spawn(agent, "agent.log")?;
        await_port(port)
    }

    fn start_server(&mut self) -> anyhow::Result<()> {
        let port = free_port()?;
        let config = self.configure(
            "server.conf",
            &format!(
                "DBHost={}\nDBName=zabbix\nDBUser=zabbix\nListenIP=127.0.0.1\nListenPort={port}\nCacheUpdateFrequency=5\nSocketDir={}\n",
                self.folder.display(),
                self.folder.display()
            ),
        )?;
        let mut server = Command::new(program("zabbix_server")?);
        server.arg("-f").arg("-c").arg(&config);
        self.spawn(server, "server.log")
    }

    fn configure(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let file = self.folder.join(name);
        let pid = file.with_extension("pid");
        let common = format!("AllowRoot=1\nLogType=console\nPidFile={}\n", pid.display());
        fs::write(&file, common + text).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    fn spawn(&mut self, mut command: Command, log: &str) -> anyhow::Result<()> {
        let log = File::create(self.folder.join(log))?;
        eprintln!("$ {}", command::shown(&command));
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run `{}`", command::shown(&command)))?;
        self.children.push(child);
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // The server ends its own children at SIGTERM, not when it is killed.
            let pid = child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
            let _ = child.wait();
        }
        if let Ok(programs) = database_programs() {
            let database = self.database.display().to_string();
            let stop = ["-D", &database, "-m", "immediate", "stop"];
            let _ = as_database(&programs.join("pg_ctl"), &stop);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the database's programs, which has its version in its name.
fn database_programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("postgresql is not installed")?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .find(|bin| bin.join("initdb").exists())
        .context("postgresql has no initdb")
}

fn as_database(program: &Path, args: &[&str]) -> anyhow::Result<()> {
    // Its output goes nowhere: a daemon that holds a pipe would keep its reader waiting.
    let mut command = Command::new("runuser");
    command
        .args(["-u", "postgres", "--"])
        .arg(program)
        .args(args)
        .current_dir("/")
        .stdout(Stdio::null());
    command::run(&mut command)
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    command::find(name).with_context(|| format!("{name} is not installed"))
}

/// A port that nobody listens on, below the ephemeral ones: Zabbix takes no other.
fn free_port() -> anyhow::Result<u16> {
    (20_000..32_767)
        .find(|port| {
            !TAKEN.fetch_max(*port, Ordering::Relaxed).ge(port)
                && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        })
        .context("no free port")
}

/// The highest port given out.
static TAKEN: AtomicU16 = AtomicU16::new(0);

/// Waits until somebody listens.
fn await_port(port: u16) -> anyhow::Result<()> {
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if began.elapsed() > Duration::from_secs(30) {
            bail!("nobody listens on port {port}");
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
