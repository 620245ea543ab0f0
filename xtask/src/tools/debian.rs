//! Programs from the packages of the Debian that this machine runs, unpacked under
//! `target/tools` and started through scripts in its `bin`. What the machine has is not fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// A program that tests start, and where it is from.
struct Program {
    /// Its name; any of these will do when the machine has it. The last one is what is unpacked.
    names: &'static [&'static str],
    package: &'static str,
    /// Where the package has it.
    path: &'static str,
    /// Roughly how much is fetched.
    megabytes: u32,
}

const PROGRAMS: &[Program] = &[
    Program { names: &["cfssl"], package: "golang-cfssl", path: "usr/bin/cfssl", megabytes: 8 },
    Program {
        names: &["cfssljson"],
        package: "golang-cfssl",
        path: "usr/bin/cfssljson",
        megabytes: 0,
    },
    Program { names: &["sslscan"], package: "sslscan", path: "usr/bin/sslscan", megabytes: 1 },
    Program {
        names: &["certutil"],
        package: "libnss3-tools",
        path: "usr/bin/certutil",
        megabytes: 2,
    },
    Program {
        names: &["chromium", "chromium-headless-shell"],
        package: "chromium-headless-shell",
        path: "usr/lib/chromium/chromium-headless-shell",
        megabytes: 105,
    },
];

/// Finds or fetches all programs. What cannot be had is said; the tests that need it say that
/// they are skipped.
pub(super) fn fetch(home: &Path, bin: &Path) {
    let missing: Vec<&Program> = PROGRAMS.iter().filter(|program| !program.is_there(bin)).collect();
    if missing.is_empty() {
        return;
    }
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.dedup();
    let megabytes: u32 = missing.iter().map(|program| program.megabytes).sum();
    eprintln!(
        "xtask: fetching {} (about {megabytes} MB) into {}",
        packages.join(", "),
        home.display()
    );
    if let Err(error) = unpack(home, bin, &missing, &packages) {
        eprintln!(
            "xtask: {error:#}\nxtask: tests that need {} will be skipped \
             (on Debian: apt-get install {})",
            missing.iter().map(|program| program.name()).collect::<Vec<_>>().join(", "),
            packages.join(" ")
        );
    }
}

impl Program {
    fn name(&self) -> &'static str {
        self.names.last().copied().unwrap_or_default()
    }

    fn is_there(&self, bin: &Path) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut directories = std::env::split_paths(&path).chain([bin.to_owned()]);
        directories.any(|directory| self.names.iter().any(|name| directory.join(name).exists()))
    }
}

fn unpack(home: &Path, bin: &Path, programs: &[&Program], packages: &[&str]) -> anyhow::Result<()> {
    let apt = Apt::new(home)?;
    apt.run("apt-get", &["update"], home)?;
    // What would be installed: the packages and those of their libraries that are not there.
    let plan =
        [&["install", "--simulate", "--no-install-recommends", "--no-remove"], packages].concat();
    let plan = apt.run("apt-get", &plan, home)?;
    let plan = String::from_utf8_lossy(&plan.stdout);
    let needed: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
        // Of programs that nobody here starts, and headers.
        .filter(|name| *name != "xdg-utils" && !name.ends_with("-dev"))
        .collect();
    if needed.is_empty() {
        bail!("apt-get does not say what {} needs", packages.join(", "));
    }
    let archives = home.join("debian/archives");
    let root = home.join("debian/root");
    for directory in [&archives, &root] {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    apt.run("apt-get", &[&["download"], &*needed].concat(), &archives)?;
    for entry in std::fs::read_dir(&archives).context("what was downloaded")? {
        let archive = entry?.path();
        let mut dpkg = Command::new("dpkg-deb");
        succeed(dpkg.arg("--extract").arg(&archive).arg(&root))?;
    }
    std::fs::remove_dir_all(&archives).context("what was downloaded")?;
    std::fs::create_dir_all(bin).with_context(|| bin.display().to_string())?;
    for program in programs {
        start_through(&bin.join(program.name()), &root, program.path)?;
    }
    Ok(())
}

/// apt with lists and caches of its own: those of the machine may be missing or old, and are not
/// ours to change.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(home: &Path) -> anyhow::Result<Self> {
        let state = home.join("debian/apt");
        let mut options = vec!["--quiet".to_owned(), "--yes".to_owned()];
        for (what, directory) in [("State::Lists", "lists"), ("Cache", "cache")] {
            let directory: PathBuf = state.join(directory);
            for directory in [directory.join("partial"), directory.join("archives/partial")] {
                std::fs::create_dir_all(&directory)
                    .with_context(|| directory.display().to_string())?;
            }
            options.push(format!("--option=Dir::{what}={}", directory.display()));
        }
        // It runs as whoever runs us, who alone can write to these directories.
        options.push("--option=APT::Sandbox::User=".to_owned());
        Ok(Self { options })
    }

    fn run(&self, program: &str, arguments: &[&str], directory: &Path) -> anyhow::Result<Output> {
        let mut command = Command::new(program);
        succeed(command.args(&self.options).args(arguments).current_dir(directory))
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<Output> {
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            command.get_program().display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}

/// A script that starts an unpacked program with its libraries.
fn start_through(script: &Path, root: &Path, program: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let program = root.join(program);
    if !program.exists() {
        bail!("the packages have no {}", program.display());
    }
    let libraries = std::fs::read_dir(root.join("usr/lib"))
        .context("unpacked libraries")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains("-linux-"))
        .flat_map(|path| [path.join("pulseaudio"), path])
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(":");
    let text =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}' \"$@\"\n", program.display());
    std::fs::write(script, text).with_context(|| script.display().to_string())?;
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755))
        .with_context(|| script.display().to_string())
}
